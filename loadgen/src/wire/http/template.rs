//! The bytes of a request, with places for the values of a row of the data.

use std::fmt;

use super::super::frame::append_rest;
use super::data_file::DataFile;
use super::request::{RequestSpec, name_of};

/// Longest chunk of a body that is sent in chunks; a longer text becomes several.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// The bytes of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// Length of all texts.
    constant_bytes: u64,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// The value of a column.
    Value(usize),
    /// The same as a chunk of its own; nothing if it is empty, because an empty chunk is the last.
    Chunk(usize),
    /// The length of the body in decimal digits: that of its texts, and of these columns.
    BodyLength {
        texts: u64,
        columns: Vec<usize>,
    },
}

/// Where the values of a placeholder go, which limits the bytes that they may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Header,
    Body,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Path => "the path",
            Self::Header => "a header",
            Self::Body => "the body",
        })
    }
}

impl Template {
    /// The bytes of `request` for `host`, with the headers that all requests have. A header of the
    /// request replaces one of these with the same name, and any `Host` replaces ours.
    ///
    /// # Errors
    ///
    /// A sentence that names a placeholder and the remedy.
    pub(super) fn new(
        request: &RequestSpec,
        host: &str,
        common: &[String],
        data: Option<&DataFile>,
    ) -> Result<Self, String> {
        let has = |header: &str, headers: &[String]| {
            headers.iter().any(|own| name_of(own).eq_ignore_ascii_case(name_of(header)))
        };
        let mut head = Self::default();
        head.push_text(format!("{} ", request.method));
        head.push(request.path.as_bytes(), Place::Path, data)?;
        head.push_text(" HTTP/1.1\r\n");
        if !has("host", common) && !has("host", &request.headers) {
            head.push_text(format!("Host: {host}\r\n"));
        }
        let common = common.iter().filter(|header| !has(header, &request.headers));
        for header in common.chain(&request.headers) {
            head.push(header.as_bytes(), Place::Header, data)?;
            head.push_text("\r\n");
        }
        let mut body = Self::default();
        if let Some(given) = &request.body {
            // What is no text has no placeholders, and a file has them only for data.
            let is_text = std::str::from_utf8(&given.bytes).is_ok();
            if is_text && (data.is_some() || !given.is_file) {
                body.push(&given.bytes, Place::Body, data)?;
            } else {
                body.push_text(&given.bytes);
            }
        }
        if request.is_chunked {
            head.push_text("Transfer-Encoding: chunked\r\n\r\n");
            head.push_chunks(&body);
        } else if request.body.is_some() || request.method.states_empty_body() {
            head.push_text("Content-Length: ");
            head.push_length_of(&body);
            head.push_text("\r\n\r\n");
            body.parts.into_iter().for_each(|part| head.push_part(part));
        } else {
            head.push_text("\r\n");
        }
        Ok(head)
    }

    /// Whether every request of this template is the same.
    pub(super) fn is_constant(&self) -> bool {
        matches!(self.parts[..], [Part::Text(_)])
    }

    /// Length of the request with the values of this row.
    pub(super) fn bytes(&self, row: usize, data: Option<&DataFile>) -> u64 {
        let Some(data) = data.filter(|_| !self.is_constant()) else { return self.constant_bytes };
        let bytes = |part: &Part| match part {
            Part::Text(_) => 0,
            Part::Value(column) => data.value(row, *column).len() as u64,
            Part::Chunk(column) => match data.value(row, *column).len() as u64 {
                0 => 0,
                length => Digits::hexadecimal(length).written().len() as u64 + length + 4,
            },
            Part::BodyLength { texts, columns } => {
                Digits::decimal(body_length(*texts, columns, row, data)).written().len() as u64
            }
        };
        self.constant_bytes + self.parts.iter().map(bytes).sum::<u64>()
    }

    /// Appends the request with the values of this row, from `offset` bytes on, to `out`, until
    /// `out` has `limit` bytes.
    pub(super) fn append(
        &self,
        row: usize,
        data: Option<&DataFile>,
        offset: u64,
        out: &mut Vec<u8>,
        limit: usize,
    ) {
        let mut skip = offset;
        for part in &self.parts {
            match (part, data) {
                (Part::Text(text), _) => append_rest(text, &mut skip, out, limit),
                (Part::Value(column), Some(data)) => {
                    append_rest(data.value(row, *column), &mut skip, out, limit);
                }
                (Part::Chunk(column), Some(data)) => {
                    let value = data.value(row, *column);
                    if !value.is_empty() {
                        let length = Digits::hexadecimal(value.len() as u64);
                        for piece in [length.written(), b"\r\n", value, b"\r\n"] {
                            append_rest(piece, &mut skip, out, limit);
                        }
                    }
                }
                (Part::BodyLength { texts, columns }, Some(data)) => {
                    let length = Digits::decimal(body_length(*texts, columns, row, data));
                    append_rest(length.written(), &mut skip, out, limit);
                }
                (_, None) => {}
            }
        }
    }

