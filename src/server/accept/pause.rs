//! Pausing: why a gate stops accepting, and when it goes on.
//!
//! It says first what it waits for and then tries once more, so that nothing it could be told of
//! falls in between; see `backpressure.rs` and `connection_limit.rs`. Its doors are not watched
//! meanwhile.

use std::fmt::Display;
use std::time::Instant;

use super::acceptor::Gate;
use super::state::{State, Stop};
use crate::base::Registry;

impl Gate {
    /// Stops accepting until it is told of what it now waits for.
    pub(super) fn pause<C>(&mut self, registry: &mut Registry<C>, door: usize, stop: Stop) {
        for door in &self.doors {
            registry.del(door.event);
        }
        self.state = match stop {
            Stop::Full(visitor) => {
                self.stats.pauses_full += 1;
                State::Full(visitor)
            }
            Stop::AtLimit => {
                self.stats.pauses_at_limit += 1;
                State::AtLimit
            }
            Stop::Exhausted(error) => {
                let entrance = &self.doors[door].entrance;
                let shed = self.shortage.shed_one(&error, entrance, &self.links.placer);
                self.stats.shed += u64::from(shed);
                self.wait_for_departure(registry, &error);
                State::Exhausted
            }
        };
    }

    /// Has it wait until a connection closes, or for a while.
    fn wait_for_departure<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        self.stats.pauses_exhausted += 1;
        let pause = self.shortage.next_pause();
        self.shortage.log(why, pause, Instant::now());
        registry.add(self.events.pause_over, Some(pause)).expect("a timer needs no kernel");
    }

    /// The kernel refused to watch a door; it is tried again as after any shortage.
    pub(super) fn pause_unwatched<C>(&mut self, registry: &mut Registry<C>, why: &impl Display) {
        for door in &self.doors {
            registry.del(door.event);
        }
        self.shortage.departures_before = self.census.departures_or_wait();
        self.wait_for_departure(registry, why);
        self.state = State::Exhausted;
    }

    /// Goes on accepting, unless the one that is held still finds no room.
    pub(super) fn resume<C>(&mut self, registry: &mut Registry<C>) {
        registry.del(self.events.pause_over);
        if let State::Full(visitor) = std::mem::replace(&mut self.state, State::Accepting) {
            match self.links.place(visitor) {
                Ok(()) => self.links.wake_touched(),
                Err(visitor) => {
                    self.state = State::Full(visitor);
                    return;
                }
            }
        }
        for door in 0..self.doors.len() {
            if let Err(error) = registry.add(self.doors[door].event, None) {
                return self.pause_unwatched(registry, &error);
            }
        }
        self.finish_if_settled(registry);
    }

    /// Something happened that it may wait for.
    pub(super) fn look_again<C>(&mut self, registry: &mut Registry<C>) {
        if self.links.are_all_closed() && !matches!(self.state, State::Closing) {
            return self.finish(registry); // nobody is left to accept for
        }
        let can_go_on = match self.state {
            State::Accepting | State::Closing | State::Done => false,
            State::Full(_) => self.links.may_have_room(),
            State::AtLimit => self.census.has_place_or_wait(),
            State::Exhausted => self.census.departures_or_wait() != self.shortage.departures_before,
        };
        if can_go_on {
            self.resume(registry);
        }
    }
}
