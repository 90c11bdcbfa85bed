//! Shared by the tests: servers in this process and in their own, clients, the admin.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use evshard::server::{AcceptMode, ListenAddress, Outlet, Peer, Server, ServerConfig, Service};

use crate::common::{ServerProcess, TEST_TIMEOUT};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn config(accept: AcceptMode, workers: usize) -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::new(workers).unwrap(),
        accept,
        pin: false,
        ..ServerConfig::default()
    }
}

/// Runs a test in all accept modes at once, because such a test mostly waits.
pub(crate) fn in_every_mode(test: impl Fn(AcceptMode) + Sync) {
    thread::scope(|scope| {
        let threads = AcceptMode::ALL.map(|mode| {
            scope.spawn({
                let test = &test;
                move || test(mode)
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

pub(crate) fn address_of(server: &Server) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    address
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends bytes and reads as many.
pub(crate) fn ask(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Whether a byte comes back.
pub(crate) fn is_served(stream: &TcpStream) -> bool {
    ask(stream, b"x").is_ok()
}

/// Makes the drop of a connection a reset, which leaves no port in TIME_WAIT.
pub(crate) fn reset_when_dropped(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Also ends threads when a test fails, because the scope waits for them.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A server in a process of its own, and the address of its admin.
pub(crate) struct Watched {
    pub(crate) server: ServerProcess,
    pub(crate) admin: SocketAddr,
}

impl Watched {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let flags = [&["--admin", "127.0.0.1:0"], flags].concat();
        let mut server = ServerProcess::start(&flags);
        let line = server.next_line();
        let admin = line.strip_prefix("admin on ").and_then(|address| address.parse().ok());
        Self { server, admin: admin.unwrap_or_else(|| panic!("the second line is {line:?}")) }
    }

    /// The status and the body of a response of the admin.
    pub(crate) fn http(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = connect(self.admin);
        write!(stream, "{method} {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// The sum of a counter over all acceptors.
    pub(crate) fn of_acceptors(&self, name: &str) -> u64 {
        let stats: serde_json::Value = serde_json::from_str(&self.http("GET", "/stats").1).unwrap();
        let acceptors = stats["acceptors"].as_array().unwrap().iter();
        acceptors.map(|acceptor| acceptor[name].as_u64().unwrap()).sum()
    }
}

/// An echo. A worker that receives a `!` blocks until it is released.
#[derive(Clone, Default)]
pub(crate) struct Stoppable {
    stop: Arc<Stop>,
}

#[derive(Default)]
pub(crate) struct Stop {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Stoppable {
    /// Waits until this many workers have stopped.
    pub(crate) fn wait_for(&self, workers: usize) {
        let state = self.stop.state.lock().unwrap();
        let stopped = |state: &mut (usize, bool)| state.0 < workers;
        let (_state, late) =
            self.stop.changed.wait_timeout_while(state, TEST_TIMEOUT, stopped).unwrap();
        assert!(!late.timed_out(), "the workers never stopped");
    }

    /// Releases all workers, also those that would stop later.
    pub(crate) fn release_all(&self) {
        self.stop.state.lock().unwrap().1 = true;
        self.stop.changed.notify_all();
    }
}

impl Service for Stoppable {
    type Session = ();

    fn open(&mut self, _: &Peer<'_>, _: &mut Outlet<'_>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], out: &mut Outlet<'_>) -> usize {
        if input.contains(&b'!') {
            let mut state = self.stop.state.lock().unwrap();
            state.0 += 1;
            self.stop.changed.notify_all();
            // A test that fails releases no worker.
            let held = |state: &mut (usize, bool)| !state.1;
            let _state =
                self.stop.changed.wait_timeout_while(state, TEST_TIMEOUT * 2, held).unwrap();
        }
        out.send(input);
        input.len()
    }
}

/// Sends the index of its shard, then echoes.
#[derive(Clone)]
pub(crate) struct WhichShard;

impl Service for WhichShard {
    type Session = ();

    fn open(&mut self, _: &Peer<'_>, out: &mut Outlet<'_>) {
        let thread = thread::current();
        let shard = thread.name().and_then(|name| name.strip_prefix("worker-")?.parse().ok());
        out.send(&[shard.unwrap_or(u8::MAX)]);
    }

    fn receive(&mut self, (): &mut (), input: &[u8], out: &mut Outlet<'_>) -> usize {
        out.send(input);
        input.len()
    }
}

/// The shard that serves a connection just made to [`WhichShard`].
pub(crate) fn shard_of(mut stream: &TcpStream) -> usize {
    let mut shard = [0];
    stream.read_exact(&mut shard).unwrap();
    shard[0].into()
}
