//! What a request consists of, as the user writes it, and the checks of its parts.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::body_expectation::BodyExpectation;
use crate::plan_files;

/// Longest body, as the longest payload of other protocols.
const BODY_BYTES_MAX: usize = 64 << 20;

/// One request, checked, with `{placeholders}` in path, headers and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestSpec {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Lines without their ends.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<Body>,
    /// Whether the body is sent in chunks, without its length before it.
    pub(crate) is_chunked: bool,
    /// How often it is sent, beside the weights of the others; nothing if it is not given.
    pub(crate) weight: Option<u32>,
    /// When it is due, in nanoseconds from the start of the run, if it has a time.
    pub(crate) at_ns: Option<u64>,
    /// What its replies' bodies must be; nothing where that is the same for all requests.
    pub(crate) expect_body: Option<BodyExpectation>,
}

impl RequestSpec {
    /// A `GET` without headers.
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::default(),
            path,
            headers: Vec::new(),
            body: None,
            is_chunked: false,
            weight: None,
            at_ns: None,
            expect_body: None,
        }
    }
}

/// The method of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Method(String);

impl Method {
    /// Its name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether replies have no body, whatever their heads say.
    pub(super) fn is_head(&self) -> bool {
        self.0 == "HEAD"
    }

    /// Whether a request without a body has a `Content-Length: 0` (RFC 9110, section 8.6).
    pub(super) fn states_empty_body(&self) -> bool {
        matches!(self.as_str(), "POST" | "PUT" | "PATCH")
    }
}

impl Default for Method {
    fn default() -> Self {
        Self("GET".to_owned())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err(format!("'{text}' is no method; write GET, HEAD, POST, PUT, DELETE, ..."));
        }
        if text == "CONNECT" {
            return Err("CONNECT makes a tunnel, which has no replies; use another method".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Whether it is the content of a file, which has placeholders only if there is data.
    pub(super) is_file: bool,
}

impl Body {
    /// The body of a text.
    ///
    /// # Errors
    ///
    /// If it is too long.
    pub(crate) fn of_text(text: &str) -> Result<Self, String> {
        Self { bytes: text.as_bytes().to_vec(), is_file: false }.within_bounds("the body")
    }

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and the remedy.
    pub(crate) fn of_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        // A file may be endless.
        let bytes = plan_files::read_at_most(path, BODY_BYTES_MAX as u64 + 1)
            .map_err(|error| format!("read {shown}: {error}; name the file of a body"))?;
        Self { bytes, is_file: true }.within_bounds(&format!("the body in {shown}"))
    }

    /// The bytes that a text in base64 (RFC 4648) stands for.
    ///
    /// # Errors
    ///
    /// A sentence that quotes the text.
    pub(crate) fn of_base64(text: &str) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text);
        let bytes = bytes.map_err(|error| format!("'{text}' is not base64: {error}"))?;
        Self { bytes, is_file: true }.within_bounds("the body")
    }

    /// A value of `--http-body`: a text, or `@` and the path of a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the remedy.
    pub(crate) fn of_argument(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(path) => Self::of_file(Path::new(path)),
            None => Self::of_text(text),
        }
    }

    /// Its length.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    fn within_bounds(self, what: &str) -> Result<Self, String> {
        match self.bytes.len() {
            0..=BODY_BYTES_MAX => Ok(self),
            _ => Err(format!("{what} has more than 64MiB, which is the most that is possible")),
        }
    }
}

/// Checks a path.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub(crate) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("'{text}' is no path; write it as /path"));
    }
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(format!("'{text}' is no path; write blanks and the like as %20")),
    }
}

/// Checks a header.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub(crate) fn header(text: &str) -> Result<String, String> {
    let name = name_of(text);
    if name.len() == text.len() || !is_token(name) {
        return Err(format!("'{text}' is no header; write it as 'Name: value'"));
    }
    if text.chars().any(|character| character.is_control() && character != '\t') {
        return Err("a header must be one line of printable text".to_owned());
    }
    if ["content-length", "transfer-encoding"].iter().any(|body| name.eq_ignore_ascii_case(body)) {
        return Err(format!(
            "'{name}' announces a body, and loadgen writes it by itself; leave it out, and give \
             the body (--http-body), or ask for chunks (--http-chunked)"
        ));
    }
    Ok(text.to_owned())
}

/// What stands before the colon of a header.
pub(in crate::wire) fn name_of(header: &str) -> &str {
    header.split_once(':').map_or(header, |(name, _)| name)
}

/// Whether this is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_would_break_the_request_is_refused() {
        for good in ["/", "/a?b=%20#c", "/{id}"] {
            assert_eq!(path(good).as_deref(), Ok(good));
        }
        for wrong in ["", "a", "/a b", "/a\r\nX: y", "/\u{e9}"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
        for good in ["Accept: */*", "X-Empty:", "Cookie:a=b; c=\u{e9}"] {
            assert_eq!(header(good).as_deref(), Ok(good));
        }
        for wrong in ["", "Accept", ": x", "A b: c", "A: b\r\nC: d", "content-length: 3"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
        assert!(header("Transfer-Encoding: chunked").unwrap_err().contains("--http-chunked"));
    }

    #[test]
    fn a_method_is_any_token_but_that_of_a_tunnel() {
        for good in ["GET", "PROPFIND", "M-SEARCH", "get"] {
            assert_eq!(good.parse::<Method>().unwrap().to_string(), good);
        }
        for (wrong, said) in
            [("", "is no method"), ("GET /", "is no method"), ("CONNECT", "tunnel")]
        {
            assert!(wrong.parse::<Method>().unwrap_err().contains(said), "{wrong}");
        }
    }

    #[test]
    fn a_body_is_a_text_or_the_content_of_a_file() {
        let folder = test_needs::folder();
        let file = folder.path().join("body");
        fs::write(&file, b"\x00{a}").unwrap();
        let body = Body::of_argument(&format!("@{}", file.display())).unwrap();
        assert_eq!((&body.bytes[..], body.is_file), (&b"\x00{a}"[..], true));
        assert_eq!(Body::of_argument("a@b").unwrap().bytes, b"a@b");
        assert!(Body::of_argument("@/no/such").unwrap_err().contains("name the file of a body"));
        let endless = Body::of_argument("@/dev/zero").unwrap_err();
        assert!(endless.contains("the body in /dev/zero has more than 64MiB"), "{endless}");
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert!(Body::of_text(&long).unwrap_err().contains("64MiB"));
    }
}
