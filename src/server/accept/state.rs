//! The states of an acceptor.

use std::convert::Infallible;
use std::io;
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

/// Whether an acceptor accepts, and otherwise what it waits for.
#[derive(Debug)]
pub(super) enum State {
    Accepting,
    /// Every queue is full; holds one accepted connection.
    Full(UnplacedConnection),
    AtLimit,
    Exhausted,
    /// The sockets are no longer watched, and are closed in the next turn.
    Closing,
    Done,
}

/// Why accepting pauses.
pub(super) enum PauseReason {
    Full(UnplacedConnection),
    AtLimit,
    Exhausted(io::Error),
}

/// How a batch ended.
pub(super) enum BatchEnd {
    /// The batch is full; more may wait.
    Filled,
    /// The backlog is empty.
    Empty,
    /// The acceptor paused.
    Stopped,
}

/// Which process serves the connections in the kernel's backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BacklogOwner {
    /// This one, unless a service manager shares the socket.
    ThisProcess,
    /// A successor that has every socket.
    Successor,
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
