//! The head of a reply.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

use super::super::mismatch::{Fault, server_message};

/// Number of headers that take no allocation. There may be as many as the bytes of a head hold.
const HEADERS_USUAL: usize = 64;

/// The shortest header, with the end of its line: `a:` and a line feed.
const HEADER_BYTES_MIN: usize = 3;

/// Where a body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// After this number of bytes.
    Length(u64),
    /// With the last of its chunks.
    Chunks,
    /// When the server closes the connection.
    UntilClose,
}

/// The fields of a reply's head that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: BodyEnd,
    /// Whether the server closes the connection after this reply.
    pub(super) closes: bool,
}

impl Head {
    /// Parses the head that `bytes` begin with. Returns its length and its fields, or nothing if
    /// its end has not been received.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(usize, Self)>, Fault> {
        // The parser accepts empty lines before a head, but a reply must not begin with one.
        if bytes.first().is_some_and(|&first| first != b'H') {
            return Err(Fault::at(bytes, 0, Some(b'H'), server_message(bytes)));
        }
        match parse(bytes, |response, length| Self::new(response, &bytes[..length])) {
            Ok(Status::Partial) => Ok(None),
            Ok(Status::Complete((length, head))) => head.map(|head| Some((length, head))),
            Err(error) => {
                let note = format!("not HTTP/1.1: {error}; {}", server_message(bytes));
                Err(Fault::search(bytes, note, |beginning| parse(beginning, |_, _| ()).is_err()))
            }
        }
    }

    /// Whether another head follows that answers the same request.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    fn new(response: &Response<'_, '_>, bytes: &[u8]) -> Result<Self, Fault> {
        let mut length = None;
        let mut chunked = None;
        let (mut closes, mut keeps_alive) = (false, response.version != Some(0));
        for Header { name, value } in response.headers.iter() {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(content_length(value, length, bytes)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // "identity" stands for no coding (RFC 2616, section 3.6).
                if let Some(last) = words(value).filter(|word| !is(word, "identity")).last() {
                    chunked = Some(is(last, "chunked"));
                }
            } else if name.eq_ignore_ascii_case("connection") {
                keeps_alive |= words(value).any(|word| is(word, "keep-alive"));
                closes |= words(value).any(|word| is(word, "close"));
            }
        }
        let status = response.code.unwrap_or_default();
        let body = match (status, chunked, length) {
            (100..200 | 204 | 304, ..) => BodyEnd::Length(0),
            (_, Some(true), _) => BodyEnd::Chunks,
            (_, None, Some(length)) => BodyEnd::Length(length),
            (_, Some(false), _) | (_, None, None) => BodyEnd::UntilClose,
        };
        Ok(Self { status, body, closes: closes || !keeps_alive })
    }
}

/// Parses the head that `bytes` begin with, and calls `read` with it and its length. Headers may be
/// folded (RFC 9112, section 5.2).
pub(in crate::wire) fn parse<T>(
    bytes: &[u8],
    read: impl FnOnce(&Response<'_, '_>, usize) -> T,
) -> httparse::Result<(usize, T)> {
    let mut parser = ParserConfig::default();
    parser.allow_obsolete_multiline_headers_in_responses(true);
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_USUAL];
    let mut more_headers = Vec::new();
    let mut response = Response::new(&mut []);
    let mut parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        more_headers.resize(bytes.len() / HEADER_BYTES_MIN, MaybeUninit::uninit());
        response = Response::new(&mut []);
        parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut more_headers);
    }
    Ok(match parsed? {
        Status::Partial => Status::Partial,
        Status::Complete(length) => Status::Complete((length, read(&response, length))),
    })
}

/// The value of a Content-Length header: a number, or a list of equal ones (RFC 9110, section 8.6).
/// It must not contradict an earlier one.
fn content_length(value: &[u8], earlier: Option<u64>, head: &[u8]) -> Result<u64, Fault> {
    let number = |word: &[u8]| {
        let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(word).ok().filter(|_| is_number)?.parse::<u64>().ok()
    };
    let mut lengths = value.split(|&byte| byte == b',').map(|word| number(word.trim_ascii()));
    let first = earlier.or_else(|| lengths.clone().next()?);
    match first.filter(|_| lengths.all(|length| length == first)) {
        Some(length) => Ok(length),
        None => {
            // The value is a slice of the head, so the distance is its offset there.
            let at = value.as_ptr().addr() - head.as_ptr().addr();
            let note = format!("a Content-Length that cannot be right: '{}'", value.escape_ascii());
            Err(Fault::at(head, at, None, note))
        }
    }
}

