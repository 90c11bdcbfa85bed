//! How a listener listens.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::sys::accept::defer_accept;

/// How long the kernel holds back a connection on which the client sends nothing; as libevent.
const DEFERRED_AT_MOST: Duration = Duration::from_secs(1);

/// After so long without a packet the kernel probes the client of an accepted connection
/// (`TCP_KEEPIDLE`); as libevent.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// How a listener listens (libevent: the `LEV_OPT_*` flags and the backlog).
///
/// There is no counterpart of `LEV_OPT_LEAVE_SOCKETS_BLOCKING` and `LEV_OPT_CLOSE_ON_EXEC`, because
/// sockets never block and are always close-on-exec; of `LEV_OPT_CLOSE_ON_FREE`, because a listener
/// owns its socket; and of `LEV_OPT_THREADSAFE`, because a context belongs to one thread.
///
/// ```
/// use evshard::ListenOptions;
///
/// let options = ListenOptions { backlog: 128, reuse_port: true, ..ListenOptions::default() };
/// assert!(options.reuse_address && !options.disabled);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; 4096 by default. The kernel bounds it by
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Whether it may take an address that closed connections still use (`SO_REUSEADDR`); yes by
    /// default (libevent: `LEV_OPT_REUSEABLE`).
    pub reuse_address: bool,
    /// Whether others of this user may listen on the same address, which share its connections
    /// (`SO_REUSEPORT`); no by default (libevent: `LEV_OPT_REUSEABLE_PORT`).
    pub reuse_port: bool,
    /// Whether an IPv6 address takes no IPv4 clients (`IPV6_V6ONLY`); by default as the system has
    /// it (libevent: `LEV_OPT_BIND_IPV6ONLY`, `LEV_OPT_BIND_IPV4_AND_IPV6`).
    pub ipv6_only: Option<bool>,
    /// Whether it accepts nothing until it is [enabled](crate::ListenerMut::enable); no by default
    /// (libevent: `LEV_OPT_DISABLED`).
    pub disabled: bool,
    /// Whether the kernel holds a TCP connection back until its client has sent something, or for
    /// a second; no by default (libevent: `LEV_OPT_DEFERRED_ACCEPT`).
    pub deferred_accept: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_address: true,
            reuse_port: false,
            ipv6_only: None,
            disabled: false,
            deferred_accept: false,
        }
    }
}

impl ListenOptions {
    /// A socket that listens on the address.
    pub(super) fn open(self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Accepted sockets inherit it.
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        socket.set_reuse_address(self.reuse_address)?;
        socket.set_reuse_port(self.reuse_port)?;
        if let (true, Some(ipv6_only)) = (address.is_ipv6(), self.ipv6_only) {
            socket.set_only_v6(ipv6_only)?;
        }
        socket.bind(&address.into())?;
        self.adopt(&socket)?;
        Ok(socket)
    }

    /// Prepares a bound socket for accepting, and has it listen if it does not.
    pub(super) fn adopt(self, socket: &Socket) -> io::Result<()> {
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        if self.deferred_accept {
            defer_accept(socket, DEFERRED_AT_MOST)?;
        }
        if socket.is_listener()? {
            return Ok(());
        }
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))
    }
}

/// What a message calls the address of a socket.
pub(super) fn name(socket: &Socket) -> String {
    let Ok(address) = socket.local_addr() else {
        return "an unknown address".to_owned();
    };
    if let Some(address) = address.as_socket() {
        return address.to_string();
    }
    match address.as_pathname() {
        Some(path) => format!("unix:{}", path.display()),
        None => "a unix socket without a path".to_owned(),
    }
}
