//! Values for the placeholders of requests, from a file.
//!
//! A `.csv` file has a line of names and then a row on each line. A `.jsonl` file has an object on
//! each line, all with the same names. All values stay in memory, one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::template::is_name;
use crate::plan_files;

/// Longest file: its values stay in memory.
const BYTES_MAX: u64 = 1 << 30;

/// Most rows: their numbers have 32 bits.
const ROWS_MAX: usize = u32::MAX as usize;

/// The rows of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DataFile {
    path: PathBuf,
    columns: Vec<Column>,
    /// All values, row after row.
    bytes: Vec<u8>,
    /// Where each value ends in them.
    ends: Vec<usize>,
}

/// A column, and what its values can be used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Column {
    name: String,
    /// The first value that no path can have, and the line on which it stands.
    not_in_path: Option<(u64, String)>,
    /// The first value that no header can have, and its line.
    not_in_header: Option<(u64, String)>,
}

impl DataFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the line and the remedy.
    pub(crate) fn read_shared(name: &str) -> Result<Arc<Self>, String> {
        Self::read(name).map(Arc::new)
    }

    fn read(path: &str) -> Result<Self, String> {
        let failed = |error| format!("read {path}: {error}; name a file of values");
        let bytes = plan_files::read_at_most(Path::new(path), BYTES_MAX + 1).map_err(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("{path} has more than 1GiB; the values must stay in memory"));
        }
        let text = plan_files::text(bytes).map_err(failed)?;
        match Path::new(path).extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Self::of_csv(path, &text),
            Some("jsonl") => Self::of_json_lines(path, &text),
            _ => Err(format!(
                "{path}: its name must end with .csv (a line of names, then rows) or .jsonl (an \
                 object on each line)"
            )),
        }
    }

    /// The rows of a text with comma-separated values (RFC 4180).
    pub(super) fn of_csv(path: &str, text: &str) -> Result<Self, String> {
        if let Some(line) = unclosed_quote(text) {
            return Err(format!(
                "{path}, line {line}: a quote is opened there and never closed; close it, and \
                 write a quote in a value twice"
            ));
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let failed = |error: &csv::Error| format!("{path}: {error}; write it as RFC 4180 says");
        let names = reader.headers().map_err(|error| failed(&error))?.clone();
        let mut data = Self::with_columns(path, names.iter())?;
        for record in reader.records() {
            let record = record.map_err(|error| failed(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != names.len() {
                return Err(format!(
                    "{path}, line {line}: {} values, and the first line has {} names; write as \
                     many values, and quotes around a value with a comma",
                    record.len(),
                    names.len()
                ));
            }
            record.iter().enumerate().for_each(|(column, value)| data.push(column, line, value));
        }
        data.complete()
    }

    /// The rows of a text with a JSON object on each line.
    fn of_json_lines(path: &str, text: &str) -> Result<Self, String> {
        let mut data = Self { path: path.into(), ..Self::default() };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        for (number, line) in lines {
            let object: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(line).map_err(|error| {
                    format!(
                        "{path}, line {number}: {error}; write an object on each line, such as \
                     {{\"id\":7}}"
                    )
                })?;
            if object.len() < members(line) {
                return Err(format!("{path}, line {number}: a name is there twice; rename one"));
            }
            if data.columns.is_empty() {
                data = Self::with_columns(path, object.keys().map(String::as_str))?;
            }
            for column in 0..data.columns.len() {
                let name = &data.columns[column].name;
                let value = object.get(name).filter(|_| object.len() == data.columns.len());
                let text = match value.map(|value| value.get()) {
                    Some("null") => String::new(),
                    // Anything but a text stays as it is written, numbers above all.
                    Some(written) => {
                        serde_json::from_str::<String>(written).unwrap_or(written.to_owned())
                    }
                    None => {
                        return Err(format!(
                            "{path}, line {number}: its names are not those of the first line: \
                             {}; write the same names on each line",
                            data.names()
                        ));
                    }
                };
                data.push(column, number, &text);
            }
        }
        data.complete()
    }

    fn with_columns<'a>(
        path: &str,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self, String> {
        for (index, name) in names.clone().enumerate() {
            if !is_name(name) {
                return Err(format!(
                    "{path}: no placeholder can have the name '{name}'; begin it with a letter, \
                     and use letters, digits, _, - and ."
                ));
            }
            if names.clone().take(index).any(|before| before == name) {
                return Err(format!("{path}: the name '{name}' is there twice; rename one"));
            }
        }
        let columns = names.map(|name| Column { name: name.to_owned(), ..Column::default() });
        Ok(Self { path: path.into(), columns: columns.collect(), ..Self::default() })
    }

    /// Appends the value of the next column.
    fn push(&mut self, column: usize, line: u64, value: &str) {
        let column = &mut self.columns[column];
        if column.not_in_path.is_none() && !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            column.not_in_path = Some((line, value.to_owned()));
        }
        let is_control = |character: char| character.is_control() && character != '\t';
        if column.not_in_header.is_none() && value.chars().any(is_control) {
            column.not_in_header = Some((line, value.to_owned()));
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn complete(self) -> Result<Self, String> {
        match self.rows() {
            0 => Err(format!("{} has no rows; write at least one", self.path.display())),
            rows if rows > ROWS_MAX => {
                Err(format!("{} has {rows} rows; at most {ROWS_MAX} count", self.path.display()))
            }
            _ => Ok(self),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows it has: at least one.
    pub(crate) fn rows(&self) -> usize {
        self.ends.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// The value of a column in a row.
    pub(super) fn value(&self, row: usize, column: usize) -> &[u8] {
        let index = row * self.columns.len() + column;
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[begin..self.ends[index]]
    }

    /// The number of the column with this name.
    pub(super) fn column(&self, name: &str) -> Result<usize, String> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            format!(
                "'{{{name}}}' has no value in {}: its columns are {}; write one of these, or \
                 {{{{{name}}}}} for the text itself",
                self.path.display(),
                self.names()
            )
        })
    }

    /// Refuses a column whose values would break a path.
    pub(super) fn expect_in_path(&self, column: usize) -> Result<(), String> {
        self.refuse(
            column,
            &self.columns[column].not_in_path,
            "a path: write blanks and the like as %20",
        )
    }

    /// Refuses a column whose values would break a header.
    pub(super) fn expect_in_header(&self, column: usize) -> Result<(), String> {
        self.refuse(column, &self.columns[column].not_in_header, "a header: write it on one line")
    }

    fn refuse(
        &self,
        column: usize,
        value: &Option<(u64, String)>,
        from: &str,
    ) -> Result<(), String> {
        let Some((line, value)) = value else { return Ok(()) };
        Err(format!(
            "{}, line {line}: the value '{}' of '{}' cannot be in {from}",
            self.path.display(),
            value.escape_debug(),
            self.columns[column].name
        ))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| &*column.name).collect::<Vec<_>>().join(", ")
    }
}

/// The line on which a quote is opened that is never closed.
fn unclosed_quote(text: &str) -> Option<u64> {
    let (mut opened, mut line, mut is_begin) = (None, 1, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        line += u64::from(byte == b'\n');
        match (opened, byte) {
            (None, b'"') if is_begin => opened = Some(line),
            // Twice, it is a quote in the value.
            (Some(_), b'"') if bytes.next_if_eq(&b'"').is_none() => opened = None,
            _ => {}
        }
        is_begin = opened.is_none() && matches!(byte, b',' | b'\n' | b'\r');
    }
    opened
}

/// How many members a JSON object has. Those with the same name count each.
fn members(object: &str) -> usize {
    let (mut depth, mut is_text, mut is_escaped, mut count) = (0, false, false, 0);
    for byte in object.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth == 1 => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rows(data: &DataFile) -> Vec<Vec<String>> {
        let text = |row, column| String::from_utf8(data.value(row, column).to_vec()).unwrap();
        let row = |row| (0..data.columns.len()).map(|column| text(row, column)).collect();
        (0..data.rows()).map(row).collect()
    }

    #[test]
    fn both_kinds_of_files_have_rows_of_named_values() {
        let csv = DataFile::of_csv("d.csv", "a,b\n1,\"x, \"\"y\"\"\"\n,z\n").unwrap();
        assert_eq!(rows(&csv), [["1", "x, \"y\""], ["", "z"]]);
        let text = "{\"a\":1,\"b\":\"x\"}\n\n{\"b\":[true,{\"c\":2}],\"a\":null}\n";
        let json = DataFile::of_json_lines("d.jsonl", text).unwrap();
        assert_eq!(rows(&json), [["1", "x"], ["", "[true,{\"c\":2}]"]]);
        assert_eq!((json.column("b"), json.names().as_str()), (Ok(1), "a, b"));
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let text = "\u{feff}{\"id\":123456789012345678901234567890}\n{\"id\":1.10}\n{\"id\":1e2}\n";
        let data = DataFile::of_json_lines("d.jsonl", text).unwrap();
        assert_eq!(rows(&data), [["123456789012345678901234567890"], ["1.10"], ["1e2"]]);
    }

    #[test]
    fn a_name_that_an_object_has_twice_is_refused() {
        for twice in ["{\"a\":1,\"a\":2}", "{\"a\":{\"b\":[1]},\"a\":\"}\\\"\"}"] {
            let text = format!("{{\"a\":1}}\n{twice}");
            let said = DataFile::of_json_lines("d", &text).unwrap_err();
            assert!(said.starts_with("d, line 2: a name is there twice"), "{said}");
        }
        let once = "{\"a\":{\"a\":[{\"a\":1}]},\"b\":\":\\\":,{\"}";
        assert_eq!(DataFile::of_json_lines("d", once).unwrap().rows(), 1);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named_with_the_line_where_it_opens() {
        for (text, line) in [("a,b\n1,2\n3,\"x\n5,6\n7,8\n", 3), ("\"a\n1\n", 1)] {
            let said = DataFile::of_csv("d", text).unwrap_err();
            assert!(said.starts_with(&format!("d, line {line}: a quote is opened")), "{said}");
        }
        for text in ["a,b\n\"x\ny\",\"\"\n", "a,b\nx\"y,\"\"\"\"\n", "a,b\r\n\"1\",2\r\n"] {
            DataFile::of_csv("d", text).unwrap();
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_with_its_line_and_the_remedy() {
        let csv = |text: &str| DataFile::of_csv("d.csv", text).unwrap_err();
        assert!(csv("a,b\n1,2\n3\n").starts_with("d.csv, line 3: 1 values"));
        assert!(csv("a b\n1\n").contains("no placeholder can have the name 'a b'"));
        assert!(csv("a,a\n1,2\n").contains("'a' is there twice"));
        assert!(csv("a\n").contains("has no rows"));
        assert!(csv("").contains("has no rows") || csv("").contains("no placeholder"));
        let json = |text: &str| DataFile::of_json_lines("d.jsonl", text).unwrap_err();
        assert!(json("{\"a\":1}\n[2]").starts_with("d.jsonl, line 2: "));
        assert!(json("{\"a\":1}\n{\"b\":2}").contains("line 2: its names are not those"));
        assert!(json("{\"a\":1}\n{\"a\":1,\"b\":2}").contains("line 2: its names"));
        assert!(DataFile::read("/no/such.csv").unwrap_err().contains("name a file of values"));
        let folder = test_needs::folder();
        let path = folder.path().join("data.txt");
        fs::write(&path, "a\n1\n").unwrap();
        let said = DataFile::read(path.to_str().unwrap()).unwrap_err();
        assert!(said.contains("must end with .csv"), "{said}");
    }
}
