//! Servers with TLS, certificates, and clients by rustls.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evshard::Config;
use evshard::server::{AcceptMode, ListenAddress, Server, ServerConfig, Service};
use evshard::tls::{Identity, TlsServer, TlsServerBuilder, TrustRoots};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned,
    SupportedProtocolVersion, WantsVerifier,
};
use socket2::{Domain, Socket, Type};

use crate::common::{TEST_TIMEOUT, usable_backends};

/// The protocol versions.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// An authority, servers with its certificates, and clients that trust it.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: String,
    authority: test_certificates::Authority,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = test_certificates::Authority::new();
        Self { pem: authority.certificate.pem(), authority }
    }

    /// A certificate for these names and this key, in PEM.
    pub(crate) fn issue_for(&self, names: &[&str], key: &KeyPair) -> String {
        self.authority.issue_for(&test_certificates::params(names), key).pem()
    }

    /// A certificate for these names, and its key, in PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.authority.issue(names).pem()
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        identity(&self.issue(names))
    }

    pub(crate) fn roots(&self) -> TrustRoots {
        TrustRoots::from_pem(self.pem.as_bytes()).unwrap()
    }

    /// A server named localhost.
    pub(crate) fn server(&self) -> TlsServerBuilder {
        TlsServer::builder(self.identity(&["localhost"]))
    }

    /// Begins the settings of a client that trusts it.
    pub(crate) fn client_builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> (ConfigBuilder<ClientConfig, WantsVerifier>, RootCertStore) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).unwrap();
        (builder.with_protocol_versions(versions).unwrap(), roots)
    }

    /// A client that trusts it, and has no certificate.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let (builder, roots) = self.client_builder(versions);
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}

pub(crate) fn identity((certificate, key): &(String, String)) -> Identity {
    Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The configuration of a server with two workers, and what else its address needs.
pub(crate) fn config(base: Config, accept: AcceptMode) -> ServerConfig {
    ServerConfig {
        listen: vec!["tls:127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::new(2).unwrap(),
        accept,
        pin: false,
        base: base.ignore_environment().changelist(ServerConfig::CHANGELIST),
        ..ServerConfig::default()
    }
}

/// Every accept mode and every backend, one with another. TLS does not depend on both together.
pub(crate) fn all_configs() -> impl Iterator<Item = ServerConfig> {
    let backends = usable_backends().collect::<Vec<_>>().into_iter().cycle();
    let both = AcceptMode::ALL.into_iter().zip(backends);
    both.map(|(mode, kind)| config(Config::default().backend(kind), mode))
}

/// The configuration where neither backend nor accept mode matters.
pub(crate) fn any_config() -> ServerConfig {
    config(Config::default(), AcceptMode::AcceptorInShard0)
}

/// A client's stream. Its handshake begins with the first byte, or with [`Handshake::finish`].
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// A server with TLS, and what its clients need; it dereferences to that.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) access: Access,
}

impl Deref for Site {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

impl Site {
    /// A server named localhost.
    pub(crate) fn start(config: ServerConfig, service: impl Service) -> Self {
        Self::start_with(config, service, |server| server)
    }

    /// The same, with further settings of TLS.
    pub(crate) fn start_with(
        config: ServerConfig,
        service: impl Service,
        set: impl FnOnce(TlsServerBuilder) -> TlsServerBuilder,
    ) -> Self {
        let authority = Authority::new();
        let tls = Some(set(authority.server()).build().unwrap());
        Self::of(authority, ServerConfig { tls, ..config }, service)
    }

    /// A server whose configuration has its TLS already.
    pub(crate) fn of(authority: Authority, config: ServerConfig, service: impl Service) -> Self {
        let server = Server::start(&config, service).unwrap();
        let address = tcp_address(&server, 0);
        let client = Arc::new(authority.client(&VERSIONS));
        let (authority, opened) = (Arc::new(authority), Arc::default());
        Self { server, access: Access { authority, address, client, opened } }
    }
}

/// What the clients of a server need: its address, and the authority that they trust.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: SocketAddr,
    pub(crate) client: Arc<ClientConfig>,
    /// How many sockets were opened.
    pub(crate) opened: Arc<AtomicU64>,
}

impl Access {
    /// A plain socket to its first listener.
    pub(crate) fn socket(&self) -> TcpStream {
        self.opened.fetch_add(1, Ordering::Relaxed);
        socket_to(self.address, None)
    }

    /// A client whose handshake has not begun.
    pub(crate) fn client(&self) -> Client {
        client_on(self.socket(), &self.client, "localhost")
    }

    /// A client whose handshake is done, with this configuration.
    pub(crate) fn connect_with(&self, config: &Arc<ClientConfig>) -> Client {
        let mut client = client_on(self.socket(), config, "localhost");
        handshake(&mut client);
        client
    }

    /// A client whose handshake is done.
    pub(crate) fn connect(&self) -> Client {
        self.connect_with(&self.client)
    }

    /// A client whose handshake is done with this version.
    pub(crate) fn connect_by(&self, version: &'static SupportedProtocolVersion) -> Client {
        self.connect_with(&Arc::new(self.authority.client(&[version])))
    }
}

pub(crate) fn tcp_address(server: &Server, listener: usize) -> SocketAddr {
    let ListenAddress::Tcp(address) = server.addresses()[listener] else { panic!("it is TCP") };
    address
}

/// A plain socket to an address, perhaps with a small receive buffer.
pub(crate) fn socket_to(address: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = receive_buffer {
        // Set before connecting: a window once offered to the peer is not taken back.
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn client_on(socket: TcpStream, config: &Arc<ClientConfig>, name: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket)
}

/// Does the whole handshake.
#[track_caller]
pub(crate) fn handshake(client: &mut Client) {
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    // The last part of it may wait.
    while client.conn.wants_write() {
        client.conn.write_tls(&mut client.sock).unwrap();
    }
}

/// The first records of a client, which it has not sent.
pub(crate) fn client_hello(client: &mut Client) -> Vec<u8> {
    let mut hello = Vec::new();
    client.conn.write_tls(&mut hello).unwrap();
    hello
}

/// The first records of some client.
pub(crate) fn some_hello(access: &Access) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(access.client.clone(), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Sends bytes, and reads as many back.
#[track_caller]
pub(crate) fn echo(client: &mut Client, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    client.flush().unwrap();
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).unwrap();
    assert!(back == bytes, "the echo differs");
}

/// The bytes up to close_notify. A stream that ends without it is `UnexpectedEof`.
pub(crate) fn read_to_close_notify(client: &mut Client) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.kind())
}

/// Ends the client's stream as TLS does it, and its socket's, too.
pub(crate) fn end_write(client: &mut Client) {
    client.conn.send_close_notify();
    while client.conn.wants_write() {
        client.conn.write_tls(&mut client.sock).unwrap();
    }
    client.sock.shutdown(Shutdown::Write).unwrap();
}

/// Ends both streams, as TLS does it. Nothing more comes.
#[track_caller]
pub(crate) fn close(mut client: Client) {
    end_write(&mut client);
    assert_eq!(read_to_close_notify(&mut client), Ok(Vec::new()));
}

/// How many sockets of connections this process has at this port of 127.0.0.1, as a server.
pub(crate) fn server_sockets(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", address.port());
    let is_open = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A is LISTEN. A socket without a descriptor has the inode 0.
        fields[1] == local && fields[3] != "0A" && fields[9] != "0"
    };
    table.lines().skip(1).filter(is_open).count()
}
