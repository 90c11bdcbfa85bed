//! The configuration of a server: plain data, valid by its types and its ranges.

mod accept_mode;
pub(super) mod cores;
mod per_source;
pub mod ranges;

use std::net::Ipv4Addr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use ipnet::IpNet;

pub use accept_mode::AcceptMode;
pub use per_source::ConnectionsPerSource;

use crate::base::{ChangelistPolicy, Config};
use crate::server::listen_address::{Listen, ListenAddress};
use crate::server::memory;
use crate::server::placement::Placement;
use crate::tls::TlsServer;

/// Options of a [`Server`](super::Server). The default listens on 127.0.0.1:5555 with a worker
/// for every usable core. [`ranges`] has the range of each number and duration.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The addresses to listen on, at least one; port 0 takes a free port.
    pub listen: Vec<Listen>,
    /// Who the server is on the addresses with TLS, and whom it lets in. They need it.
    pub tls: Option<TlsServer>,
    /// The size of the kernel's backlog of connections, for each address. The kernel caps it at
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Permissions of unix sockets, as `chmod(2)` takes them.
    pub unix_mode: u32,
    /// How many workers, each a thread with its own event base.
    pub workers: NonZeroUsize,
    /// Whether each worker is pinned to one of the usable cores. By default it is, unless a CPU
    /// quota (`cpu.max`) allows less than all of them.
    pub pin: bool,
    /// How the event bases are set up.
    pub base: Config,
    /// Which threads accept connections.
    pub accept: AcceptMode,
    /// Which worker gets a connection.
    pub placement: Placement,
    /// The capacity of each worker's queue of accepted connections. Beyond it, connections wait in
    /// the kernel's backlog.
    pub handoff_capacity: NonZeroUsize,
    /// Maximum of open connections over all workers; `None` for as many as the descriptors allow.
    pub connections_max: Option<NonZeroUsize>,
    /// Maximum of open connections of one source; `None` for no limit of its own.
    pub connections_per_source: Option<ConnectionsPerSource>,
    /// Maximum of connections accepted in a second, over all workers, plus a burst of a tenth of
    /// it. Beyond it, connections wait in the kernel's backlog. `None` for no limit. At shutdown
    /// the connections of the backlog are accepted without it.
    pub accept_rate: Option<NonZeroU32>,
    /// Maximum of bytes that all connections together receive in a second, and maximum of bytes
    /// that they send, in an even flow with bursts of a second. `None` for no limit. Deadlines do
    /// not run while a connection waits for it.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Maximum memory of the buffers of all connections together, in bytes: incomplete messages and
    /// unsent output. Over 7/8 of it, the connections with the largest buffers are reset, and new
    /// ones are handled as without room. By default it is three quarters of what the machine, the
    /// cgroup and the resource limits allow. What a service keeps itself does not count.
    pub memory_limit: usize,
    /// How connections without room are handled.
    pub overload: Overload,
    /// Time and memory limits of a connection.
    pub limits: Limits,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy: ProxyProtocol,
    /// How the server drains.
    pub drain: Drain,
    /// Which measurements the server makes of itself.
    pub measure: Measure,
}

/// How connections without room are handled: every queue is full,
/// [`connections_max`](ServerConfig::connections_max) is reached, or buffers hold more than 7/8 of
/// [`memory_limit`](ServerConfig::memory_limit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// They wait in the kernel's backlog.
    #[default]
    Wait,
    /// They are reset at once, so that clients can try another server.
    Shed,
}

/// Time and memory limits of one connection. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the start of a connection to its first byte.
    pub first_byte: Option<Duration>,
    /// Maximum time without a byte in either direction. It also counts for the first byte, unless
    /// there is a `first_byte`.
    pub idle: Option<Duration>,
    /// From the first byte of a message to its last. Bounds how slowly the unconsumed bytes of a
    /// message may arrive.
    pub message: Option<Duration>,
    /// Maximum age of a connection, a tenth more or less, which each draws at random. Then it
    /// drains as when the server [drains](Drain): its service is notified, it is closed once it is
    /// quiet, and reset at the [drain timeout](Drain::timeout).
    pub age: Option<Duration>,
    /// As [`ServerConfig::bytes_per_second`], for each connection.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Bytes kept per connection in each direction: an incomplete message, and output that the peer
    /// has not read.
    pub buffer_bytes: usize,
}

