//! What a server is told: plain data, valid by its types.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::cores;
use crate::base::{ChangelistPolicy, Config};

/// Options of a [`Server`](super::Server). The default listens on 127.0.0.1:5555 with a worker
/// for every usable core.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many workers, each a thread with its own event base.
    pub workers: NonZeroUsize,
    /// How the event bases are set up.
    pub base: Config,
    /// How many connections the kernel may hold before they are accepted; it caps this at
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Whether each worker is pinned to one core of those the process may use.
    pub pin: bool,
    /// How long open connections may go on after the server was asked to end.
    pub drain_timeout: Duration,
}

impl ServerConfig {
    /// The default port.
    pub const PORT: u16 = 5555;
    /// The default backlog: what current kernels allow without further settings.
    pub const BACKLOG: u32 = 4096;
    /// The default drain timeout.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
    /// The default changelist policy: a connection that turns from reading to writing is one
    /// change instead of two.
    pub const CHANGELIST: ChangelistPolicy = ChangelistPolicy::Deferred;
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, Self::PORT).into(),
            workers: cores::usable(),
            base: Config::default().changelist(Self::CHANGELIST),
            backlog: Self::BACKLOG,
            pin: true,
            drain_timeout: Self::DRAIN_TIMEOUT,
        }
    }
}
