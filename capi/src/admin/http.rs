//! As much of HTTP/1.0 as a page needs: the request line, and a response that ends the connection.

/// The longest request. What curl and Prometheus send has some hundred bytes.
pub(super) const REQUEST_MAX: usize = 8 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    /// `HEAD`: the response has no body.
    pub(super) is_head: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    NotAllowed,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// What the bytes of a client are so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// The head is not complete.
    Part,
    Request(Request<'a>),
    /// They are no request, or one that is refused.
    Refused(Response),
}

/// Parses any bytes.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let is_complete = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .any(|end| bytes.windows(end.len()).any(|window| window == *end));
    if !is_complete {
        let is_too_long = bytes.len() >= REQUEST_MAX;
        return if is_too_long {
            Parsed::Refused(bad("the request is too long"))
        } else {
            Parsed::Part
        };
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words: Vec<&str> =
        str::from_utf8(line).unwrap_or_default().split_ascii_whitespace().collect();
    let [method, target, version] = words[..] else {
        return Parsed::Refused(bad("send: GET / HTTP/1.0"));
    };
    if !version.starts_with("HTTP/1.") {
        return Parsed::Refused(bad("send: GET / HTTP/1.0"));
    }
    if method != "GET" && method != "HEAD" {
        return Parsed::Refused(Response::text(Status::NotAllowed, "use GET or HEAD\n".to_owned()));
    }
    let path = target.split('?').next().unwrap_or_default();
    Parsed::Request(Request { path, is_head: method == "HEAD" })
}

fn bad(why: &str) -> Response {
    Response::text(Status::BadRequest, format!("{why}\n"))
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed\r\nAllow: GET, HEAD",
        }
    }
}

impl Response {
    pub(super) fn text(status: Status, body: String) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }

    pub(super) fn into_bytes(self, is_head: bool) -> Vec<u8> {
        let Self { status, content_type, body } = self;
        let mut response = format!(
            "HTTP/1.0 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            status.line(),
            body.len()
        );
        if !is_head {
            response.push_str(&body);
        }
        response.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &[u8]) -> Option<Status> {
        match parse(bytes) {
            Parsed::Refused(response) => Some(response.status),
            Parsed::Part | Parsed::Request(_) => None,
        }
    }

    #[test]
    fn a_request_is_its_path_without_the_query() {
        let get = |path| Parsed::Request(Request { path, is_head: false });
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), get("/"));
        assert_eq!(parse(b"GET /metrics?a HTTP/1.0\n\n"), get("/metrics"));
        let head = Request { path: "/", is_head: true };
        assert_eq!(parse(b"HEAD / HTTP/1.0\r\n\r\nmore"), Parsed::Request(head));
        assert_eq!(parse(b"GET / HTTP/1.0\r\n"), Parsed::Part);
        assert_eq!(parse(b""), Parsed::Part);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [&b"\n\n"[..], b"\0\xff\r\n\r\n", b"GET /\r\n\r\n", b"GET / GOPHER/1 \n\n"] {
            assert_eq!(status(bytes), Some(Status::BadRequest), "{}", bytes.escape_ascii());
        }
        assert_eq!(status(b"POST / HTTP/1.1\r\n\r\n"), Some(Status::NotAllowed));
        assert_eq!(status(&[b'a'; REQUEST_MAX - 1]), None);
        assert_eq!(status(&[b'a'; REQUEST_MAX]), Some(Status::BadRequest));
    }

    #[test]
    fn a_response_says_how_long_it_is_and_a_head_has_no_body() {
        let response = || Response::text(Status::NotFound, "none\n".to_owned());
        let text = String::from_utf8(response().into_bytes(false)).expect("text");
        assert!(text.starts_with("HTTP/1.0 404 Not Found\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 5\r\n") && text.ends_with("\r\n\r\nnone\n"));
        let head = String::from_utf8(response().into_bytes(true)).expect("text");
        assert_eq!(text.strip_suffix("none\n"), Some(&*head));
    }
}