    /// Appends a text whose placeholders become the columns of their names.
    fn push(&mut self, text: &[u8], place: Place, data: Option<&DataFile>) -> Result<(), String> {
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => self.push_text(text),
                Piece::Name(name) => {
                    let data = data.ok_or_else(|| {
                        format!(
                            "'{{{name}}}' in {place} stands for a value, and there are none; name \
                             them with --data FILE, or write {{{{{name}}}}} for the text itself"
                        )
                    })?;
                    let column = data.column(name)?;
                    match place {
                        Place::Path => data.expect_in_path(column)?,
                        Place::Header => data.expect_in_header(column)?,
                        Place::Body => {}
                    }
                    self.parts.push(Part::Value(column));
                }
            }
        }
        Ok(())
    }

    fn push_text(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.constant_bytes += text.len() as u64;
        match self.parts.last_mut() {
            // One text instead of two is one copy less for each request.
            Some(Part::Text(before)) => before.extend_from_slice(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_vec())),
        }
    }

    fn push_part(&mut self, part: Part) {
        match part {
            Part::Text(text) => self.push_text(text),
            part => self.parts.push(part),
        }
    }

    fn push_length_of(&mut self, body: &Self) {
        let column = |part: &Part| match part {
            Part::Value(column) => Some(*column),
            _ => None,
        };
        let columns: Vec<usize> = body.parts.iter().filter_map(column).collect();
        match columns.len() {
            0 => self.push_text(body.constant_bytes.to_string()),
            _ => self.parts.push(Part::BodyLength { texts: body.constant_bytes, columns }),
        }
    }

    /// Appends a body in chunks: one for each value, and for each part of a text.
    fn push_chunks(&mut self, body: &Self) {
        for part in &body.parts {
            match part {
                Part::Value(column) => self.parts.push(Part::Chunk(*column)),
                Part::Text(text) => {
                    for chunk in text.chunks(CHUNK_BYTES_MAX) {
                        self.push_text(format!("{:x}\r\n", chunk.len()));
                        self.push_text(chunk);
                        self.push_text("\r\n");
                    }
                }
                Part::Chunk(_) | Part::BodyLength { .. } => {}
            }
        }
        self.push_text("0\r\n\r\n");
    }
}

/// The length of a body with the values of this row.
fn body_length(texts: u64, columns: &[usize], row: usize, data: &DataFile) -> u64 {
    texts + columns.iter().map(|&column| data.value(row, column).len() as u64).sum::<u64>()
}

/// A piece of a text that may have placeholders.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a [u8]),
    /// `{name}`.
    Name(&'a str),
}

/// Cuts a text at its placeholders. `{name}` is one, `{{name}}` stands for the text `{name}`, and
/// any other brace for itself, so that JSON needs no escapes.
fn pieces(text: &[u8]) -> Vec<Piece<'_>> {
    let (mut pieces, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if let Some(name) = rest.strip_prefix(b"{{").and_then(name_before_brace)
            && rest[name.len() + 3..].starts_with(b"}")
        {
            pieces.push(Piece::Text(&text[begin..at]));
            pieces.push(Piece::Text(&rest[1..name.len() + 3]));
            at += name.len() + 4;
            begin = at;
        } else if let Some(name) = rest.strip_prefix(b"{").and_then(name_before_brace) {
            pieces.push(Piece::Text(&text[begin..at]));
            pieces.push(Piece::Name(name));
            at += name.len() + 2;
            begin = at;
        } else {
            at += 1;
        }
    }
    pieces.push(Piece::Text(&text[begin..]));
    pieces
}

/// A text that has no placeholders and stands for this one.
pub(crate) fn without_placeholders(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match name_before_brace(rest.as_bytes()) {
            Some(name) => {
                out.extend(["{{", name, "}}"]);
                rest = &rest[name.len() + 1..];
            }
            None => out.push('{'),
        }
    }
    out + rest
}

/// The name that `text` begins with, if a closing brace is behind it.
fn name_before_brace(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|&byte| byte == b'}')?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    is_name(name).then_some(name)
}

/// Whether a placeholder can have this name.
pub(super) fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && text.bytes().all(is_inner)
}

/// The digits of a number, without an allocation.
#[derive(Debug)]
struct Digits {
    bytes: [u8; Self::BYTES_MAX],
    from: usize,
}

