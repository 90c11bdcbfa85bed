//! What to dial: the peer, the deadline, and TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::tls::TlsClient;

/// How long a dial may take by default.
const DEADLINE: Duration = Duration::from_secs(10);

/// A peer to connect to, and how.
///
/// ```
/// use std::time::Duration;
/// use evshard::server::Dial;
///
/// let dial = Dial::host("db.example", 5432).deadline(Duration::from_secs(2));
/// assert_eq!(dial.to_string(), "db.example:5432");
/// ```
#[derive(Clone, Debug)]
pub struct Dial {
    pub(super) target: Target,
    pub(super) deadline: Duration,
    pub(super) tls: Option<(TlsClient, String)>,
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Address(SocketAddr),
    Host(String, u16),
    Unix(PathBuf),
}

impl Dial {
    fn new(target: Target) -> Self {
        Self { target, deadline: DEADLINE, tls: None }
    }

    /// An address.
    #[must_use]
    pub fn address(address: SocketAddr) -> Self {
        Self::new(Target::Address(address))
    }

    /// A host name. It is looked up without making the shard wait, and all its addresses are tried,
    /// each beside the one before it if that takes more than 250 ms ("Happy Eyeballs", RFC 8305).
    #[must_use]
    pub fn host(name: impl Into<String>, port: u16) -> Self {
        Self::new(Target::Host(name.into(), port))
    }

    /// A unix stream socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::Unix(path.into()))
    }

    /// How long all may take: the lookup, the attempts and the handshake. By default 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects with TLS. The certificate of the peer must have this name.
    #[must_use]
    pub fn tls(mut self, client: &TlsClient, server_name: impl Into<String>) -> Self {
        self.tls = Some((client.clone(), server_name.into()));
        self
    }
}

/// The peer.
impl std::fmt::Display for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Target::Address(address) => address.fmt(f),
            Target::Host(name, port) => write!(f, "{name}:{port}"),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Connects to a unix socket. It accepts or refuses at once, or its backlog is full.
pub(super) fn connect_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?).map(|()| socket)
}
