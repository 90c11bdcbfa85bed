//! What a server is told: plain data, valid by its types.

mod accept_mode;
pub(super) mod cores;

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

pub use accept_mode::AcceptMode;

use super::listener::ListenAddress;
use super::placement::Placement;
use crate::base::{ChangelistPolicy, Config};

/// Options of a [`Server`](super::Server). The default listens on 127.0.0.1:5555 with a worker
/// for every usable core.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The addresses to listen on, at least one; port 0 takes a free one.
    pub listen: Vec<ListenAddress>,
    /// How many connections the kernel may hold before they are accepted, for each address; it
    /// caps this at `net.core.somaxconn`.
    pub backlog: u32,
    /// Permissions of unix sockets, as `chmod(2)` takes them.
    pub unix_mode: u32,
    /// How many workers, each a thread with its own event base.
    pub workers: NonZeroUsize,
    /// Whether each worker is pinned to one core of those the process may use. By default it is,
    /// unless a CPU quota (`cpu.max`) allows less than all of them.
    pub pin: bool,
    /// How the event bases are set up.
    pub base: Config,
    /// Who accepts.
    pub accept: AcceptMode,
    /// Which worker gets a connection.
    pub placement: Placement,
    /// Sockets a worker may be behind before the kernel's backlog has to hold them.
    pub handoff_capacity: NonZeroUsize,
    /// Connections open at once, over all workers; `None` for as many as there are descriptors.
    pub connections_max: Option<NonZeroUsize>,
    /// What is done with connections there is no room for.
    pub overload: Overload,
    /// What a connection may take.
    pub limits: Limits,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy: ProxyProtocol,
    /// How the server leaves.
    pub drain: Drain,
    /// What is measured of the server itself.
    pub measure: Measure,
}

/// What is done with connections there is no room for: every handoff full, or
/// [`connections_max`](ServerConfig::connections_max) reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// They wait in the kernel's backlog.
    #[default]
    Wait,
    /// They are reset at once, so that their clients go elsewhere.
    Shed,
}

/// What one connection may take of time and memory. `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the beginning of a connection to its first byte.
    pub first_byte: Option<Duration>,
    /// Without a byte moving in either direction.
    pub idle: Option<Duration>,
    /// From the first byte of a message to its last: what the service leaves unconsumed may not
    /// trickle in for ever.
    pub message: Option<Duration>,
    /// Bytes kept of a connection in each direction: a message that is not complete, and a reply
    /// that the peer does not read.
    pub buffer_bytes: usize,
}

/// Whether connections begin with a PROXY protocol header, which tells the peer's real address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// What is expected.
    pub mode: ProxyMode,
    /// Who may send one; nobody's is believed if this is empty. Unix sockets are trusted by their
    /// permissions.
    pub trusted: Vec<IpNet>,
}

/// See [`ProxyProtocol`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// A connection's first bytes belong to the service.
    #[default]
    Off,
    /// A header of a trusted peer is taken, and its absence is fine.
    Optional,
    /// A connection without a trusted peer's header is reset.
    Require,
}

/// How the server leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long accepting goes on while `/readyz` says already that the server leaves, so that
    /// a balancer learns of it before anybody is refused.
    pub delay: Duration,
    /// How long open connections may go on once nobody is accepted any more.
    pub timeout: Duration,
    /// The window over which idle connections are closed, so that their clients do not all come
    /// back at once; at most the timeout counts. Zero closes them at the first look.
    pub spread: Duration,
}

/// What is measured of the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Whether loop lag, callback and handoff times are measured, and with them the busy share
    /// that [`Placement::LeastLoaded`] looks at.
    pub timings: bool,
    /// A callback that takes longer is logged with its connection's peer.
    pub slow_callback: Duration,
}

impl ServerConfig {
    /// The default port.
    pub const PORT: u16 = 5555;
    /// The default backlog: what current kernels allow without further settings.
    pub const BACKLOG: u32 = 4096;
    /// The default permissions of unix sockets: the owner's and the group's.
    pub const UNIX_MODE: u32 = 0o660;
    /// The default changelist policy: a connection that turns from reading to writing is one
    /// change instead of two.
    pub const CHANGELIST: ChangelistPolicy = ChangelistPolicy::Deferred;
    /// The default depth of a handoff. With 64 adopted a turn it is sixteen turns; what does not
    /// fit waits in the kernel's backlog, where it costs nothing.
    pub const HANDOFF_CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

    /// How many workers suit this machine: one for each core that the process may use, by its
    /// affinity mask and its cgroup's quota, less one for an acceptor of its own.
    #[must_use]
    pub fn workers_for(accept: AcceptMode) -> NonZeroUsize {
        cores::workers_for(accept)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        let accept = AcceptMode::for_cores(cores::usable());
        Self {
            listen: vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, Self::PORT).into())],
            backlog: Self::BACKLOG,
            unix_mode: Self::UNIX_MODE,
            workers: Self::workers_for(accept),
            pin: cores::suit_pinning(),
            base: Config::default().changelist(Self::CHANGELIST),
            accept,
            placement: Placement::default(),
            handoff_capacity: Self::HANDOFF_CAPACITY,
            connections_max: None,
            overload: Overload::default(),
            limits: Limits::default(),
            proxy: ProxyProtocol::default(),
            drain: Drain::default(),
            measure: Measure::default(),
        }
    }
}

impl Default for Limits {
    /// No deadlines but ten seconds for a message once begun; a mebibyte each way.
    fn default() -> Self {
        let message = Some(Duration::from_secs(10));
        Self { first_byte: None, idle: None, message, buffer_bytes: 1 << 20 }
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
