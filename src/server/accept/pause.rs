//! Pausing: why an acceptor stops accepting, and when it resumes.
//!
//! | paused | resumes when |
//! |---|---|
//! | queue full: no worker has room, one connection is held | a queue is half empty |
//! | at the limit | a connection closes |
//! | exhausted: no descriptor, no memory | a connection closes, or the back-off is over |
//!
//! It first registers what it waits for and then tries once more, so that it misses no notification
//! in between. See `backpressure.rs` and `connection_limit.rs`. Meanwhile it does not watch its
//! sockets.

use std::fmt::Display;
use std::time::Instant;

use super::acceptor::Acceptor;
use super::batch::BatchEnd;
use super::state::{Paused, State};
use crate::base::Registry;

impl Acceptor {
    /// Stops accepting until a notification or a timer ends the reason.
    pub(super) fn pause<C>(&mut self, registry: &mut Registry<C>, paused: Paused) -> BatchEnd {
        for watched in &self.sockets {
            registry.del(watched.event);
        }
        match paused {
            Paused::QueueFull(_) => self.stats.pauses_full += 1,
            Paused::AtLimit => self.stats.pauses_at_limit += 1,
            Paused::Exhausted => self.stats.pauses_exhausted += 1,
        }
        self.state = State::Paused(paused);
        BatchEnd::Paused
    }

    /// Stops accepting until a connection closes, or for the back-off.
    pub(super) fn pause_exhausted<C>(
        &mut self,
        registry: &mut Registry<C>,
        why: &impl Display,
    ) -> BatchEnd {
        let back_off = self.exhaustion.next_pause();
        self.exhaustion.log(why, back_off, Instant::now());
        registry.add(self.events.pause_over, Some(back_off)).expect("a timer needs no kernel");
        self.pause(registry, Paused::Exhausted)
    }

    /// The kernel refused to watch a listen socket. It is retried as after exhaustion.
    pub(super) fn pause_unwatched<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
        self.pause_exhausted(registry, why);
    }

    /// Handles a notification: resumes if the reason for the pause is gone.
    pub(super) fn resume_if_possible<C>(&mut self, registry: &mut Registry<C>) {
        if self.queues.are_all_closed() && !matches!(self.state, State::Closing) {
            return self.finish(registry); // no shard is left to accept for
        }
        let can_resume = match self.state {
            State::Accepting | State::Closing | State::Done => false,
            State::Paused(Paused::QueueFull(_)) => self.queues.may_have_room(),
            State::Paused(Paused::AtLimit) => self.connection_limit.has_room_or_wait(),
            State::Paused(Paused::Exhausted) => {
                self.connection_limit.releases_or_wait() != self.exhaustion.releases_before
            }
        };
        if can_resume {
            self.resume(registry);
        }
    }

    /// Resumes accepting, unless the held connection still finds no room.
    pub(super) fn resume<C>(&mut self, registry: &mut Registry<C>) {
        registry.del(self.events.pause_over);
        let state = std::mem::replace(&mut self.state, State::Accepting);
        if let State::Paused(Paused::QueueFull(unplaced)) = state {
            match self.queues.place(unplaced) {
                Ok(()) => self.queues.wake_touched(),
                Err(unplaced) => {
                    self.state = State::Paused(Paused::QueueFull(unplaced));
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
}
