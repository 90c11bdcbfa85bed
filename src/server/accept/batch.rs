//! The batch: how many connections to accept in one turn, learned from the turns before.
//!
//! A batch that ended because nobody waited was one call too long; one that ended because it was
//! full may have been too short. So a batch starts at one, where a lone connection costs exactly
//! one call and level-triggered readiness brings us back for a second; it doubles when turn after
//! turn fills it, and becomes what there was when one finds nobody.

/// See the module's documentation. One for each listening socket.
#[derive(Debug)]
pub(super) struct Batch {
    limit: usize,
    max: usize,
    /// The turn that filled it last.
    filled: Option<u64>,
}

impl Batch {
    /// A batch of one that grows to `max`.
    pub(super) fn new(max: usize) -> Self {
        Self { limit: 1, max, filled: None }
    }

    /// How many to accept in this turn.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// It took all it may; `turn` counts the waits of the base.
    pub(super) fn filled(&mut self, turn: u64) {
        if self.filled.is_some_and(|filled| filled + 1 == turn) {
            self.limit = (self.limit * 2).min(self.max);
        }
        self.filled = Some(turn);
    }

    /// After `accepted` connections, nobody waited.
    pub(super) fn ran_dry(&mut self, accepted: usize) {
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
    fn after_finding_nobody_it_is_what_there_was_and_at_least_one() {
        let mut batch = Batch::new(4);
        (1..9).for_each(|turn| batch.filled(turn));
        assert_eq!(batch.limit(), 4);
        batch.ran_dry(3);
        assert_eq!(batch.limit(), 3);
        batch.ran_dry(0);
        assert_eq!(batch.limit(), 1);
    }

    proptest! {
        /// Against a queue that a random number joins every turn: the calls that find nobody are
        /// never more than the accepted connections and the queue never starves.
        #[test]
        fn an_empty_call_is_paid_for_by_connections(
            joins in proptest::collection::vec(0_usize..20, 1..200)
        ) {
            let (mut batch, mut queue, mut accepted, mut in_vain) = (Batch::new(64), 0, 0, 0);
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
                    in_vain += 1;
                    batch.ran_dry(taken);
                } else {
                    batch.filled(turn);
                }
            }
            prop_assert!(in_vain <= accepted);
        }
    }
}
