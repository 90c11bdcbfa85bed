//! The state of an acceptor: accepting, paused, or ending.

use std::convert::Infallible;
use std::sync::mpsc::Sender;

use super::batch::Batch;
use super::listen_socket::ListenSocket;
use super::shard_queues::UnplacedConnection;
use crate::event::EventId;

/// A listen socket and its event.
#[derive(Debug)]
pub(super) struct WatchedSocket {
    pub(super) listen_socket: ListenSocket,
    pub(super) event: EventId,
    pub(super) batch: Batch,
}

/// Whether an acceptor accepts.
#[derive(Debug)]
pub(super) enum State {
    Accepting,
    Paused(Paused),
    /// The sockets are no longer watched, and are closed in the next turn.
    Closing,
    Done,
}

/// Why an acceptor does not accept.
#[derive(Debug)]
pub(super) enum Paused {
    /// Every queue is full; holds one accepted connection.
    QueueFull(UnplacedConnection),
    /// The connection limit is reached.
    AtLimit,
    /// The kernel has no descriptor or memory for another connection, or does not watch a socket.
    Exhausted,
    /// accept(2) fails again and again.
    Failing,
}

/// Which process serves the connections in the kernel's backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BacklogOwner {
    /// This one, unless a service manager shares the socket.
    ThisProcess,
    /// Another one that has every socket, such as a successor.
    OtherProcess,
}

/// The state of a shutdown.
#[derive(Debug)]
pub(super) struct Shutdown {
    pub(super) accepts_left: usize,
    /// Whether the settle time is over.
    pub(super) settled: bool,
    /// Shared sockets, no longer watched. Closed when the acceptor is done.
    pub(super) _shared: Vec<WatchedSocket>,
    /// Dropped when the acceptor is done.
    pub(super) _done: Sender<Infallible>,
}

impl Shutdown {
    /// Whether another connection may be accepted; counts it.
    pub(super) fn may_accept(&mut self) -> bool {
        let may = self.accepts_left > 0;
        self.accepts_left = self.accepts_left.saturating_sub(1);
        may
    }
}
