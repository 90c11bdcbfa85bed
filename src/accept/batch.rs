//! The batch size: how many connections to accept per turn, learned from earlier turns.
//!
//! A batch that ended because the backlog was empty made one call too many. A batch that ended
//! because it was full may have been too short. So a batch starts at one: a lone connection then
//! costs exactly one call, and level-triggered readiness brings us back for a second. It doubles
//! when turn after turn fills it. When one finds the backlog empty, its limit becomes the number it
//! found.

/// The batch size of one listen socket.
#[derive(Debug)]
pub(crate) struct Batch {
    limit: usize,
    max: usize,
    /// The turn that filled it most recently.
    filled: Option<u64>,
}

impl Batch {
    /// A batch of one that grows to `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { limit: 1, max, filled: None }
    }

    /// How many to accept in this turn.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The batch was filled; `turn` counts the waits of the base.
    pub(crate) fn filled(&mut self, turn: u64) {
        if self.filled.is_some_and(|filled| filled + 1 == turn) {
            self.limit = (self.limit * 2).min(self.max);
        }
        self.filled = Some(turn);
    }

    /// The backlog was empty after `accepted` connections.
    pub(crate) fn ran_dry(&mut self, accepted: usize) {
        self.limit = accepted.clamp(1, self.max);
        self.filled = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_storm_doubles_the_batch_up_to_its_maximum() {
        let mut batch = Batch::new(64);
        let limits = (10..19).map(|turn| {
            let limit = batch.limit();
            batch.filled(turn);
            limit
        });
        assert_eq!(limits.collect::<Vec<_>>(), [1, 1, 2, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn connections_that_come_one_by_one_never_grow_it() {
        let mut batch = Batch::new(64);
        for turn in [1, 3, 7, 20] {
            assert_eq!(batch.limit(), 1);
            batch.filled(turn);
        }
        assert_eq!(batch.limit(), 1);
    }

    #[test]
    fn an_empty_backlog_sets_the_batch_to_what_was_found_and_at_least_one() {
        let mut batch = Batch::new(4);
        (1..9).for_each(|turn| batch.filled(turn));
        assert_eq!(batch.limit(), 4);
        batch.ran_dry(3);
        assert_eq!(batch.limit(), 3);
        batch.ran_dry(0);
        assert_eq!(batch.limit(), 1);
    }

    proptest! {
        /// Against a queue that a random number of clients joins each turn: there are never more
        /// empty calls than accepted connections, and the queue never starves.
        #[test]
        fn an_empty_call_is_paid_for_by_connections(
            joins in proptest::collection::vec(0_usize..20, 1..200)
        ) {
            let (mut batch, mut queue, mut accepted, mut empty_calls) = (Batch::new(64), 0, 0, 0);
            for (turn, joining) in (0..).zip(joins) {
                queue += joining;
                if queue == 0 {
                    continue; // level-triggered: the base does not call us
                }
                let limit = batch.limit();
                prop_assert!((1..=64).contains(&limit));
                let taken = limit.min(queue);
                queue -= taken;
                accepted += taken;
                if taken < limit {
                    empty_calls += 1;
                    batch.ran_dry(taken);
                } else {
                    batch.filled(turn);
                }
            }
            prop_assert!(empty_calls <= accepted);
        }
    }
}
