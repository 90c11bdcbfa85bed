//! Which threads accept connections.

use std::fmt;
use std::num::NonZeroUsize;

/// Which threads accept connections. Placement and handoff are the same in all modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptMode {
    /// One acceptor thread, for all workers.
    Acceptor,
    /// The first worker, for all workers, a few connections per turn.
    AcceptorInShard0,
    /// Every worker, each from a listening socket of its own (`SO_REUSEPORT`): the kernel's hash
    /// decides. Placement decides only where sockets are fewer than workers, as with a unix socket.
    ReusePort,
    /// As [`ReusePort`](Self::ReusePort), but a worker with too many connections hands new ones to
    /// the worker that placement chooses.
    Hybrid,
}

impl AcceptMode {
    /// Every mode.
    pub const ALL: [Self; 4] =
        [Self::Acceptor, Self::AcceptorInShard0, Self::ReusePort, Self::Hybrid];

    /// With this many cores, a core for the acceptor thread alone is a small part of them.
    const DEDICATED_CORES_MIN: usize = 4;

    /// The mode for a machine with this many usable cores.
    #[must_use]
    pub fn for_cores(cores: NonZeroUsize) -> Self {
        if cores.get() >= Self::DEDICATED_CORES_MIN {
            Self::Acceptor
        } else {
            Self::AcceptorInShard0
        }
    }

    /// How many threads accept, each with its own listen sockets.
    pub(in crate::server) fn acceptors(self, workers: NonZeroUsize) -> usize {
        match self {
            Self::Acceptor | Self::AcceptorInShard0 => 1,
            Self::ReusePort | Self::Hybrid => workers.get(),
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acceptor => "acceptor",
            Self::AcceptorInShard0 => "acceptor-in-shard0",
            Self::ReusePort => "reuseport",
            Self::Hybrid => "hybrid",
        }
    }
}

impl fmt::Display for AcceptMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
