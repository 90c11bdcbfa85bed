//! Shutdown: how an acceptor ends without resetting whom the kernel has queued.
//!
//! A listening socket that is nobody else's is shut first: no handshake begins any more, and those
//! under way end well. After a moment for them its queue is emptied, and only then it is closed. A
//! socket that another process has, too, is closed at once; its queue is the other's.

use std::convert::Infallible;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::super::listener::Origin;
use super::acceptor::Acceptor;
use super::state::{BacklogOwner, BatchEnd, Shutdown, State, WatchedSocket};
use crate::base::Registry;

/// How long handshakes under way get: the round-trip time of clients on a continent.
const SETTLE: Duration = Duration::from_millis(20);

/// Connections accepted after the stop for each socket: as many as a usual backlog holds. Where it
/// could not be shut, clients that keep connecting must not keep a server from ending.
const LAST_ACCEPTS_MAX: usize = 4096;

/// How long an acceptor waits for room, a place or descriptors for its last connections. A worker
/// that is stuck must not keep a server from ending, either.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Acceptor {
    /// Begins to end.
    pub(super) fn begin_shutdown<C>(
        &mut self,
        registry: &mut Registry<C>,
        backlog: BacklogOwner,
        done: Sender<Infallible>,
    ) {
        if self.shutdown.is_some() || matches!(self.state, State::Closing) {
            return;
        }
        let is_shared = |watched: &mut WatchedSocket| {
            backlog == BacklogOwner::Successor || watched.listen_socket.origin == Origin::Shared
        };
        let shared: Vec<WatchedSocket> = self.sockets.extract_if(.., is_shared).collect();
        for watched in &shared {
            registry.free(watched.event);
        }
        for watched in &mut self.sockets {
            watched.listen_socket.shut();
        }
        let settle = if self.sockets.is_empty() { Duration::ZERO } else { SETTLE };
        registry.add(self.events.shutdown, Some(settle)).expect("a timer needs no kernel");
        self.shutdown = Some(Shutdown {
            accepts_left: LAST_ACCEPTS_MAX * self.sockets.len(),
            settled: false,
            _shared: shared,
            _done: done,
        });
    }

    /// The time to settle is over, or the last wait, or the last turn.
    pub(super) fn shutdown_timer_fired<C>(&mut self, registry: &mut Registry<C>) {
        if matches!(self.state, State::Closing) {
            self.close(registry);
            return;
        }
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.settled {
            self.finish(registry);
            return;
        }
        shutdown.settled = true;
        registry.add(self.events.shutdown, Some(LAST_WAIT)).expect("a timer needs no kernel");
        if matches!(self.state, State::Accepting) {
            self.finish_if_settled(registry);
        }
    }

    /// Empties the kernel's queues for the last time, if nobody can join them any more, and ends.
    pub(super) fn finish_if_settled<C>(&mut self, registry: &mut Registry<C>) {
        if !self.shutdown.as_ref().is_some_and(|shutdown| shutdown.settled) {
            return;
        }
        for index in 0..self.sockets.len() {
            // Bounded by the last accepts.
            loop {
                match self.accept_batch(registry, index) {
                    BatchEnd::Filled => {}
                    BatchEnd::Empty => break,
                    BatchEnd::Stopped => return,
                }
            }
        }
        self.finish(registry);
    }

    /// Watches its sockets no longer and turns away whoever is held. The sockets are closed a turn
    /// later: of one that has a duplicate anywhere the kernel would go on telling, if it were
    /// closed before the base has notified it not to.
    pub(super) fn finish<C>(&mut self, registry: &mut Registry<C>) {
        for watched in &self.sockets {
            registry.free(watched.event);
        }
        if let State::Full(unplaced) = std::mem::replace(&mut self.state, State::Closing) {
            self.reject(unplaced);
        }
        registry.add(self.events.shutdown, Some(Duration::ZERO)).expect("a timer needs no kernel");
    }

    /// Closes its sockets; nothing is left of it but its numbers.
    fn close<C>(&mut self, registry: &mut Registry<C>) {
        self.events.free(registry);
        self.sockets.clear();
        self.shutdown = None;
        self.state = State::Done;
    }
}
