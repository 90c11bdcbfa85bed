//! Placement: which worker a new connection goes to. No I/O, no clock; the same calls give the
//! same answers.

/// Which worker a connection is offered to first. Counts are exact (see `load.rs`); ties rotate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Each in turn, whatever it has.
    RoundRobin,
    /// The one with the fewest connections.
    #[default]
    LeastConnections,
    /// The one with the lowest sum of connections, queue depth and recent busy time.
    LeastLoaded,
    /// The one with fewer connections of two taken at random.
    TwoChoices,
    /// By the peer's address: a client always meets the same shard.
    SourceHash,
    /// The one on whose core the kernel received the connection (`SO_INCOMING_CPU`).
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

/// Each worker in turn.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// The workers in the order a connection shall be offered to them; each call starts one
    /// further on.
    pub(super) fn order(&mut self, workers: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.next;
        self.next = (first + 1) % workers;
        (first..workers).chain(0..first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_is_first_in_turn_and_all_are_offered() {
        let mut placement = RoundRobin::default();
        let orders: Vec<Vec<usize>> = (0..4).map(|_| placement.order(3).collect()).collect();
        assert_eq!(orders, [vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1], vec![0, 1, 2]]);
    }
}
