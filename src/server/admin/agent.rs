//! The answer to HAProxy's agent check: one line that says how many new connections to send here.
//!
//! See `agent-check` in HAProxy's configuration manual. HAProxy multiplies the server's weight by
//! the percentage, and remembers the words.

use std::time::Duration;

use crate::server::stats::{ServerStats, Unready};

/// How long a new process says `ready`. It ends HAProxy's drain state, which the process before it
/// on this address has caused. Later it would also end the state that an operator has set.
const READY_FOR: Duration = Duration::from_secs(60);

/// The line for these statistics of a process of this age.
pub(super) fn answer(stats: &ServerStats, age: Duration) -> String {
    match stats.unready() {
        Some(Unready::Draining) => "drain\n".to_owned(),
        Some(reason) => format!("down #{}\n", reason.to_string().replace(['\r', '\n'], " ")),
        None => {
            let ready = if age < READY_FOR { "ready " } else { "" };
            format!("{ready}up {}%\n", weight(stats))
        }
    }
}

/// The share of time, in per cent, in which the shards were not busy. It is at least 1: with 0
/// HAProxy would send no connection, and the share could not change.
fn weight(stats: &ServerStats) -> u8 {
    let answered = || stats.shards.iter().filter(|shard| shard.answered);
    let busy: f64 = answered().map(|shard| shard.busy.clamp(0.0, 1.0)).sum();
    let idle = 1.0 - busy / answered().count() as f64;
    (idle * 100.0).round().max(1.0) as u8
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::server::stats::{AcceptorStats, ShardStats};

    const OLD: Duration = READY_FOR;

    fn stats(busy: &[f64]) -> ServerStats {
        let shard = |busy: &f64| ShardStats { answered: true, busy: *busy, ..Default::default() };
        ServerStats {
            shards: busy.iter().map(shard).collect(),
            acceptors: vec![AcceptorStats {
                answered: true,
                accepting: true,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn the_weight_is_the_share_of_time_without_work() {
        for (busy, line) in [
            (&[0.0][..], "up 100%\n"),
            (&[0.25, 0.75], "up 50%\n"),
            (&[0.5, 0.004], "up 75%\n"),
            (&[1.0, 1.0], "up 1%\n"),
            (&[1.7], "up 1%\n"),
        ] {
            assert_eq!(answer(&stats(busy), OLD), line, "{busy:?}");
        }
    }

    #[test]
    fn a_shard_that_does_not_answer_has_no_share_in_the_weight() {
        let mut stats = stats(&[0.5, 0.0]);
        stats.shards[1].answered = false;
        assert_eq!(answer(&stats, OLD), "up 50%\n");
    }

    #[test]
    fn only_a_new_process_ends_a_state_that_was_set_before() {
        assert_eq!(answer(&stats(&[0.0]), READY_FOR / 2), "ready up 100%\n");
        assert_eq!(answer(&stats(&[0.0]), READY_FOR), "up 100%\n");
    }

    #[test]
    fn one_that_drains_or_cannot_serve_says_so() {
        let draining = ServerStats { draining: true, ..stats(&[0.0]) };
        assert_eq!(answer(&draining, Duration::ZERO), "drain\n");
        let mut full = stats(&[0.0]);
        (full.acceptors[0].accepting, full.acceptors[0].paused) = (false, Some("no room"));
        assert_eq!(answer(&full, OLD), "down #not accepting: no room\n");
        let failed = ServerStats { failed: Some("two\nlines".to_owned()), ..draining };
        assert_eq!(answer(&failed, OLD), "down #failed: two lines\n");
    }
}
