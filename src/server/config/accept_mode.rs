//! Which threads accept connections.

use std::fmt;
use std::num::NonZeroUsize;

/// Who accepts connections. Placement and handoff are the same behind all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptMode {
    /// A thread of its own, for everybody.
    Acceptor,
    /// The first worker, for everybody, a few at a time.
    AcceptorInShard0,
    /// Every worker for itself, from a listening socket of its own (`SO_REUSEPORT`): the kernel's
    /// hash decides. Placement has a say only where sockets are fewer than workers, as of a unix
    /// socket.
    ReusePort,
    /// As [`ReusePort`](Self::ReusePort), but a worker that has too many hands over to the one
    /// that placement names.
    Hybrid,
}

impl AcceptMode {
    /// Every mode.
    pub const ALL: [Self; 4] =
        [Self::Acceptor, Self::AcceptorInShard0, Self::ReusePort, Self::Hybrid];

    /// From here on a core for the acceptor alone is a small part of them all.
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

    /// How many threads accept, each with listening sockets of its own.
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
