//! The stream between a coordinator and an agent that dials in: plain, or over TLS.
//!
//! With TLS, the coordinator has a certificate that it makes itself, for this one command. No one
//! could verify it, and no one has to: both sides prove that they know the token, and bind these
//! proofs to the stream (`token`). So a certificate of anyone else is of no use.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::crypto;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::tls::AcceptAny;

/// The name in the certificate, which no one verifies.
const NAME: &str = "loadgen-coordinator";

/// Name and length of the value that both ends of a TLS stream share (RFC 9266).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
const EXPORTER_BYTES: usize = 32;

/// What is read of a socket at once: a record of TLS has 16 KiB, and some bytes around it.
const READ_BYTES: usize = 18 << 10;

/// A side whose network has failed is noticed after some 25 s: by silence, or by bytes that no one
/// acknowledges.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_COUNT: u32 = 3;
const UNACKNOWLEDGED_MS_MAX: u32 = 25_000;

/// A stream whose halves two threads can use.
pub(super) struct Channel {
    pub(super) reader: BufReader<Box<dyn Read + Send>>,
    pub(super) writer: Box<dyn Write + Send>,
    /// Below both halves.
    pub(super) socket: TcpStream,
    /// What the two ends of this very stream share.
    pub(super) binding: Vec<u8>,
}

impl Channel {
    /// A plain stream. Nothing binds a proof to it.
    pub(super) fn plain(socket: TcpStream) -> io::Result<Self> {
        prepare(&socket)?;
        let reader: Box<dyn Read + Send> = Box::new(socket.try_clone()?);
        let writer = Box::new(socket.try_clone()?);
        let binding = b"tcp".to_vec();
        Ok(Self { reader: BufReader::new(reader), writer, socket, binding })
    }

    /// The coordinator's end of a stream over TLS.
    pub(super) fn accept(socket: TcpStream, certificate: &Certificate) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(&certificate.0));
        Self::over_tls(socket, connection.map_err(io::Error::other)?.into())
    }

    /// The agent's end of a stream over TLS.
    pub(super) fn connect(socket: TcpStream) -> io::Result<Self> {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = Arc::new(AcceptAny::new(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name);
        Self::over_tls(socket, connection.map_err(io::Error::other)?.into())
    }

    fn over_tls(socket: TcpStream, mut connection: Connection) -> io::Result<Self> {
        prepare(&socket)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut &socket)?;
        }
        let mut binding = b"tls".to_vec();
        let exported =
            connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(b""));
        binding.extend(exported.map_err(io::Error::other)?);
        let stream = Arc::new(TlsStream {
            connection: Mutex::new(connection),
            sending: Mutex::new(()),
            socket: socket.try_clone()?,
        });
        let reader: Box<dyn Read + Send> = Box::new(TlsReader {
            stream: Arc::clone(&stream),
            received: vec![0; READ_BYTES],
            taken: 0,
            filled: 0,
        });
        let writer = Box::new(TlsWriter(stream));
        Ok(Self { reader: BufReader::new(reader), writer, socket, binding })
    }
}

/// Why a side that has not proved itself could not be read. A timeout has a kind of its own, whose
/// text says nothing of it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "nothing came in time".to_owned(),
        _ => error.to_string(),
    }
}

/// Sends at once, and notices a network that has failed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_COUNT)?;
    sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS_MAX)?;
    Ok(())
}

/// The coordinator's certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Certificate(Arc<ServerConfig>);

impl Certificate {
    /// Makes one for this process.
    pub(super) fn make() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = made.map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                // The value of the exporter is unique to a connection in this version.
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key.into())
                .map_err(io::Error::other)?;
        // No stream is resumed.
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

/// What both halves share.
struct TlsStream {
    connection: Mutex<Connection>,
    /// Held from the encryption of a record until it is written, so that records keep their order.
    /// The connection is not: the reader never waits for a socket that takes nothing.
    sending: Mutex<()>,
    socket: TcpStream,
}

impl TlsStream {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TlsReader {
    stream: Arc<TlsStream>,
    /// Bytes of the socket; those from `taken` to `filled` are not decrypted yet.
    received: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Read for TlsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut connection = self.stream.connection();
            match connection.reader().read(buffer) {
                // A message shows whether it is whole. So an end without an alert is an end, too.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if self.taken < self.filled {
                let mut rest = &self.received[self.taken..self.filled];
                self.taken += connection.read_tls(&mut rest)?;
                let processed = connection.process_new_packets();
                processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                continue;
            }
            drop(connection);
            self.filled = (&self.stream.socket).read(&mut self.received)?;
            self.taken = 0;
            if self.filled == 0 {
                return Ok(0);
            }
        }
    }
}

struct TlsWriter(Arc<TlsStream>);

impl Write for TlsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _sending = self.0.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut encrypted = Vec::new();
        let mut connection = self.0.connection();
        let count = connection.writer().write(bytes)?;
        while connection.wants_write() {
            connection.write_tls(&mut encrypted)?;
        }
        drop(connection);
        (&self.0.socket).write_all(&encrypted)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Both ends of a stream over TLS: of the coordinator, and of the agent.
    fn over_tls() -> (Channel, Channel) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (coordinator, _) = listener.accept().unwrap();
        let agent = thread::spawn(|| Channel::connect(agent).unwrap());
        let certificate = Certificate::make().unwrap();
        (Channel::accept(coordinator, &certificate).unwrap(), agent.join().unwrap())
    }

    #[test]
    fn both_ends_share_a_value_that_no_other_stream_has() {
        let (coordinator, agent) = over_tls();
        assert_eq!(coordinator.binding, agent.binding);
        assert_eq!(agent.binding.len(), 3 + EXPORTER_BYTES);
        let (other, _) = over_tls();
        assert_ne!(other.binding, agent.binding);
    }

    #[test]
    fn both_ends_can_send_much_at_once_and_read_it_later() {
        const BYTES: usize = 8 << 20;
        let (coordinator, agent) = over_tls();
        let text = |factor: u8| -> Vec<u8> {
            (0..BYTES).map(|at| (at as u8).wrapping_mul(factor) ^ (at >> 8) as u8).collect()
        };
        let ends = [(coordinator, 3, 5), (agent, 5, 3)];
        let threads = ends.map(|(channel, sends, receives)| {
            let Channel { mut reader, mut writer, .. } = channel;
            let write = thread::spawn(move || writer.write_all(&text(sends)).unwrap());
            let read = thread::spawn(move || {
                let mut received = vec![0; BYTES];
                reader.read_exact(&mut received).unwrap();
                assert!(received == text(receives));
            });
            [write, read]
        });
        threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn the_end_of_the_socket_is_the_end_of_the_stream() {
        let (coordinator, mut agent) = over_tls();
        drop(coordinator);
        assert_eq!(agent.reader.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn a_network_that_fails_is_noticed_without_a_message() {
        let (channel, _other) = over_tls();
        assert!(sockopt::socket_keepalive(&channel.socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&channel.socket).unwrap(), KEEPALIVE_IDLE);
        let most = sockopt::tcp_user_timeout(&channel.socket).unwrap();
        assert_eq!(most, UNACKNOWLEDGED_MS_MAX);
    }
}
