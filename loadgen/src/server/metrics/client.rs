//! One request to a server's metrics, with a bound on its time and on its size.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::options::MetricsAddress;

/// How long one read of the metrics may take.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(2);

/// Largest response. evshard's has some 20 KiB a shard.
const BYTES_MAX: usize = 8 << 20;

/// Most header fields of a response.
const FIELDS_MAX: usize = 64;

/// A socket whose reads and writes can end early.
trait Stream: Read + Write {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

impl Stream for UnixStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

/// The body of the response.
///
/// # Errors
///
/// What went wrong, without the address.
pub(super) fn get(address: &MetricsAddress) -> Result<String, String> {
    let until = Instant::now() + READ_TIME_MAX;
    let response = ask(address, until).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("no complete response within {}", humantime::format_duration(READ_TIME_MAX))
        }
        _ => error.to_string(),
    })?;
    body(&response)
}

fn ask(address: &MetricsAddress, until: Instant) -> io::Result<Vec<u8>> {
    let mut stream: Box<dyn Stream> = match address {
        MetricsAddress::Unix(path) => Box::new(UnixStream::connect(path)?),
        MetricsAddress::Tcp { authority, .. } => Box::new(connect(authority, until)?),
    };
    stream.set_timeout(left(until)?)?;
    // Version 1.0 has no chunks, and ends with the connection.
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {}\r\nAccept: text/plain\r\n\r\n",
        address.path(),
        address.host()
    );
    stream.write_all(request.as_bytes())?;
    let (mut response, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        stream.set_timeout(left(until)?)?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(response),
            Ok(count) => response.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if is_over(&response) {
            return Ok(response);
        }
        if response.len() > BYTES_MAX {
            return Err(io::Error::other(format!("the response exceeds {BYTES_MAX} bytes")));
        }
    }
}

fn connect(authority: &str, until: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The time until then; an error if there is none.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Whether nothing more is needed: the body has its length, or this is no response of HTTP.
fn is_over(response: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    match parsed.parse(response) {
        Ok(httparse::Status::Complete(head)) => {
            content_length(&parsed).is_some_and(|length| response.len() - head >= length)
        }
        Ok(httparse::Status::Partial) => false,
        Err(_) => true,
    }
}

fn content_length(parsed: &httparse::Response<'_, '_>) -> Option<usize> {
    let mut fields = parsed.headers.iter();
    let field = fields.find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    str::from_utf8(field.value).ok()?.trim().parse().ok()
}

fn body(response: &[u8]) -> Result<String, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let head_length = match parsed.parse(response) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if response.is_empty() => {
            return Err("it closed the connection without a response".to_owned());
        }
        Ok(httparse::Status::Partial) => return Err("the response is cut off".to_owned()),
        Err(error) => return Err(format!("the response is not HTTP: {error}")),
    };
    if parsed.code != Some(200) {
        return Err(format!("the response has status {}", parsed.code.unwrap_or_default()));
    }
    let body = &response[head_length..];
    if content_length(&parsed).is_some_and(|length| length > body.len()) {
        return Err("the response is cut off".to_owned());
    }
    String::from_utf8(body.to_vec()).map_err(|_| "the response is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_from_a_complete_response_only() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n").unwrap(), "a 1\n");
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\na 1\n").unwrap(), "a 1\n");
        for (response, said) in [
            (&b""[..], "without a response"),
            (b"HTTP/1.1 200 OK\r\nConte", "cut off"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na 1\n", "cut off"),
            (b"HTTP/1.1 404 No\r\n\r\n", "status 404"),
            (b"-ERR unknown\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "no text"),
        ] {
            let complaint = body(response).unwrap_err();
            assert!(complaint.contains(said), "{complaint}");
        }
    }
}
