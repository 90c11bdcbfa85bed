//! The client of a server's admin: one request, one response, then the close.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// The time for connecting, and for the request with its whole response: the admin itself waits a
/// second for shards that do not answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest accepted response.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const HEADERS_MAX: usize = 64;
/// Bytes of a wrong answer that an error quotes.
const SHOWN_BYTES_MAX: usize = 32;

/// The admin to connect to.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AdminArg {
    /// Address of the server's admin, as given to it with --admin.
    #[arg(long, value_name = "HOST:PORT|unix:PATH", default_value = "127.0.0.1:9100")]
    pub(crate) admin: AdminAddress,
}

/// The address of an admin, written `127.0.0.1:9100`, `http://127.0.0.1:9100` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    Tcp(String),
    Unix(PathBuf),
}

/// The response of an admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Why there is no response, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "nothing answers on {address}: {source}; is the server running with --admin {address}?"
    )]
    Silent { address: AdminAddress, source: io::Error },
    #[error(
        "{address} is busy: it did not take the connection within {ANSWER_TIME_MAX:?}; is the \
         server stopped?"
    )]
    Busy { address: AdminAddress },
    #[error(
        "{address} took the request and did not answer within {ANSWER_TIME_MAX:?}; is the server \
         stopped, or is this the port of its clients? The admin's address is that of --admin"
    )]
    Late { address: AdminAddress },
    #[error(
        "the answer from {address} broke off: {source}; did the server end, or is this the port \
         of its clients? The admin's address is that of --admin"
    )]
    Broken { address: AdminAddress, source: io::Error },
    #[error("{address} is not the admin of a server: {what}; use the address of its --admin")]
    Strange { address: AdminAddress, what: String },
    #[error("{address} answers {method} {path} with {status}: {message}")]
    Refused {
        address: AdminAddress,
        method: &'static str,
        path: String,
        status: u16,
        /// The body in one line.
        message: String,
    },
}

impl AdminAddress {
    /// Sends a GET request.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask("GET", path)
    }

    /// Sends a POST request.
    pub(crate) fn post(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &'static str, path: &str) -> Result<Answer, ClientError> {
        self.ask_within(ANSWER_TIME_MAX, method, path)
    }

    fn ask_within(
        &self,
        time_max: Duration,
        method: &'static str,
        path: &str,
    ) -> Result<Answer, ClientError> {
        let address = || self.clone();
        let stream = self.connect(time_max).map_err(|source| match is_late(&source) {
            true => ClientError::Busy { address: address() },
            false => ClientError::Silent { address: address(), source },
        })?;
        let request = format!("{method} {path} HTTP/1.0\r\nUser-Agent: evshard\r\n\r\n");
        let bytes = exchange(&stream, &request, time_max).map_err(|source| {
            if is_late(&source) {
                ClientError::Late { address: address() }
            } else {
                ClientError::Broken { address: address(), source }
            }
        })?;
        let answer = parse(&bytes, &request)
            .map_err(|what| ClientError::Strange { address: address(), what })?;
        if answer.status / 100 == 2 {
            return Ok(answer);
        }
        let message = answer.body.trim().replace('\n', "; ");
        let (address, path, status) = (self.clone(), path.to_owned(), answer.status);
        Err(ClientError::Refused { address, method, path, status, message })
    }

    fn connect(&self, time_max: Duration) -> io::Result<Socket> {
        match self {
            Self::Tcp(host) => connect_tcp(host, time_max),
            Self::Unix(path) => connect_unix(path, time_max),
        }
    }
}