/// The words of a header's list, which commas separate. It may have empty elements.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(usize, Head)>, Fault> {
        Head::read(text.as_bytes())
    }

    #[track_caller]
    fn head(lines: &str) -> Head {
        let text = format!("HTTP/1.1 {lines}\r\n\r\n");
        let (length, head) = read(&format!("{text}HTTP")).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn the_body_ends_where_the_head_says() {
        let body = |lines| head(lines).body;
        assert_eq!(body("200 OK\r\nContent-Length: 12"), BodyEnd::Length(12));
        assert_eq!(body("200 OK\r\ncontent-length:0"), BodyEnd::Length(0));
        assert_eq!(body("200 OK\r\nContent-Length: 3\r\nContent-Length: 3"), BodyEnd::Length(3));
        assert_eq!(body("200 OK\r\nTransfer-Encoding: Chunked"), BodyEnd::Chunks);
        assert_eq!(body("200 OK\r\nTransfer-Encoding: gzip, chunked"), BodyEnd::Chunks);
        let both = "200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked";
        assert_eq!(body(both), BodyEnd::Chunks, "chunks win");
        assert_eq!(body("204 No Content"), BodyEnd::Length(0));
        assert_eq!(body("304 Not Modified\r\nContent-Length: 12"), BodyEnd::Length(0));
        assert_eq!(body("100 Continue"), BodyEnd::Length(0));
        assert_eq!(body("200 OK"), BodyEnd::UntilClose);
        assert_eq!(body("200 OK\r\nTransfer-Encoding: gzip"), BodyEnd::UntilClose);
        assert_eq!(body("200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3"), BodyEnd::Length(3));
    }

    #[test]
    fn the_coding_identity_is_none() {
        let body = |lines: &str| head(&format!("200 OK\r\n{lines}")).body;
        assert_eq!(body("Transfer-Encoding: identity\r\nContent-Length: 5"), BodyEnd::Length(5));
        assert_eq!(body("Content-Length: 5\r\nTransfer-Encoding: Identity"), BodyEnd::Length(5));
        assert_eq!(body("Transfer-Encoding: identity"), BodyEnd::UntilClose);
        assert_eq!(body("Transfer-Encoding: chunked, identity,"), BodyEnd::Chunks);
        assert_eq!(
            body("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            BodyEnd::Chunks
        );
    }

    #[test]
    fn a_folded_header_is_one_header() {
        let folded = |lines: &str| head(&format!("200 OK\r\n{lines}"));
        assert_eq!(folded("Content-Length:\r\n\t12\r\nA: b\r\n  c").body, BodyEnd::Length(12));
        assert_eq!(folded("Transfer-Encoding: gzip,\r\n chunked").body, BodyEnd::Chunks);
        assert!(folded("Connection: x,\r\n close").closes);
        assert!(!folded("A: b,\r\n Connection: close").closes, "the fold belongs to A");
        assert!(read("HTTP/1.1 200 OK\r\n folded: what\r\n\r\n").is_err(), "nothing to fold");
    }

    #[test]
    fn a_head_has_as_many_headers_as_fit() {
        for count in [0, 63, 64, 65, 101, 20_000] {
            let lines = "a:\n".repeat(count) + "Content-Length: 7\r\nConnection: close";
            let found = head(&format!("200 OK\r\n{lines}"));
            assert_eq!((found.body, found.closes), (BodyEnd::Length(7), true), "{count}");
        }
    }

    #[test]
    fn a_connection_stays_unless_the_head_says_otherwise() {
        let closes = |connection: &str| head(&format!("204 No\r\n{connection}")).closes;
        assert!(!closes("A: close"));
        assert!(!closes("Connection: keep-alive"));
        assert!(closes("connection: Close"));
        assert!(closes("Connection: x, close"));
        assert!(closes("Connection: close\r\nConnection: keep-alive"), "both are one list");
        let old = |connection: &str| {
            let text = format!("HTTP/1.0 200 OK\r\nContent-Length: 1{connection}\r\n\r\n");
            read(&text).unwrap().unwrap().1.closes
        };
        assert!(old(""));
        assert!(!old("\r\nConnection: Keep-Alive"));
    }

    #[test]
    fn a_head_is_nothing_until_its_last_byte_has_come() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        for length in 0..text.len() {
            assert_eq!(read(&text[..length]), Ok(None), "{length}");
        }
        assert!(read(text).unwrap().is_some());
    }

    #[test]
    fn what_is_no_head_is_located() {
        let offset = |text: &str| read(text).unwrap_err().offset_bytes;
        assert_eq!(offset("\r\nHTTP/1.1 200 OK\r\n\r\n"), 0);
        assert_eq!(offset("HTTQ/1.1 200 OK\r\n\r\n"), 3);
        assert_eq!(offset("HTTP/1.1 2x0 OK\r\n\r\n"), 10);
        assert_eq!(offset("HTTP/1.1 200 OK\r\nA\x01: b\r\n\r\n"), 18);
        assert_eq!(offset("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n"), 33);
        let two = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(offset(two), 52);
        assert_eq!(offset("HTTP/1.1 200 OK\r\nContent-Length: 1,2\r\n\r\n"), 33);
        let many = format!("HTTP/1.1 200 OK\r\n{}A\x01: b\r\n\r\n", "a:\r\n".repeat(300));
        assert_eq!(offset(&many), 18 + 4 * 300);
    }
}
