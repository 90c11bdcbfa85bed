//! Placement: which worker a new connection goes to. It uses no I/O and no clock; the same calls
//! return the same answers.

pub(super) mod load;
mod placer;

pub(super) use placer::{LocalShard, PlacementHint, Placer};

/// Which worker a connection is offered to first. Counts are exact (see `load.rs`); ties rotate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Each in turn, whatever its load.
    RoundRobin,
    /// The one with the fewest connections.
    #[default]
    LeastConnections,
    /// The one with the lowest sum of connections, queue depth and recent busy time. A connection
    /// that still waits to be adopted counts twice. A shard that is busy all the time gets the mean
    /// of connections and one added to its own.
    LeastLoaded,
    /// The one with fewer connections of two taken at random.
    TwoChoices,
    /// By a hash of the peer's address without its port: a client always gets the same shard,
    /// unless that one has no room. Clients of unix sockets have no address and are placed in turn.
    SourceHash,
    /// The one on whose core the kernel received the connection (`SO_INCOMING_CPU`); if none is
    /// pinned there, the one with the fewest connections.
    IncomingCpu,
}

impl Placement {
    /// Every policy.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::LeastConnections,
        Self::LeastLoaded,
        Self::TwoChoices,
        Self::SourceHash,
        Self::IncomingCpu,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::LeastLoaded => "least-loaded",
            Self::TwoChoices => "two-choices",
            Self::SourceHash => "source-hash",
            Self::IncomingCpu => "incoming-cpu",
        }
    }
}
