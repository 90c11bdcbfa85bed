//! The thread that answers scrapes. It shares one text with the measurement, and nothing else.
//!
//! A scraper can be slow, silent, greedy or many: connections, their time, the bytes of a request
//! and the answers in a second have a bound. What exceeds it waits in the backlog of the socket.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most open connections. Prometheus has one; a hundred scrapers take two rounds.
const CONNECTIONS_MAX: usize = 64;

/// How long one request and its answer may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest request. Those of Prometheus have some 300 bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Most header fields of a request.
const FIELDS_MAX: usize = 64;

/// Most connections accepted in a second: scrapers in a loop must not occupy a processor.
const ACCEPTS_PER_S_MAX: u32 = 200;

/// The text of the next answers.
pub(super) type Page = Arc<Mutex<Arc<str>>>;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Responder {
    address: SocketAddr,
    page: Page,
    /// Its end is what ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Listens, and starts the thread, which answers with this text at first.
    pub(super) fn start(address: &str, text: String) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let page: Page = Arc::new(Mutex::new(text.into()));
        let (stop, stopped) = UnixStream::pair()?;
        let state = Scrapes {
            listener,
            stopped,
            page: Arc::clone(&page),
            connections: Vec::new(),
            second: Instant::now(),
            accepted: 0,
        };
        let name = "metrics".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || state.answer_all())?;
        Ok(Self { address, page, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, the port that the kernel chose included.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the text of the next answers.
    pub(super) fn publish(&self, text: String) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Scrapes {
    listener: TcpListener,
    stopped: UnixStream,
    page: Page,
    connections: Vec<Connection>,
    /// When the second began in which `accepted` connections were accepted.
    second: Instant,
    accepted: u32,
}

/// A scraper's connection.
struct Connection {
    stream: TcpStream,
    until: Instant,
    request: Vec<u8>,
    /// The answer, and how much of it is sent, once the request is complete.
    answer: Option<(Vec<u8>, usize)>,
}

impl Scrapes {
    fn answer_all(mut self) {
        loop {
            let Some((ready, accepts)) = self.wait() else { return };
            let mut ready = ready.into_iter();
            let now = Instant::now();
            let page = &self.page;
            self.connections.retain_mut(|connection| {
                let goes_on = ready.next() != Some(true) || connection.go_on(page);
                goes_on && now < connection.until
            });
            if accepts {
                self.accept(now);
            }
        }
    }

    /// Waits until there is something to do: which connections are ready, and whether there are new
    /// ones. Nothing once the thread is to end.
    fn wait(&mut self) -> Option<(Vec<bool>, bool)> {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.accepted) = (now, 0);
        }
        let has_room =
            self.connections.len() < CONNECTIONS_MAX && self.accepted < ACCEPTS_PER_S_MAX;
        let mut descriptors = vec![PollFd::new(&self.stopped, PollFlags::IN)];
        for connection in &self.connections {
            let flags = if connection.answer.is_some() { PollFlags::OUT } else { PollFlags::IN };
            descriptors.push(PollFd::new(&connection.stream, flags));
        }
        if has_room {
            descriptors.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let next_second = (!has_room).then(|| self.second + Duration::from_secs(1));
        let deadlines = self.connections.iter().map(|connection| connection.until);
        let timeout = deadlines.chain(next_second).min().map(|at| {
            let after = at.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() }
        });
        // A signal may end a wait early: then nothing is ready.
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            return Some((Vec::new(), false));
        }
        let mut ready = descriptors.iter().map(|descriptor| !descriptor.revents().is_empty());
        if ready.next() == Some(true) {
            return None;
        }
        let of_connections: Vec<bool> = ready.by_ref().take(self.connections.len()).collect();
        Some((of_connections, ready.next() == Some(true)))
    }

    fn accept(&mut self, now: Instant) {
        while self.connections.len() < CONNECTIONS_MAX && self.accepted < ACCEPTS_PER_S_MAX {
            match self.listener.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    let until = now + REQUEST_TIME_MAX;
                    let request = Vec::new();
                    self.connections.push(Connection { stream, until, request, answer: None });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Out of descriptors, or a connection that has gone: no more in this second, in
                // which the listener would stay ready.
                Err(error) if error.kind() != ErrorKind::ConnectionAborted => {
                    self.accepted = ACCEPTS_PER_S_MAX;
                    return;
                }
                _ => {}
            }
            self.accepted += 1;
        }
    }
}

impl Connection {
    /// Reads and writes what is possible; whether the connection goes on.
    fn go_on(&mut self, page: &Page) -> bool {
        if self.answer.is_none() {
            let mut buffer = [0; 2048];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.request.extend_from_slice(&buffer[..count]),
                Err(error) => return is_transient(&error),
            }
            self.answer = answer_to(&self.request, page).map(|answer| (answer, 0));
        }
        let Some((answer, sent)) = &mut self.answer else { return true };
        match self.stream.write(&answer[*sent..]) {
            Ok(count) => {
                *sent += count;
                *sent < answer.len()
            }
            Err(error) => is_transient(&error),
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The answer; nothing while the request is incomplete.
fn answer_to(request: &[u8], page: &Page) -> Option<Vec<u8>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let (status, body): (&str, Arc<str>) = match parsed.parse(request) {
        Ok(httparse::Status::Partial) if request.len() < REQUEST_BYTES_MAX => return None,
        Ok(httparse::Status::Partial) => {
            ("431 Request Header Fields Too Large", "the request is too long\n".into())
        }
        Err(_) => ("400 Bad Request", "this is no request of HTTP/1.1\n".into()),
        Ok(httparse::Status::Complete(_)) => {
            let path = parsed.path.unwrap_or_default();
            match (parsed.method, path.split('?').next()) {
                (Some("GET"), Some("/metrics")) => {
                    let page = page.lock().unwrap_or_else(PoisonError::into_inner);
                    ("200 OK", Arc::clone(&page))
                }
                (Some("GET"), _) => ("404 Not Found", "the metrics are at /metrics\n".into()),
                _ => ("405 Method Not Allowed\r\nAllow: GET", "use GET /metrics\n".into()),
            }
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), body.as_bytes()].concat())
}

#[cfg(test)]
mod tests;
