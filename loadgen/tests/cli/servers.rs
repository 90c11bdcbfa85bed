//! Small blocking servers, well and badly behaved, that share no code with the loader.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A server in this process; a thread per connection runs what the test wants.
pub(crate) struct Server {
    address: SocketAddr,
    bytes_read: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
}

/// One accepted connection, as a behaviour sees it.
pub(crate) struct Client {
    stream: TcpStream,
    bytes_read: Arc<AtomicU64>,
    /// Number of this connection in order of acceptance, from 0.
    pub(crate) number: u64,
}

impl Server {
    /// Starts a server on a free port; `behave` is run for each connection, which ends with it.
    pub(crate) fn start(behave: impl Fn(Client) + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", behave)
    }

    /// As [`Server::start`], on an address of choice.
    pub(crate) fn start_on(address: &str, behave: impl Fn(Client) + Send + Sync + 'static) -> Self {
        let (server, listener) = Self::bound_to(address);
        let (bytes_read, accepted) = (server.bytes_read.clone(), server.accepted.clone());
        let behave = Arc::new(behave);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let client = Client {
                    stream,
                    bytes_read: bytes_read.clone(),
                    number: accepted.fetch_add(1, Ordering::SeqCst),
                };
                let behave = behave.clone();
                thread::spawn(move || behave(client));
            }
        });
        server
    }

    /// A server that has an address and does nothing yet.
    fn bound_to(address: &str) -> (Self, TcpListener) {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        (Self { address, bytes_read: Arc::default(), accepted: Arc::default() }, listener)
    }

    /// A server with one thread that answers `clients` connections strictly in turn.
    pub(crate) fn in_turn(clients: usize, request_bytes: usize) -> Self {
        let (server, listener) = Self::bound_to("127.0.0.1:0");
        let bytes_read = server.bytes_read.clone();
        thread::spawn(move || {
            let mut clients: Vec<Client> = (0..)
                .zip(listener.incoming().take(clients))
                .map(|(number, stream)| Client {
                    stream: stream.unwrap(),
                    bytes_read: bytes_read.clone(),
                    number,
                })
                .collect();
            while clients.iter_mut().all(|client| client.echo_some(request_bytes) > 0) {}
        });
        server
    }

    /// A server that answers `clients` connections once each, and is gone.
    pub(crate) fn that_leaves(clients: usize, request_bytes: usize) -> Self {
        let (server, listener) = Self::bound_to("127.0.0.1:0");
        let bytes_read = server.bytes_read.clone();
        thread::spawn(move || {
            let streams: Vec<TcpStream> =
                listener.incoming().take(clients).map(Result::unwrap).collect();
            drop(listener);
            for (number, stream) in (0..).zip(streams) {
                let bytes_read = bytes_read.clone();
                Client { stream, bytes_read, number }.echo_some(request_bytes);
            }
        });
        server
    }

    /// A server that echoes until its client leaves.
    pub(crate) fn echo() -> Self {
        Self::start(|mut client| while client.echo_some(64 * 1024) > 0 {})
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Bytes read from all clients so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::SeqCst)
    }
}

impl Client {
    /// Its socket, for a server that does more than echo.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// Reads at most `most` bytes; empty when the client has left.
    pub(crate) fn read_some(&mut self, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.bytes_read.fetch_add(count as u64, Ordering::SeqCst);
        buffer.truncate(count);
        buffer
    }

    /// Reads exactly `count` bytes; fewer when the client has left.
    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let more = self.read_some(count - bytes.len());
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
        }
        bytes
    }

    /// Writes all of it; a client that has left is no concern of a server.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Echoes what one read gives; returns how much that was.
    pub(crate) fn echo_some(&mut self, most: usize) -> usize {
        let bytes = self.read_some(most);
        self.write(&bytes);
        bytes.len()
    }

    /// Reads, and answers nothing, until the client leaves.
    pub(crate) fn swallow(&mut self) {
        while !self.read_some(64 * 1024).is_empty() {}
    }

    /// Ends the stream in order, although the client may still send.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.swallow();
    }
}
