//! Requests that a file lists.
//!
//! ```text
//! # a comment
//! /a/path
//! {"method": "POST", "path": "/x", "headers": {"A": "b"}, "body": "text", "weight": 3}
//! {"at": 0.25, "method": "PUT", "path": "/x", "body_base64": "/w=="}
//! ```
//!
//! A line that begins with `/` is the path of a `GET`. Any other is a JSON object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::super::lines::{self, BYTES_MAX, REQUESTS_MAX};
use super::request::{Body, Method, RequestSpec, header, path};

/// The requests of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestFile {
    path: PathBuf,
    /// Each with the number of its line; at least one.
    requests: Vec<(usize, RequestSpec)>,
}

/// A line of the file, as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: Option<f64>,
    method: Option<String>,
    path: String,
    headers: Option<Headers>,
    body: Option<String>,
    body_file: Option<PathBuf>,
    body_base64: Option<String>,
    #[serde(default)]
    chunked: bool,
    weight: Option<u32>,
    expect_body: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "headers are {\"Name\": \"value\"} or [\"Name: value\"]")]
enum Headers {
    Named(BTreeMap<String, String>),
    Listed(Vec<String>),
}

impl RequestFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the line and the remedy.
    pub(crate) fn read_shared(name: &str) -> Result<Arc<Self>, String> {
        Self::read(name).map(Arc::new)
    }

    fn read(name: &str) -> Result<Self, String> {
        let text = lines::read(name, "a file of requests")?;
        let requests = parse(&text, Path::new(name))
            .map_err(|(line, why)| format!("{name}, line {line}: {why}"))?;
        let bytes = requests.iter().filter_map(|(_, request)| request.body.as_ref());
        let bytes: usize = bytes.map(Body::length).sum();
        match requests.len() {
            0 => Err(format!("{name} has no request; write a path on each line, such as /index")),
            count if count > REQUESTS_MAX => Err(format!(
                "{name} has {count} requests; at most {REQUESTS_MAX} are possible, and --data \
                 FILE has values for many more"
            )),
            _ if bytes > BYTES_MAX => {
                Err(format!("{name}: its bodies have {bytes} bytes; at most 1GiB is possible"))
            }
            _ => Ok(Self { path: name.into(), requests }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The requests, each with the number of its line.
    pub(super) fn requests(&self) -> &[(usize, RequestSpec)] {
        &self.requests
    }
}

fn parse(text: &str, file: &Path) -> Result<Vec<(usize, RequestSpec)>, (usize, String)> {
    let mut requests = Vec::new();
    for (number, line) in lines::numbered(text) {
        requests.push((number, request(line, file).map_err(|why| (number, why))?));
    }
    Ok(requests)
}

/// What a line can be.
const FORMS: &str = "begin it with the / of a path, or write a JSON object such as \
                     {\"method\":\"POST\",\"path\":\"/x\",\"body\":\"text\"}";

/// The beginning of a line, for an error.
fn cut(line: &str) -> &str {
    line.char_indices().nth(40).map_or(line, |(end, _)| &line[..end])
}

fn request(line: &str, file: &Path) -> Result<RequestSpec, String> {
    if line.starts_with('/') {
        return Ok(RequestSpec::get(path(line)?));
    }
    if !line.starts_with('{') {
        return Err(format!("'{}' is no request; {FORMS}", cut(line)));
    }
    let line: Line = serde_json::from_str(line)
        .map_err(|error| format!("{}; {FORMS}", lines::json_error(&error)))?;
    let headers = match line.headers {
        None => Vec::new(),
        Some(Headers::Listed(lines)) => lines,
        Some(Headers::Named(values)) => {
            values.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
        }
    };
    let body = match (line.body, line.body_file, line.body_base64) {
        (None, None, None) => None,
        (Some(text), None, None) => Some(Body::of_text(&text)?),
        // As a path that is written in a file usually is: relative to that file.
        (None, Some(name), None) => {
            Some(Body::of_file(&file.parent().unwrap_or(Path::new("")).join(name))?)
        }
        (None, None, Some(text)) => Some(Body::of_base64(&text)?),
        _ => return Err("body, body_file, body_base64: leave all but one out".into()),
    };
    if line.weight == Some(0) {
        return Err("a weight must be at least 1".to_owned());
    }
    Ok(RequestSpec {
        method: line.method.map_or(Ok(Method::default()), |method| method.parse())?,
        path: path(&line.path)?,
        headers: headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
        body,
        is_chunked: line.chunked,
        weight: line.weight,
        at_ns: line.at.map(lines::at_ns).transpose()?,
        expect_body: line.expect_body.map(|text| text.parse()).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_is_a_path_or_an_object() {
        let text = "\u{feff}# all\n/a?b\n\n  {\"path\":\"/x\",\"method\":\"POST\",\"body\":\"t\",\
                    \"headers\":{\"B\":\"c\",\"A\":\"b\"},\"weight\":3,\"chunked\":true}\n\
                    {\"path\":\"/y\",\"headers\":[\"Z: 1\",\"A: 2\"],\"expect_body\":\"length:2\"}";
        let requests = parse(text, Path::new("r")).unwrap();
        assert_eq!(requests[0], (2, RequestSpec::get("/a?b".to_owned())));
        let (line, second) = &requests[1];
        assert_eq!((*line, second.method.to_string().as_str(), &*second.path), (4, "POST", "/x"));
        assert_eq!(
            (&second.headers[..], second.weight),
            (&["A: b", "B: c"].map(String::from)[..], Some(3))
        );
        assert!(second.is_chunked && second.body == Some(Body::of_text("t").unwrap()));
        let (line, third) = &requests[2];
        assert_eq!((*line, &third.headers[..]), (5, &["Z: 1", "A: 2"].map(String::from)[..]));
        assert_eq!(third.expect_body, Some(super::super::BodyExpectation::Length(2)));
    }

    #[test]
    fn a_line_that_is_no_request_is_named_with_the_remedy() {
        for (line, said) in [
            ("x", "'x' is no request; begin it with the / of a path, or write a JSON object"),
            ("[\"/\"]", "'[\"/\"]' is no request"),
            ("{x", "(column 2); begin it with the / of a path"),
            ("/a b", "write blanks and the like as %20"),
            ("{\"path\":\"x\"}", "'x' is no path"),
            ("{\"method\":\"GET\"}", "missing field `path`"),
            ("{\"path\":\"/\",\"boby\":\"\"}", "unknown field `boby`"),
            ("{\"path\":\"/\",\"headers\":3}", "headers are {\"Name\": \"value\"} or"),
            ("{\"path\":\"/\",\"headers\":[\"A\"]}", "'A' is no header"),
            ("{\"path\":\"/\",\"headers\":{\"A b\":\"c\"}}", "'A b: c' is no header"),
            ("{\"path\":\"/\",\"weight\":0}", "at least 1"),
            ("{\"path\":\"/\",\"at\":-1}", "at -1: write the seconds"),
            ("{\"path\":\"/\",\"at\":1e300}", "write the seconds"),
            ("{\"path\":\"/\",\"body_base64\":\"?\"}", "'?' is not base64"),
            ("{\"path\":\"/\",\"method\":\"A B\"}", "'A B' is no method"),
            ("{\"path\":\"/\",\"body\":\"\",\"body_file\":\"x\"}", "leave all but one out"),
            ("{\"path\":\"/\",\"body_file\":\"/no/such\"}", "name the file of a body"),
            ("{\"path\":\"/\",\"expect_body\":\"x\"}", "'x' is no body to expect"),
        ] {
            let (number, why) = parse(&format!("/ok\n{line}"), Path::new("r")).unwrap_err();
            assert!(number == 2 && why.contains(said), "{line}: {why}");
        }
    }

    #[test]
    fn the_file_of_a_body_is_found_beside_the_file_of_the_requests() {
        let folder = test_needs::folder();
        fs::write(folder.path().join("body"), "content").unwrap();
        let name = folder.path().join("requests").display().to_string();
        fs::write(&name, "{\"path\":\"/\",\"body_file\":\"body\"}\n").unwrap();
        let file = RequestFile::read(&name).unwrap();
        assert_eq!(file.requests()[0].1.body.as_ref().unwrap().length(), 7);
        fs::write(&name, "# none\n").unwrap();
        assert!(RequestFile::read(&name).unwrap_err().contains("has no request; write a path"));
        assert!(RequestFile::read("/no/such").unwrap_err().contains("name a file of requests"));
        fs::write(&name, "/a\nb\n").unwrap();
        assert!(RequestFile::read(&name).unwrap_err().contains("requests, line 2: "));
    }
}
