//! The state of an acceptor: accepting, paused, or ending.

use std::convert::Infallible;
use std::sync::mpsc::Sender;

use super::listen_socket::ListenSocket;
use super::shard_queues::UnplacedConnection;
use crate::accept::Batch;
use crate::event::EventId;

/// Why there is no room for a new connection.
pub(super) const NO_QUEUE: &str = "the queue of every worker is full";
pub(super) const NO_SLOT: &str = "the connection limit is reached";
pub(super) const NO_MEMORY: &str = "the buffers of all connections hold too much memory";
pub(super) const NO_DESCRIPTOR: &str = "descriptors or memory of the system are exhausted";

/// A listen socket and its event.
#[derive(Debug)]
pub(super) struct WatchedSocket {
    pub(super) listen_socket: ListenSocket,
    pub(super) event: EventId,
    pub(super) batch: Batch,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchEnd {
    /// The batch is full; more may wait.
    Filled,
    /// The backlog is empty.
    Empty,
    /// The acceptor paused.
    Paused,
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
    /// As many connections were accepted as the accept rate allows.
    AtRate,
    /// The buffers of all connections hold too much memory.
    MemoryLimit,
    /// The kernel has no descriptor or memory for another connection, or does not watch a socket.
    Exhausted,
    /// accept(2) fails again and again.
    Failing,
}

impl State {
    /// Why it is paused; `None` if it is not.
    pub(super) fn pause_reason(&self) -> Option<&'static str> {
        let Self::Paused(paused) = self else { return None };
        Some(match paused {
            Paused::QueueFull(_) => NO_QUEUE,
            Paused::AtLimit => NO_SLOT,
            Paused::AtRate => "the accept rate is reached",
            Paused::MemoryLimit => NO_MEMORY,
            Paused::Exhausted => NO_DESCRIPTOR,
            Paused::Failing => "accept(2) fails",
        })
    }
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
