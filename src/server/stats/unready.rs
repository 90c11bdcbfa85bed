//! Why no new connection should be sent to a server now.

use std::fmt;

use super::ServerStats;

/// A reason to send no new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Unready {
    /// A thread ended, with its error.
    Failed(String),
    /// The server is about to end.
    Draining,
    /// No thread of this kind answers.
    Stuck(&'static str),
    /// No acceptor accepts.
    NotAccepting(&'static str),
}

impl ServerStats {
    /// Why no new connection should be sent here now; `None` if one may be.
    pub(in crate::server) fn unready(&self) -> Option<Unready> {
        let mut acceptors = self.acceptors.iter();
        if let Some(failure) = &self.failed {
            Some(Unready::Failed(failure.clone()))
        } else if self.draining {
            Some(Unready::Draining)
        } else if !self.shards.iter().any(|shard| shard.answered) {
            Some(Unready::Stuck("shard"))
        } else if !acceptors.clone().any(|acceptor| acceptor.answered) {
            Some(Unready::Stuck("acceptor"))
        } else if !acceptors.clone().any(|acceptor| acceptor.accepting) {
            let paused = acceptors.find_map(|acceptor| acceptor.paused);
            Some(Unready::NotAccepting(paused.unwrap_or("the acceptors have ended")))
        } else {
            None
        }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "failed: {failure}"),
            Self::Draining => f.write_str("draining: the server is about to end"),
            Self::Stuck(kind) => write!(f, "stuck: no {kind} answers"),
            Self::NotAccepting(why) => write!(f, "not accepting: {why}"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{AcceptorStats, ShardStats};
    use super::*;

    #[test]
    fn a_stuck_acceptor_was_called_a_lack_of_room() {
        let shard = ShardStats { answered: true, ..Default::default() };
        let mut stats = ServerStats {
            shards: vec![shard],
            acceptors: vec![AcceptorStats::default()],
            ..Default::default()
        };
        let reason = |stats: &ServerStats| stats.unready().map(|reason| reason.to_string());
        assert_eq!(reason(&stats).unwrap(), "stuck: no acceptor answers");
        stats.acceptors.push(AcceptorStats {
            answered: true,
            paused: Some("the connection limit is reached"),
            ..Default::default()
        });
        assert_eq!(reason(&stats).unwrap(), "not accepting: the connection limit is reached");
        stats.acceptors[0] =
            AcceptorStats { answered: true, accepting: true, ..Default::default() };
        assert_eq!(reason(&stats), None);
    }
}
