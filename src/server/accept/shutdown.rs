//! Leaving: how a gate ends without resetting whom the kernel has queued.
//!
//! A listening socket that is nobody else's is shut first: no handshake begins any more, and those
//! under way end well. After a moment for them its queue is emptied, and only then it is closed. A
//! socket that another process has, too, is closed at once; its queue is the other's.

use std::convert::Infallible;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::super::listener::Origin;
use super::acceptor::Gate;
use super::state::{BatchEnd, Door, Leaving, Queue, State};
use crate::base::Registry;

/// How long handshakes under way get: the round-trip time of clients on a continent.
const SETTLE: Duration = Duration::from_millis(20);

/// Connections accepted after the stop for each socket: as many as a usual backlog holds. Where it
/// could not be shut, clients that keep connecting must not keep a server from ending.
const LAST_ACCEPTS_MAX: usize = 4096;

/// How long a gate waits for room, a place or descriptors for its last connections. A worker that
/// is stuck must not keep a server from ending, either.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Gate {
    /// Begins to end.
    pub(super) fn leave<C>(
        &mut self,
        registry: &mut Registry<C>,
        queue: Queue,
        done: Sender<Infallible>,
    ) {
        if self.leaving.is_some() || matches!(self.state, State::Closing) {
            return;
        }
        let is_shared =
            |door: &mut Door| queue == Queue::Successors || door.entrance.origin == Origin::Shared;
        let shared: Vec<Door> = self.doors.extract_if(.., is_shared).collect();
        for door in &shared {
            registry.free(door.event);
        }
        for door in &mut self.doors {
            door.entrance.shut();
        }
        let settle = if self.doors.is_empty() { Duration::ZERO } else { SETTLE };
        registry.add(self.events.leaving, Some(settle)).expect("a timer needs no kernel");
        self.leaving = Some(Leaving {
            accepts_left: LAST_ACCEPTS_MAX * self.doors.len(),
            settled: false,
            _shared: shared,
            _done: done,
        });
    }

    /// The time to settle is over, or the last wait, or the last turn.
    pub(super) fn leave_in_time<C>(&mut self, registry: &mut Registry<C>) {
        if matches!(self.state, State::Closing) {
            self.close(registry);
            return;
        }
        let Some(leaving) = &mut self.leaving else { return };
        if leaving.settled {
            self.finish(registry);
            return;
        }
        leaving.settled = true;
        registry.add(self.events.leaving, Some(LAST_WAIT)).expect("a timer needs no kernel");
        if matches!(self.state, State::Accepting) {
            self.finish_if_settled(registry);
        }
    }

    /// Empties the kernel's queues for the last time, if nobody can join them any more, and ends.
    pub(super) fn finish_if_settled<C>(&mut self, registry: &mut Registry<C>) {
        if !self.leaving.as_ref().is_some_and(|leaving| leaving.settled) {
            return;
        }
        for door in 0..self.doors.len() {
            // Bounded by the last accepts.
            loop {
                match self.accept_batch(registry, door) {
                    BatchEnd::Filled => {}
                    BatchEnd::Empty => break,
                    BatchEnd::Stopped => return,
                }
            }
        }
        self.finish(registry);
    }

    /// Watches its doors no longer and turns away whoever is held. The sockets are closed a turn
    /// later: of one that has a duplicate anywhere the kernel would go on telling, if it were
    /// closed before the base has told it not to.
    pub(super) fn finish<C>(&mut self, registry: &mut Registry<C>) {
        for door in &self.doors {
            registry.free(door.event);
        }
        if let State::Full(visitor) = std::mem::replace(&mut self.state, State::Closing) {
            self.turn_away(visitor);
        }
        registry.add(self.events.leaving, Some(Duration::ZERO)).expect("a timer needs no kernel");
    }

    /// Closes its sockets; nothing is left of it but its numbers.
    fn close<C>(&mut self, registry: &mut Registry<C>) {
        self.events.free(registry);
        self.doors.clear();
        self.leaving = None;
        self.state = State::Done;
    }
}