/// Whether connections begin with a PROXY protocol header, which carries the client's real address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Whether a header is expected.
    pub mode: ProxyMode,
    /// Networks whose headers are trusted; none if this is empty. Unix sockets are trusted by their
    /// permissions.
    pub trusted: Vec<IpNet>,
}

/// Whether a PROXY protocol header is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// A connection's first bytes belong to the service.
    #[default]
    Off,
    /// A header from a trusted peer is used, and its absence is accepted.
    Optional,
    /// A connection without a trusted peer's header is reset.
    Require,
}

/// How the server drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long the server still accepts while `/readyz` already reports draining. A load balancer
    /// can then take it out before a client is refused.
    pub delay: Duration,
    /// How long open connections may continue after accepting has stopped.
    pub timeout: Duration,
    /// The window over which idle connections are closed, so that their clients do not all
    /// reconnect at once. It is capped at the timeout. Zero closes them at the first check.
    pub spread: Duration,
}

/// Which measurements the server makes of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Whether loop lag, callback times and handoff times are measured, and with them the busy
    /// share that [`Placement::LeastLoaded`] uses.
    pub timings: bool,
    /// Callbacks that take longer are logged with their connection's peer.
    pub slow_callback: Duration,
}

impl ServerConfig {
    /// The default port.
    pub const PORT: u16 = 5555;
    /// The default backlog: the maximum of current kernels without further settings.
    pub const BACKLOG: u32 = 4096;
    /// The default permissions of unix sockets: owner and group.
    pub const UNIX_MODE: u32 = 0o660;
    /// The default changelist policy: a connection that turns from reading to writing costs one
    /// change instead of two.
    pub const CHANGELIST: ChangelistPolicy = ChangelistPolicy::Deferred;
    /// The default capacity of a handoff queue. With 64 connections adopted a turn it is sixteen
    /// turns. What does not fit waits in the kernel's backlog, where it costs nothing.
    pub const HANDOFF_CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

    /// The number of workers for this machine: one for each core that the process may use, by its
    /// affinity mask and its cgroup's quota, less one for an acceptor thread.
    #[must_use]
    pub fn workers_for(accept: AcceptMode) -> NonZeroUsize {
        cores::workers_for(accept)
    }

    /// The memory limit for this machine: three quarters of the memory, or half of the address
    /// space, that this process may use.
    #[must_use]
    pub fn memory_limit_for_machine() -> usize {
        memory::default_limit().clamp(*ranges::MEMORY_BYTES.start(), *ranges::MEMORY_BYTES.end())
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        let accept = AcceptMode::for_cores(cores::usable());
        Self {
            listen: vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, Self::PORT).into()).into()],
            tls: None,
            backlog: Self::BACKLOG,
            unix_mode: Self::UNIX_MODE,
            workers: Self::workers_for(accept),
            pin: cores::suit_pinning(),
            base: Config::default().changelist(Self::CHANGELIST),
            accept,
            placement: Placement::default(),
            handoff_capacity: Self::HANDOFF_CAPACITY,
            connections_max: None,
            connections_per_source: None,
            accept_rate: None,
            bytes_per_second: None,
            memory_limit: Self::memory_limit_for_machine(),
            overload: Overload::default(),
            limits: Limits::default(),
            proxy: ProxyProtocol::default(),
            drain: Drain::default(),
            measure: Measure::default(),
        }
    }
}

impl Default for Limits {
    /// Ten seconds for a message, and no other deadline; a mebibyte in each direction.
    fn default() -> Self {
        let message = Some(Duration::from_secs(10));
        Self {
            first_byte: None,
            idle: None,
            message,
            age: None,
            bytes_per_second: None,
            buffer_bytes: 1 << 20,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::ZERO, timeout: Duration::from_secs(3), spread: Duration::ZERO }
    }
}

impl Default for Measure {
    fn default() -> Self {
        Self { timings: true, slow_callback: Duration::from_millis(25) }
    }
}
