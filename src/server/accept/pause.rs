//! Pausing: why an acceptor stops accepting, and when it resumes.
//!
//! It first registers what it waits for and then tries once more, so that it misses no notification
//! in between. See `backpressure.rs` and `connection_limit.rs`. Meanwhile it does not watch its
//! sockets.

use std::fmt::Display;
use std::time::Instant;

use super::acceptor::Acceptor;
use super::state::{PauseReason, State};
use crate::base::Registry;

impl Acceptor {
    /// Stops accepting until a notification or a timer ends the reason.
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
                self.wait_for_release(registry, &error);
                State::Exhausted
            }
        };
    }

    /// Waits until a connection closes, or for the back-off.
    fn wait_for_release<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        self.stats.pauses_exhausted += 1;
        let pause = self.exhaustion.next_pause();
        self.exhaustion.log(why, pause, Instant::now());
        registry.add(self.events.pause_over, Some(pause)).expect("a timer needs no kernel");
    }

    /// The kernel refused to watch a listen socket. It is retried as after exhaustion.
    pub(super) fn pause_unwatched<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        for watched in &self.sockets {
            registry.del(watched.event);
        }
        self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
        self.wait_for_release(registry, why);
        self.state = State::Exhausted;
    }

    /// Resumes accepting, unless the held connection still finds no room.
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

    /// Handles a notification: resumes if the reason for the pause is gone.
    pub(super) fn resume_if_possible<C>(&mut self, registry: &mut Registry<C>) {
        if self.queues.are_all_closed() && !matches!(self.state, State::Closing) {
            return self.finish(registry); // no shard is left to accept for
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
