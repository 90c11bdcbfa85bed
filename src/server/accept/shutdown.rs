//! Shutdown: how an acceptor ends without resetting the connections in the backlog.
//!
//! A listen socket of this process alone first refuses new connections, while handshakes in
//! progress complete. Once all sockets of the server do so, and after a moment for the handshakes,
//! the acceptor empties the backlog, and only then closes the socket. A socket that another process
//! shares is closed at once; its backlog is left to that process.

use std::convert::Infallible;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::acceptor::Acceptor;
use super::listen_socket::ListenSocket;
use super::state::{BacklogOwner, BatchEnd, Paused, Shutdown, State, WatchedSocket};
use crate::base::Registry;
use crate::server::listener::Origin;

/// Time for handshakes in progress: the round-trip time of clients on one continent.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// Connections accepted per socket after the stop: as many as a usual backlog holds. If a socket
/// does not refuse connections, clients that keep connecting must not delay the shutdown for ever.
const LAST_ACCEPTS_MAX: usize = 4096;

/// How long an acceptor waits for queue room, the connection limit or descriptors for its last
/// connections. A stuck worker must not delay the shutdown for ever.
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Acceptor {
    /// Refuses new connections at the sockets of this process alone.
    pub(super) fn refuse_connections(&mut self) {
        let sockets = self.sockets.iter_mut().map(|watched| &mut watched.listen_socket);
        sockets
            .filter(|socket| socket.origin == Origin::Own)
            .for_each(ListenSocket::refuse_connections);
    }

    /// Starts the shutdown.
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
            backlog == BacklogOwner::OtherProcess || watched.listen_socket.origin == Origin::Shared
        };
        let shared: Vec<WatchedSocket> = self.sockets.extract_if(.., is_shared).collect();
        for watched in &shared {
            registry.free(watched.event);
        }
        let settle = if self.sockets.is_empty() { Duration::ZERO } else { SETTLE_TIME };
        registry.add(self.events.shutdown, Some(settle)).expect("a timer needs no kernel");
        self.shutdown = Some(Shutdown {
            accepts_left: LAST_ACCEPTS_MAX * self.sockets.len(),
            settled: false,
            _shared: shared,
            _done: done,
        });
        if matches!(self.state, State::Paused(Paused::AtRate)) {
            self.resume(registry); // what is in the backlog is accepted at once
        }
    }

    /// The settle time, the last wait or the last turn is over.
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

    /// Once the settle time is over, empties the backlogs for the last time and finishes.
    pub(super) fn finish_if_settled<C>(&mut self, registry: &mut Registry<C>) {
        if !self.shutdown.as_ref().is_some_and(|shutdown| shutdown.settled) {
            return;
        }
        for index in 0..self.sockets.len() {
            // Bounded by `accepts_left`.
            loop {
                match self.accept_batch(registry, index) {
                    BatchEnd::Filled => {}
                    BatchEnd::Empty => break,
                    BatchEnd::Paused => return,
                }
            }
        }
        self.finish(registry);
    }

    /// Stops watching its sockets and rejects a held connection. The sockets are closed one turn
    /// later. The base must first remove them from the kernel's interest list: if a duplicate of a
    /// socket exists anywhere, the kernel would go on reporting it.
    pub(super) fn finish<C>(&mut self, registry: &mut Registry<C>) {
        for watched in &self.sockets {
            registry.free(watched.event);
        }
        if let State::Paused(Paused::QueueFull(unplaced)) =
            std::mem::replace(&mut self.state, State::Closing)
        {
            self.reject(unplaced);
        }
        registry.add(self.events.shutdown, Some(Duration::ZERO)).expect("a timer needs no kernel");
    }

    /// Closes its sockets; only its counters remain.
    fn close<C>(&mut self, registry: &mut Registry<C>) {
        self.events.free(registry);
        self.sockets.clear();
        self.shutdown = None;
        self.state = State::Done;
    }
}
