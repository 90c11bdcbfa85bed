//! TLS clients by rustls alone, on blocking sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use crate::common::TEST_TIMEOUT;
use crate::files::{Authority, Issued};

/// What a client has of TLS. Connections of one resume each other's sessions.
#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

/// A connection whose handshake is done.
pub(crate) struct Session(StreamOwned<ClientConnection, TcpStream>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl Client {
    /// Trusts this authority, and resumes no sessions.
    pub(crate) fn new(authority: &Authority, version: Version) -> Self {
        Self::with(authority, version, None, false)
    }

    /// Trusts this authority, and resumes sessions.
    pub(crate) fn resuming(authority: &Authority, version: Version) -> Self {
        Self::with(authority, version, None, true)
    }

    /// Has a certificate for servers that ask for one.
    pub(crate) fn with_certificate(authority: &Authority, issued: &Issued) -> Self {
        Self::with(authority, Version::Tls13, Some(issued), false)
    }

    fn with(
        authority: &Authority,
        version: Version,
        issued: Option<&Issued>,
        resumes: bool,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let version = if version == Version::Tls12 { &TLS12 } else { &TLS13 };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match issued {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key_der.clone()));
                builder.with_client_auth_cert(vec![issued.der.clone()], key).unwrap()
            }
        };
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Self(Arc::new(config))
    }

    /// Connects and does the handshake with localhost.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Session> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TEST_TIMEOUT))?;
        stream.set_write_timeout(Some(TEST_TIMEOUT))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(self.0.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Session(stream))
    }

    /// Connects, has a message echoed and ends the connection in order. Returns the certificate.
    pub(crate) fn exchange(&self, address: SocketAddr) -> io::Result<CertificateDer<'static>> {
        let mut session = self.connect(address)?;
        session.echo(b"a message of its own")?;
        let certificate = session.certificate();
        session.end()?;
        Ok(certificate)
    }
}

impl Session {
    /// The server's certificate; of a resumed session, that of the first one.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("the handshake is done");
        chain[0].clone().into_owned()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends a message, and reads its echo.
    pub(crate) fn echo(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(message)?;
        self.0.flush()?;
        let mut echo = vec![0; message.len()];
        self.0.read_exact(&mut echo)?;
        if echo == message { Ok(()) } else { Err(io::Error::other("another echo")) }
    }

    /// Reads up to the end of the server's stream, which must have a close_notify.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }

    /// Ends its stream, and expects that the server ends its own.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.0.conn.send_close_notify();
        self.0.flush()?;
        // rustls reports an end without close_notify as an error.
        match self.0.read(&mut [0; 64])? {
            0 => Ok(()),
            count => Err(io::Error::other(format!("{count} bytes more"))),
        }
    }
}