/// Connects to the first of the host's addresses that accepts.
fn connect_tcp(host: &str, time_max: Duration) -> io::Result<Socket> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in host.to_socket_addrs()? {
        let stream = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        match stream.connect_timeout(&address.into(), time_max) {
            Ok(()) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_unix(path: &Path, time_max: Duration) -> io::Result<Socket> {
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // If the server's backlog is full, connecting blocks like sending (unix(7)).
    stream.set_write_timeout(Some(time_max))?;
    stream.connect(&SockAddr::unix(path)?)?;
    Ok(stream)
}

/// Whether the time was over.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Sends a request of HTTP 1.0, where a response ends with its connection. Bytes that are no HTTP
/// end it, too: who sends them may wait for more.
fn exchange(mut stream: &Socket, request: &str, time_max: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + time_max;
    stream.set_write_timeout(Some(time_max))?;
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count <= ANSWER_BYTES_MAX => {
                bytes.extend_from_slice(&buffer[..count]);
                if !may_be_http(&bytes) {
                    return Ok(bytes);
                }
            }
            Ok(_) => return Err(io::Error::other("it is longer than 64 MiB")),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether these bytes can begin a response.
fn may_be_http(bytes: &[u8]) -> bool {
    let begin = b"HTTP/";
    bytes.iter().zip(begin).all(|(found, expected)| found == expected)
}

/// What answers instead of an admin.
fn met(bytes: &[u8], request: &str) -> String {
    if request.as_bytes().starts_with(bytes) {
        return "it sends back what it gets, as an echo service does".to_owned();
    }
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    format!("it sends \"{}\"", shown.escape_ascii())
}

/// The answer to a request, or what came instead.
fn parse(bytes: &[u8], request: &str) -> Result<Answer, String> {
    if !may_be_http(bytes) {
        return Err(met(bytes, request));
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(head) = parsed else {
        return Err("the head of its response is not complete".to_owned());
    };
    let status = response.code.unwrap_or_default();
    let body = &bytes[head..];
    let is_length =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
    if let Some(length) = response.headers.iter().find(is_length)
        && std::str::from_utf8(length.value).ok().and_then(|text| text.parse().ok())
            != Some(body.len())
    {
        return Err("its response has the wrong length".to_owned());
    }
    let body =
        String::from_utf8(body.to_vec()).map_err(|_| "its response is no text".to_owned())?;
    Ok(Answer { status, body })
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path is missing, write unix:/run/evshard/admin".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let host = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(host.to_owned()))
            }
            _ => Err("write HOST:PORT, such as 127.0.0.1:9100, or unix:PATH".to_owned()),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => f.write_str(host),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Panics unless the client keeps what it promises for a server that answers with these bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn admin_response(bytes: &[u8]) {
    let request = "GET /stats HTTP/1.0\r\n\r\n";
    // Once it cannot be HTTP, more bytes do not change that.
    let first_wrong = (0..=bytes.len()).find(|&length| !may_be_http(&bytes[..length]));
    assert_eq!(first_wrong.is_none(), may_be_http(bytes));
    assert!(first_wrong <= Some(b"HTTP/".len()), "it is known at the first wrong byte");
    match parse(bytes, request) {
        Ok(Answer { status, body }) => {
            assert!(may_be_http(bytes) && bytes.ends_with(body.as_bytes()));
            let again =
                format!("HTTP/1.1 {status:03} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            assert_eq!(parse(again.as_bytes(), request), Ok(Answer { status, body }));
        }
        Err(what) => assert!(!what.is_empty() && !what.contains(char::is_control)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;
    use test_inputs::like;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in like(&[
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.0 503 Service Unavailable\r\n\r\nstuck\n",
            b"GET /stats HTTP/1.0\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
        ])) {
            admin_response(&bytes);
        }
    }

    #[test]
    fn a_server_that_takes_no_connection_is_not_waited_for_for_ever() {
        let folder = test_needs::folder();
        let path = folder.path().join("admin");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let _queued = connect_unix(&path, SHORT).unwrap();
        let error = AdminAddress::Unix(path).ask_within(SHORT, "GET", "/stats").unwrap_err();
        assert!(matches!(error, ClientError::Busy { .. }), "{error}");
    }

    #[test]
    fn a_server_that_says_nothing_or_goes_on_for_ever_is_left_in_time() {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = AdminAddress::Tcp(mute.local_addr().unwrap().to_string());
        let error = address.ask_within(SHORT, "GET", "/stats").unwrap_err();
        assert!(error.to_string().contains("did not answer within"), "{error}");
        assert!(error.to_string().contains("--admin"), "{error}");
        let server = std::thread::spawn(move || {
            let (_, _) = mute.accept().unwrap();
            let (mut dripping, _) = mute.accept().unwrap();
            let head = b"HTTP/1.1 200 OK\r\nA: ".iter().chain(std::iter::repeat(&b'x'));
            for byte in head {
                if dripping.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(SHORT / 10);
            }
        });
        let error = address.ask_within(SHORT, "GET", "/stats").unwrap_err();
        assert!(matches!(error, ClientError::Late { .. }), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn another_port_than_the_admins_looks_like_a_server_that_is_stopped() {
        let request = "GET /stats HTTP/1.0\r\nUser-Agent: evshard\r\n\r\n";
        for (answer, expected) in [
            (request, "it sends back what it gets, as an echo service does"),
            (&request[..1], "it sends back what it gets"),
            (" !\"#$%&'()*+,-./0123456789:;<=>?@ABC", "it sends \" !\\\"#$%"),
            ("SSH-2.0-OpenSSH\r\n", "it sends \"SSH-2.0-OpenSSH\\r\\n\""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "the wrong length"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = AdminAddress::Tcp(listener.local_addr().unwrap().to_string());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut vec![0; request.len()]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                if answer.starts_with("HTTP") {
                    return;
                }
                // It waits for more, as the service of a data port does.
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let error = address.get("/stats").unwrap_err();
            assert!(matches!(error, ClientError::Strange { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("its --admin"), "{text}");
            server.join().unwrap();
        }
    }

    #[test]
    fn an_address_has_the_form_of_the_server_or_of_a_browser() {
        let tcp = |text: &str| AdminAddress::Tcp(text.to_owned());
        for (text, expected) in [
            ("127.0.0.1:9100", tcp("127.0.0.1:9100")),
            ("http://localhost:9100/", tcp("localhost:9100")),
            ("[::1]:9100", tcp("[::1]:9100")),
            ("unix:/run/a", AdminAddress::Unix("/run/a".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "9100", ":9100", "localhost", "localhost:http", "unix:", "https://x"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let answer = parse(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", "GET").unwrap();
        assert_eq!(answer, Answer { status: 202, body: "ok".to_owned() });
        for (bytes, expected) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"[..], "length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", "length"),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff", "text"),
            (b"HTTP/1.1 200", "complete"),
            (b"", "complete"),
            (b"SSH-2.0-OpenSSH\r\n", "it sends"),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "it sends"),
            (b"HTTP/2 200 OK\r\n\r\n", "invalid"),
        ] {
            let error = parse(bytes, "GET").unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
