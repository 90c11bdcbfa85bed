//! The responses. Each ends its connection, so that no client has to separate two of them.

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Accepted,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    Misdirected,
    HeadTooLarge,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Accepted => "202 Accepted",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::Conflict => "409 Conflict",
            Self::Misdirected => "421 Misdirected Request",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// A response before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: Status,
    content_type: &'static str,
    /// The allowed methods.
    allow: Option<&'static str>,
    pub(super) body: String,
}

impl Response {
    pub(super) fn new(status: Status, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, allow: None, body }
    }

    pub(super) fn text(status: Status, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(super) fn not_allowed(allow: &'static str) -> Self {
        let body = format!("this path takes {allow}\n");
        Self { allow: Some(allow), ..Self::text(Status::MethodNotAllowed, body) }
    }

    /// Its bytes, without the body if only the head was requested.
    pub(super) fn into_bytes(self, head_only: bool) -> Vec<u8> {
        let allow = self.allow.map(|methods| format!("Allow: {methods}\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status.line(),
            self.content_type,
            self.body.len(),
        );
        let body = if head_only { "" } else { &self.body };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_alone_has_the_length_of_the_body() {
        let response = Response::text(Status::Ok, "é\n");
        let whole = String::from_utf8(response.clone().into_bytes(false)).unwrap();
        let head = String::from_utf8(response.into_bytes(true)).unwrap();
        assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(whole, format!("{head}é\n"));
    }
}
