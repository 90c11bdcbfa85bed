//! The HTTP/1.1 requests in what a client sent.

use super::Imported;
use crate::wire::http::{Method, header, path};

/// Longest head; servers allow less.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Longest body, as the loader can send.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;
const HEADERS_MAX: usize = 256;

/// Headers that a loader writes itself, because they say how one message is sent.
const OF_THE_MESSAGE: [&str; 7] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "transfer-encoding",
    "trailer",
];

/// The request at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It has not come whole, and needs at least so many bytes.
    Incomplete { needed: usize },
    /// The request, without its time, and how many bytes it has.
    Request(Imported, usize),
    /// No request of HTTP/1.1 that can be repeated.
    Invalid,
}

/// Parses the request at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_bytes = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => {
            return Parsed::Incomplete { needed: bytes.len() + 1 };
        }
        Ok(httparse::Status::Partial) | Err(_) => return Parsed::Invalid,
    };
    let path = head.path.and_then(|text| path(text).ok());
    let (Some(method), Some(path)) = (head.method, path) else { return Parsed::Invalid };
    if method.parse::<Method>().is_err() {
        return Parsed::Invalid;
    }
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| str::from_utf8(header.value).ok())
    };
    let is_chunked = value("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    let body = if is_chunked {
        chunks(&bytes[head_bytes..])
    } else {
        let length = value("content-length").map_or(Ok(0), |value| value.trim().parse::<usize>());
        sized(&bytes[head_bytes..], length.unwrap_or(usize::MAX))
    };
    let (body, body_bytes) = match body {
        Body::Whole(body, length) => (body, length),
        Body::Incomplete { needed } => return Parsed::Incomplete { needed: head_bytes + needed },
        Body::Invalid => return Parsed::Invalid,
    };
    let request =
        Imported { at_ns: 0, method: method.to_owned(), path, headers: kept(head.headers), body };
    Parsed::Request(request, head_bytes + body_bytes)
}

/// The headers that are those of the request, and not of one message.
fn kept(headers: &[httparse::Header<'_>]) -> Vec<String> {
    let is_kept = |name: &str| !OF_THE_MESSAGE.contains(&name.to_ascii_lowercase().as_str());
    let line = |kept: &httparse::Header<'_>| {
        let value = str::from_utf8(kept.value).ok()?;
        header(&format!("{}: {value}", kept.name)).ok()
    };
    headers.iter().filter(|header| is_kept(header.name)).filter_map(line).collect()
}

/// The body at the beginning of some bytes.
enum Body {
    /// It has not come whole, and needs at least so many bytes.
    Incomplete { needed: usize },
    /// The body, and how many bytes it has on the wire.
    Whole(Vec<u8>, usize),
    /// There is none, or it is too long.
    Invalid,
}

fn sized(bytes: &[u8], length: usize) -> Body {
    match bytes.get(..length) {
        _ if length > BODY_BYTES_MAX => Body::Invalid,
        Some(body) => Body::Whole(body.to_vec(), length),
        None => Body::Incomplete { needed: length },
    }
}

/// A body in chunks (RFC 9112, section 7.1). Trailers are left out.
fn chunks(bytes: &[u8]) -> Body {
    let (mut chunks, mut length, mut at) = (Vec::new(), 0, 0);
    loop {
        let (line, size) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Body::Incomplete { needed: bytes.len() + 1 },
            Err(_) => return Body::Invalid,
        };
        at += line;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > BODY_BYTES_MAX - length {
            return Body::Invalid;
        }
        let end = at + size;
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => chunks.push(at..end),
            Some(_) => return Body::Invalid,
            None => return Body::Incomplete { needed: end + 2 },
        }
        (at, length) = (end + 2, length + size);
    }
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return Body::Incomplete { needed: bytes.len() + 1 };
        };
        at += line + 2;
        if line == 0 {
            break;
        }
    }
    let mut body = Vec::with_capacity(length);
    chunks.into_iter().for_each(|chunk| body.extend_from_slice(&bytes[chunk]));
    Body::Whole(body, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n\
          3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nT: u\r\n\r\n";
    const SIZED: &[u8] = b"PUT /q?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn a_request_is_parsed_once_it_is_whole() {
        for (bytes, method, path, headers, body) in [
            (CHUNKED, "POST", "/p", vec!["X: y".to_owned()], "abcde"),
            (SIZED, "PUT", "/q?a=b", vec![], "abc"),
        ] {
            for length in 0..bytes.len() {
                let Parsed::Incomplete { needed } = parse(&bytes[..length]) else {
                    panic!("{length} bytes of {path}");
                };
                assert!((length + 1..=bytes.len()).contains(&needed), "{length}: {needed}");
            }
            let (method, path) = (method.to_owned(), path.to_owned());
            let request = Imported { at_ns: 0, method, path, headers, body: body.into() };
            let followed = [bytes, b"GET"].concat();
            assert_eq!(parse(&followed), Parsed::Request(request, bytes.len()));
        }
    }

    #[test]
    fn what_cannot_be_repeated_is_invalid() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET http://a/b HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        ] {
            assert_eq!(parse(bytes), Parsed::Invalid, "{}", bytes.escape_ascii());
        }
        let endless = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'x'; HEAD_BYTES_MAX]].concat();
        assert_eq!(parse(&endless), Parsed::Invalid);
    }
}
