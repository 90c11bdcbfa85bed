//! The share of a turn that handshakes may have. Otherwise a flood of them would delay the open
//! connections: the handshakes of one turn could take a second.

use std::collections::VecDeque;

use crate::event::EventId;

/// Handshakes of one turn take this time and one step of one handshake at most: it is as long as
/// that step with an RSA key of 2,048 bits, and as eight steps with an ECDSA key.
const TURN_NS: u64 = 1_000_000;

/// What handshakes took of this turn, and those that wait for the next.
#[derive(Debug)]
pub(super) struct TurnShare {
    spent_ns: u64,
    /// The oldest first: each with the event that was deleted meanwhile.
    deferred: VecDeque<(usize, EventId)>,
    /// Its handler goes on with the deferred ones.
    pub(super) next_turn: EventId,
}

impl TurnShare {
    pub(super) fn new(next_turn: EventId) -> Self {
        Self { spent_ns: 0, deferred: VecDeque::new(), next_turn }
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
        self.spent_ns >= TURN_NS
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
