//! Pausing: why an acceptor stops accepting, and when it resumes.
//!
//! | paused | resumes when |
//! |---|---|
//! | queue full: no worker has room, one connection is held | a queue is half empty |
//! | at the limit | a connection closes |
//! | at the rate: as many as the accept rate allows | a timer ends |
//! | memory limit: buffers hold too much | a connection closes, or the back-off is over |
//! | exhausted: no descriptor, no memory | a connection closes, or the back-off is over |
//! | failing: accept(2) fails repeatedly for another reason | the back-off is over |
//!
//! It first registers what it waits for and then tries once more, so that it misses no notification
//! in between. See `backpressure.rs` and `connection_limit.rs`. Meanwhile it does not watch its
//! sockets.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use super::acceptor::Acceptor;
use super::state::{BatchEnd, NO_MEMORY, Paused, State};
use crate::base::Registry;
use crate::server::config::Overload;

impl Acceptor {
    /// Stops accepting until a notification or a timer ends the reason.
    pub(super) fn pause<C>(&mut self, registry: &mut Registry<C>, paused: Paused) -> BatchEnd {
        for watched in &self.sockets {
            registry.del(watched.event);
        }
        match paused {
            Paused::QueueFull(_) => self.stats.pauses_full += 1,
            Paused::AtLimit => self.stats.pauses_at_limit += 1,
            Paused::AtRate => self.stats.pauses_at_rate += 1,
            Paused::MemoryLimit => self.stats.pauses_memory += 1,
            Paused::Exhausted => self.stats.pauses_exhausted += 1,
            Paused::Failing => self.stats.pauses_failing += 1,
        }
        self.state = State::Paused(paused);
        BatchEnd::Paused
    }

    /// Stops accepting until the accept rate allows more.
    pub(super) fn pause_at_rate<C>(
        &mut self,
        registry: &mut Registry<C>,
        wait: Duration,
    ) -> BatchEnd {
        if let Some(rate) = &self.accept_rate {
            rate.log_wait(Instant::now());
        }
        registry.add(self.events.pause_over, Some(wait)).expect("a timer needs no kernel");
        self.pause(registry, Paused::AtRate)
    }

    /// Stops accepting until a connection closes, or for the back-off.
    pub(super) fn pause_exhausted<C>(
        &mut self,
        registry: &mut Registry<C>,
        why: &impl Display,
    ) -> BatchEnd {
        let advice = "raise the limit on open files (ulimit -n), or allow fewer connections";
        self.back_off(registry, why, advice);
        self.pause(registry, Paused::Exhausted)
    }

    /// Stops accepting for the back-off: accept(2) has failed twice and more in a row.
    pub(super) fn pause_failing<C>(
        &mut self,
        registry: &mut Registry<C>,
        error: &io::Error,
    ) -> BatchEnd {
        self.back_off(registry, error, "allow accept(2) in the firewall and the sandbox");
        self.pause(registry, Paused::Failing)
    }

    /// Stops accepting until buffers hold less: a connection closes, or the back-off is over.
    pub(super) fn pause_without_memory<C>(&mut self, registry: &mut Registry<C>) -> BatchEnd {
        self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
        let advice = "raise the memory limit, or allow each connection less";
        self.back_off(registry, &NO_MEMORY, advice);
        self.pause(registry, Paused::MemoryLimit)
    }

    /// Starts the timer of the next pause, and logs the pause at most once a second.
    fn back_off<C>(&mut self, registry: &mut Registry<C>, why: &impl Display, advice: &str) {
        let pause = self.back_off.next_pause();
        if self.back_off.is_time_to_log(Instant::now()) {
            log::warn!(
                target: "accept", error:% = why, pause_ms = pause.as_millis() as u64;
                "accepting pauses; {advice}"
            );
        }
        registry.add(self.events.pause_over, Some(pause)).expect("a timer needs no kernel");
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
            State::Accepting
            | State::Closing
            | State::Done
            | State::Paused(Paused::Failing | Paused::AtRate) => false,
            State::Paused(Paused::QueueFull(_)) => self.queues.may_have_room(),
            State::Paused(Paused::AtLimit) => self.connection_limit.has_room_or_wait(),
            State::Paused(Paused::Exhausted | Paused::MemoryLimit) => {
                self.connection_limit.releases_or_wait() != self.exhaustion.releases_before
            }
        };
        if can_resume {
            self.resume(registry);
        }
    }

    /// Changes how connections without room are handled. If there was no room, it tries once more:
    /// the limits may have changed, too.
    pub(in crate::server) fn reconfigure<C>(
        &mut self,
        registry: &mut Registry<C>,
        overload: Overload,
    ) {
        self.overload = overload;
        if let State::Paused(Paused::AtLimit | Paused::MemoryLimit) = self.state {
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
