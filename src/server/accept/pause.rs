//! Pausing: why an acceptor stops accepting, and when it goes on.
//!
//! It says first what it waits for and then tries once more, so that nothing it could be notified
//! of falls in between; see `backpressure.rs` and `connection_limit.rs`. Its sockets are not
//! watched meanwhile.

use std::fmt::Display;
use std::time::Instant;

use super::acceptor::Acceptor;
use super::state::{PauseReason, State};
use crate::base::Registry;

impl Acceptor {
    /// Stops accepting until it is notified of what it now waits for.
    pub(super) fn pause<C>(
        &mut self,
        registry: &mut Registry<C>,
        index: usize,
        reason: PauseReason,
    ) {
        for watched in &self.sockets {
            registry.del(watched.event);
        }
        self.state = match reason {
            PauseReason::Full(unplaced) => {
                self.stats.pauses_full += 1;
                State::Full(unplaced)
            }
            PauseReason::AtLimit => {
                self.stats.pauses_at_limit += 1;
                State::AtLimit
            }
            PauseReason::Exhausted(error) => {
                let listen_socket = &self.sockets[index].listen_socket;
                let shed = self.exhaustion.shed_one(&error, listen_socket, &self.queues.placer);
                self.stats.shed += u64::from(shed);
                self.wait_for_departure(registry, &error);
                State::Exhausted
            }
        };
    }

    /// Has it wait until a connection closes, or for a while.
    fn wait_for_departure<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        self.stats.pauses_exhausted += 1;
        let pause = self.exhaustion.next_pause();
        self.exhaustion.log(why, pause, Instant::now());
        registry.add(self.events.pause_over, Some(pause)).expect("a timer needs no kernel");
    }

    /// The kernel refused to watch a watched; it is tried again as after any exhaustion.
    pub(super) fn pause_unwatched<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        for watched in &self.sockets {
            registry.del(watched.event);
        }
        self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
        self.wait_for_departure(registry, why);
        self.state = State::Exhausted;
    }

    /// Goes on accepting, unless the one that is held still finds no room.
    pub(super) fn resume<C>(&mut self, registry: &mut Registry<C>) {
        registry.del(self.events.pause_over);
        if let State::Full(unplaced) = std::mem::replace(&mut self.state, State::Accepting) {
            match self.queues.place(unplaced) {
                Ok(()) => self.queues.wake_touched(),
                Err(unplaced) => {
                    self.state = State::Full(unplaced);
                    return;
                }
            }
        }
        for index in 0..self.sockets.len() {
            if let Err(error) = registry.add(self.sockets[index].event, None) {
                return self.pause_unwatched(registry, &error);
            }
        }
        self.finish_if_settled(registry);
    }

    /// Something happened that it may wait for.
    pub(super) fn resume_if_possible<C>(&mut self, registry: &mut Registry<C>) {
        if self.queues.are_all_closed() && !matches!(self.state, State::Closing) {
            return self.finish(registry); // nobody is left to accept for
        }
        let can_go_on = match self.state {
            State::Accepting | State::Closing | State::Done => false,
            State::Full(_) => self.queues.may_have_room(),
            State::AtLimit => self.connection_limit.has_room_or_wait(),
            State::Exhausted => {
                self.connection_limit.releases_or_wait() != self.exhaustion.releases_before
            }
        };
        if can_go_on {
            self.resume(registry);
        }
    }
}
