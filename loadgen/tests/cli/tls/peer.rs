//! Servers that speak TLS, by rustls, as the loader does, but waiting for each byte.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::servers::{Client, Server};

/// A client whose handshake has ended.
pub(crate) type TlsClient<S = TcpStream> = StreamOwned<ServerConnection, S>;

/// How many handshakes have ended.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    pub(crate) full: AtomicU64,
    pub(crate) resumed: AtomicU64,
}

/// Does the handshake with a client; nothing if it fails.
pub(crate) fn handshake<S: Read + Write>(
    config: &Arc<ServerConfig>,
    mut socket: S,
) -> Option<TlsClient<S>> {
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    while server.is_handshaking() {
        if server.complete_io(&mut socket).is_err() {
            // The alert that says why.
            let _ = server.write_tls(&mut socket);
            return None;
        }
    }
    Some(StreamOwned::new(server, socket))
}

/// A server that runs `behave` for each client whose handshake has ended.
pub(crate) fn serve(
    config: ServerConfig,
    behave: impl Fn(TlsClient, u64) + Send + Sync + 'static,
) -> (Server, Arc<Handshakes>) {
    let (config, counts) = (Arc::new(config), Arc::new(Handshakes::default()));
    let handshakes = Arc::clone(&counts);
    let server = Server::start(move |client: Client| {
        let number = client.number;
        let Some(client) = handshake(&config, client.into_stream()) else { return };
        match client.conn.handshake_kind() {
            Some(HandshakeKind::Resumed) => handshakes.resumed.fetch_add(1, Ordering::SeqCst),
            _ => handshakes.full.fetch_add(1, Ordering::SeqCst),
        };
        behave(client, number);
    });
    (server, counts)
}

/// A server that echoes until its client leaves.
pub(crate) fn echo(config: ServerConfig) -> Server {
    serve(config, |mut client, _| while echo_some(&mut client) > 0 {}).0
}

/// Echoes what one read gives; returns how much that was.
pub(crate) fn echo_some<S: Read + Write>(client: &mut TlsClient<S>) -> usize {
    let mut buffer = [0; 64 * 1024];
    let count = client.read(&mut buffer).unwrap_or(0);
    if client.write_all(&buffer[..count]).and_then(|()| client.flush()).is_err() {
        return 0;
    }
    count
}

/// Announces the end of the stream, and waits until the client has left.
pub(crate) fn close(mut client: TlsClient) {
    client.conn.send_close_notify();
    let _ = client.conn.write_tls(&mut client.sock);
    let _ = io::copy(&mut client.sock, &mut io::sink());
}

/// A socket that writes a byte at a time.
pub(crate) struct Trickle(pub(crate) TcpStream);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..1.min(bytes.len())])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