impl Digits {
    /// Those of the largest number in decimal.
    const BYTES_MAX: usize = 20;

    fn decimal(number: u64) -> Self {
        Self::of(number, 10)
    }

    fn hexadecimal(number: u64) -> Self {
        Self::of(number, 16)
    }

    fn of(number: u64, base: u64) -> Self {
        let mut digits = Self { bytes: [0; Self::BYTES_MAX], from: Self::BYTES_MAX };
        let mut left = number;
        loop {
            digits.from -= 1;
            digits.bytes[digits.from] = b"0123456789abcdef"[(left % base) as usize];
            left /= base;
            if left == 0 {
                return digits;
            }
        }
    }

    fn written(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::{Body, Method};
    use super::*;

    fn data() -> DataFile {
        DataFile::of_csv("d.csv", "id,name,none\n7,Ann,\n12345,B\u{e9},\n").unwrap()
    }

    fn request(method: &str, path: &str, headers: &[&str], body: Option<&str>) -> RequestSpec {
        RequestSpec {
            method: method.parse::<Method>().unwrap(),
            headers: headers.iter().map(ToString::to_string).collect(),
            body: body.map(|body| Body::of_text(body).unwrap()),
            ..RequestSpec::get(path.to_owned())
        }
    }

    fn written(template: &Template, row: usize, data: Option<&DataFile>) -> String {
        let mut bytes = Vec::new();
        template.append(row, data, 0, &mut bytes, usize::MAX);
        assert_eq!(template.bytes(row, data), bytes.len() as u64);
        String::from_utf8(bytes).unwrap()
    }

    fn constant(request: &RequestSpec, common: &[&str]) -> String {
        let common: Vec<String> = common.iter().map(ToString::to_string).collect();
        let template = Template::new(request, "h:1", &common, None).unwrap();
        assert!(template.is_constant());
        written(&template, 0, None)
    }

    #[test]
    fn a_request_is_a_line_a_host_and_what_the_user_adds() {
        let get = request("GET", "/a", &[], None);
        assert_eq!(constant(&get, &[]), "GET /a HTTP/1.1\r\nHost: h:1\r\n\r\n");
        assert_eq!(constant(&get, &["A: b"]), "GET /a HTTP/1.1\r\nHost: h:1\r\nA: b\r\n\r\n");
        assert_eq!(constant(&get, &["host: x"]), "GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
        let own = request("GET", "/a", &["a: c", "HOST: y"], None);
        let expected = "GET /a HTTP/1.1\r\nB: d\r\na: c\r\nHOST: y\r\n\r\n";
        assert_eq!(constant(&own, &["A: b", "B: d", "Host: x"]), expected);
    }

    #[test]
    fn a_body_has_its_length_or_comes_in_chunks() {
        let line = |method: &str| format!("{method} / HTTP/1.1\r\nHost: h:1\r\n");
        let length = |method: &str, body: Option<&str>| {
            constant(&request(method, "/", &[], body), &[]).split_off(line(method).len())
        };
        assert_eq!(length("POST", Some("a=1")), "Content-Length: 3\r\n\r\na=1");
        assert_eq!(length("GET", Some("")), "Content-Length: 0\r\n\r\n");
        assert_eq!(length("PUT", None), "Content-Length: 0\r\n\r\n");
        assert_eq!(length("DELETE", None), "\r\n");
        let chunked = |body: Option<&str>| {
            let spec = RequestSpec { is_chunked: true, ..request("POST", "/", &[], body) };
            constant(&spec, &[]).split_off(line("POST").len())
        };
        let head = "Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(chunked(Some("twelve bytes")), format!("{head}c\r\ntwelve bytes\r\n0\r\n\r\n"));
        assert_eq!(chunked(None), format!("{head}0\r\n\r\n"));
        let long = "x".repeat(CHUNK_BYTES_MAX + 1);
        let whole = "x".repeat(CHUNK_BYTES_MAX);
        let expected = format!("{head}4000\r\n{whole}\r\n1\r\nx\r\n0\r\n\r\n");
        assert_eq!(chunked(Some(&long)), expected);
    }

    #[test]
    fn placeholders_are_the_values_of_the_row_and_the_length_is_theirs() {
        let data = data();
        let spec = request("POST", "/u/{id}", &["X: {id}{none}"], Some("{\"n\":\"{name}\"}"));
        let template = Template::new(&spec, "h", &[], Some(&data)).unwrap();
        let expected = "POST /u/7 HTTP/1.1\r\nHost: h\r\nX: 7\r\nContent-Length: 11\r\n\r\n\
                        {\"n\":\"Ann\"}";
        assert_eq!(written(&template, 0, Some(&data)), expected);
        let expected = "POST /u/12345 HTTP/1.1\r\nHost: h\r\nX: 12345\r\nContent-Length: 11\r\n\r\n\
                        {\"n\":\"B\u{e9}\"}";
        assert_eq!(written(&template, 1, Some(&data)), expected);
        let chunked =
            RequestSpec { is_chunked: true, ..request("POST", "/", &[], Some("<{id}{none}>")) };
        let template = Template::new(&chunked, "h", &[], Some(&data)).unwrap();
        let expected = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                        1\r\n<\r\n5\r\n12345\r\n1\r\n>\r\n0\r\n\r\n";
        assert_eq!(written(&template, 1, Some(&data)), expected);
    }

    #[test]
    fn only_a_name_in_braces_is_a_placeholder_and_two_braces_are_one() {
        use Piece::{Name, Text};
        let cut = |text: &'static str| -> Vec<Piece<'static>> {
            let all = pieces(text.as_bytes()).into_iter();
            all.filter(|piece| *piece != Text(b"")).collect()
        };
        assert_eq!(cut("{a}-{b_1.c}"), [Name("a"), Text(b"-"), Name("b_1.c")]);
        assert_eq!(cut("{{a}}"), [Text(b"{a}")]);
        assert_eq!(cut("{{{a}}}"), [Text(b"{"), Text(b"{a}"), Text(b"}")]);
        for text in ["{\"a\":{\"b\":1}}", "{}", "{1}", "{a b}", "{a", "a}", "{{", "{{a}", "{{}}"] {
            let expected = match text {
                "{{a}" => vec![Text(b"{"), Name("a")],
                _ => vec![Text(text.as_bytes())],
            };
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error_that_names_the_remedy() {
        let complaint = |body: &str, data: Option<&DataFile>| {
            let spec = request("POST", "/", &[], Some(body));
            Template::new(&spec, "h", &[], data).unwrap_err()
        };
        assert!(complaint("{x}", None).contains("'{x}' in the body stands for a value"));
        let said = complaint("{x}", Some(&data()));
        assert!(said.contains("its columns are id, name, none"), "{said}");
        let file = Body { bytes: b"{x}".to_vec(), is_file: true };
        let spec = RequestSpec { body: Some(file), ..request("POST", "/", &[], None) };
        assert!(Template::new(&spec, "h", &[], None).unwrap().is_constant());
        assert!(Template::new(&spec, "h", &[], Some(&data())).is_err());
        let binary = Body { bytes: b"\xff{x}".to_vec(), is_file: true };
        let spec = RequestSpec { body: Some(binary), ..spec };
        assert!(Template::new(&spec, "h", &[], Some(&data())).unwrap().is_constant());
    }

    #[test]
    fn values_that_would_break_a_path_or_a_header_are_refused_with_their_line() {
        let data = DataFile::of_csv("d.csv", "a,b\n1,2\nx y,\"l\nm\"\n").unwrap();
        let complaint = |path: &str, header: &str| {
            Template::new(&request("GET", path, &[header], None), "h", &[], Some(&data))
                .unwrap_err()
        };
        let said = complaint("/{a}", "A: b");
        assert!(said.contains("d.csv, line 3: the value 'x y' of 'a'") && said.contains("%20"));
        assert!(complaint("/", "A: {b}").contains("d.csv, line 3: the value"));
        let spec = request("GET", "/", &["A: {a}"], Some("{b}"));
        assert!(Template::new(&spec, "h", &[], Some(&data)).is_ok());
    }

    proptest! {
        #![proptest_config(test_inputs::config(200))]

        #[test]
        fn a_request_may_be_made_in_any_steps(
            body in "[a-z{}]{0,20}(\\{id\\}|\\{name\\}|\\{none\\}|x){0,4}",
            is_chunked: bool,
            row in 0_usize..2,
            step in 1_usize..60,
        ) {
            let data = data();
            let mut spec = request("POST", "/{id}", &["A: {name}"], None);
            let body = Body::of_text(&body).unwrap();
            (spec.body, spec.is_chunked) = (Some(body), is_chunked);
            let Ok(template) = Template::new(&spec, "h", &[], Some(&data)) else { return Ok(()) };
            let whole = written(&template, row, Some(&data));
            let mut bytes = Vec::new();
            while bytes.len() < whole.len() {
                let limit = bytes.len() + step;
                template.append(row, Some(&data), bytes.len() as u64, &mut bytes, limit);
            }
            prop_assert_eq!(bytes, whole.into_bytes());
        }
    }
}
