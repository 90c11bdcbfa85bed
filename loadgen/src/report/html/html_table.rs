//! Tables and lists of plain text.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::report::markup::escape;

/// A table under construction. A second line of a cell is set smaller.
#[derive(Debug)]
pub(super) struct Table {
    text: String,
    rows: usize,
}

impl Table {
    /// A table with these columns, and above it what its reader must know.
    pub(super) fn new<const N: usize>(head: [&str; N], caption: Option<&str>) -> Self {
        let caption = caption.map(|text| format!("<caption>{}</caption>\n", escape(text)));
        let head: String = head.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
        let caption = caption.unwrap_or_default();
        let text = format!("<table>\n{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n");
        Self { text, rows: 0 }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows += 1;
        self.text += "<tr>";
        for cell in cells {
            let (first, rest) = cell.split_once('\n').unwrap_or((&cell, ""));
            let small = match rest {
                "" => String::new(),
                rest => format!("<small>{}</small>", escape(rest)),
            };
            let _ = write!(self.text, "<td>{}{small}</td>", escape(first));
        }
        self.text += "</tr>\n";
    }

    /// The table; nothing without rows.
    pub(super) fn end(self) -> String {
        if self.rows == 0 { String::new() } else { self.text + "</tbody>\n</table>\n" }
    }
}

/// Names and values in two columns; nothing without any.
pub(super) fn list(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let mut list = String::new();
    for (name, value) in pairs {
        let _ = writeln!(list, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
    }
    if list.is_empty() { list } else { format!("<dl>\n{list}</dl>\n") }
}

/// All fields of a record as names and values.
pub(super) fn fields(record: &impl Serialize) -> String {
    let mut pairs = Vec::new();
    collect(&mut pairs, "", &serde_json::to_value(record).unwrap_or_default());
    list(pairs)
}

fn collect(pairs: &mut Vec<(String, String)>, name: &str, value: &Value) {
    let text = match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                collect(pairs, &format!("{name}{dot}{inner}"), value);
            }
            return;
        }
        Value::Null => "not known, or none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    pairs.push((name.to_owned(), text));
}
