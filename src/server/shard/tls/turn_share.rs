//! The share of a turn that handshakes may have. Otherwise a flood of them would delay the open
//! connections: the handshakes of one turn could take a second.

use std::collections::VecDeque;

use crate::event::EventId;

/// Handshakes of one turn take this time and one step of one handshake at most. A whole handshake
/// takes 0.8 ms with an RSA key of 2,048 bits, and 0.16 ms with an ECDSA key.
const TURN_NS: u64 = 1_000_000;

/// What handshakes took of this turn, and those that wait for the next.
#[derive(Debug)]
pub(super) struct TurnShare {
    /// Tests of single turns have another than [`TURN_NS`].
    pub(super) turn_ns: u64,
    spent_ns: u64,
    /// The oldest first: each with the event that was deleted meanwhile.
    deferred: VecDeque<(usize, EventId)>,
    /// Its handler goes on with the deferred ones.
    pub(super) next_turn: EventId,
}

impl TurnShare {
    pub(super) fn new(next_turn: EventId) -> Self {
        Self { turn_ns: TURN_NS, spent_ns: 0, deferred: VecDeque::new(), next_turn }
    }

    /// Another turn begins.
    pub(super) fn renew(&mut self) {
        self.spent_ns = 0;
    }

    /// A step of a handshake took this time.
    pub(super) fn spend(&mut self, ns: u64) {
        self.spent_ns = self.spent_ns.saturating_add(ns);
    }

    /// Whether a new step must wait for the next turn: the share is used up, or others have waited
    /// for longer.
    pub(super) fn must_defer(&self) -> bool {
        self.is_used_up() || !self.deferred.is_empty()
    }

    fn is_used_up(&self) -> bool {
        self.spent_ns >= self.turn_ns
    }

    pub(super) fn defer(&mut self, key: usize, readable: EventId) {
        self.deferred.push_back((key, readable));
    }

    /// The one that has waited longest, if this turn has time for it.
    pub(super) fn next(&mut self) -> Option<(usize, EventId)> {
        if self.is_used_up() { None } else { self.deferred.pop_front() }
    }

    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{Config, EventBase};
    use crate::event::EventSpec;

    #[derive(Clone, Debug)]
    enum Step {
        Renew,
        Spend(u64),
        Defer(usize),
        Next,
    }

    fn step() -> impl Strategy<Value = Step> {
        let spent =
            prop_oneof![0..TURN_NS / 2, Just(TURN_NS - 1), Just(TURN_NS), Just(u64::MAX), Just(1),];
        prop_oneof![
            1 => Just(Step::Renew),
            2 => spent.prop_map(Step::Spend),
            3 => (0..5_usize).prop_map(Step::Defer),
            3 => Just(Step::Next),
        ]
    }

    proptest! {
        /// Against a list of the steps of this turn, and one of all that were deferred.
        #[test]
        fn a_share_is_used_up_by_the_sum_of_its_steps_and_the_oldest_goes_on_first(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let mut base = EventBase::<()>::new(Config::default()).unwrap();
            let mut event = || base.registry().create(EventSpec::timer(), |_, (), _| {});
            let mut share = TurnShare::new(event());
            let mut this_turn: Vec<u64> = Vec::new();
            let mut waiting: Vec<(usize, EventId)> = Vec::new();
            for step in steps {
                let sum = this_turn.iter().fold(0, |sum, ns| sum + u128::from(*ns));
                let is_used_up = sum >= u128::from(TURN_NS);
                prop_assert_eq!(share.must_defer(), is_used_up || !waiting.is_empty());
                prop_assert_eq!(share.has_deferred(), !waiting.is_empty());
                match step {
                    Step::Renew => {
                        share.renew();
                        this_turn.clear();
                    }
                    Step::Spend(ns) => {
                        share.spend(ns);
                        this_turn.push(ns);
                    }
                    Step::Defer(key) => {
                        let readable = event();
                        share.defer(key, readable);
                        waiting.push((key, readable));
                    }
                    Step::Next => {
                        let may = !is_used_up && !waiting.is_empty();
                        let expected = may.then(|| waiting.remove(0));
                        prop_assert_eq!(share.next(), expected);
                    }
                }
            }
        }
    }
}
