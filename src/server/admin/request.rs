//! The head of an HTTP request.

use super::response::{Response, Status};

/// The longest accepted head.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Maximum of headers; browsers send some thirty.
const HEADERS_MAX: usize = 64;

/// The used parts of a request. Bodies are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// The value of `Host`.
    pub(super) host: Option<String>,
    /// Whether a page in a browser sent it, and not the operator.
    pub(super) is_from_a_page: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// The state of a head in a buffer.
#[derive(Debug)]
pub(super) enum Head {
    Partial,
    Complete(Request),
    /// Not HTTP, and the response to it.
    Bad(Response),
}

impl Request {
    /// Whether the query has this word.
    pub(super) fn wants(&self, word: &str) -> bool {
        self.query.split('&').any(|part| part == word)
    }
}

/// Parses the head at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => complete(&request),
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => Head::Partial,
        Ok(httparse::Status::Partial) => too_large("bytes"),
        Err(httparse::Error::TooManyHeaders) => too_large("headers"),
        Err(error) => Head::Bad(Response::text(Status::BadRequest, format!("{error}\n"))),
    }
}

fn complete(request: &httparse::Request<'_, '_>) -> Head {
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let target = origin_form(request.path.unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header =
        |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    Head::Complete(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        host: header("host").map(|header| String::from_utf8_lossy(header.value).into_owned()),
        is_from_a_page: header("origin").is_some(),
    })
}

/// The target without `http://host`, which only proxies send and every server must accept.
fn origin_form(target: &str) -> &str {
    match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    }
}

fn too_large(what: &str) -> Head {
    let text = format!(
        "the head has too many {what}; {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers fit\n"
    );
    Head::Bad(Response::text(Status::HeadTooLarge, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Head::Complete(request) => request,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn a_head_is_understood_as_far_as_it_matters() {
        let found = request("GET /stats?a=1&histograms HTTP/1.1\r\nHost: x\r\n\r\nbody");
        assert_eq!((found.method, found.path.as_str()), (Method::Get, "/stats"));
        assert!(found.wants("histograms") && !found.wants("a") && !found.is_from_a_page);
        assert_eq!(request("HEAD http://h:1/metrics HTTP/1.0\r\n\r\n").path, "/metrics");
        assert_eq!(request("OPTIONS http://host HTTP/1.1\r\n\r\n").path, "/");
        assert!(request("POST /drain HTTP/1.1\r\nORIGIN: http://e\r\n\r\n").is_from_a_page);
    }

    #[test]
    fn what_is_not_http_gets_an_error_response() {
        for bytes in [&b"\0\0\0\0"[..], b"PRI * HTTP/2.0\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01"]
        {
            assert!(matches!(parse(bytes), Head::Bad(_)), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_too_large_in_the_end() {
        let mut text = b"GET / HTTP/1.1\r\nA: ".to_vec();
        text.resize(HEAD_BYTES_MAX - 1, b'a');
        assert!(matches!(parse(&text), Head::Partial));
        text.push(b'a');
        assert!(matches!(parse(&text), Head::Bad(_)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(parse(many.as_bytes()), Head::Bad(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"GET /", &bytes[..], b" HTTP/1.1\r\n\r\n"].concat());
        }
    }
}
