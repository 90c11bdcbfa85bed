//! What an acceptor is doing: the words its parts share.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::Sender;

use super::batch::Batch;
use super::listen_socket::ListenSocket;
use super::shard_queues::UnplacedConnection;
use crate::event::EventId;

/// An listen_socket that is watched.
#[derive(Debug)]
pub(super) struct WatchedSocket {
    pub(super) listen_socket: ListenSocket,
    pub(super) event: EventId,
    pub(super) batch: Batch,
}

/// Whether an acceptor accepts, and if not, what it waits for.
#[derive(Debug)]
pub(super) enum State {
    Accepting,
    /// No worker had room for this one.
    Full(UnplacedConnection),
    AtLimit,
    Exhausted,
    /// No longer watching; its sockets are closed in the next turn.
    Closing,
    Done,
}

/// Why accepting stops.
pub(super) enum PauseReason {
    Full(UnplacedConnection),
    AtLimit,
    Exhausted(io::Error),
}

/// How a batch ended.
pub(super) enum BatchEnd {
    /// It was long enough; more may wait.
    Filled,
    /// Nobody waits.
    Empty,
    /// The acceptor does not accept for now.
    Stopped,
}

/// Whose the connections are that the kernel has queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BacklogOwner {
    /// Ours, unless the socket came from a service manager, which has it, too.
    ThisProcess,
    /// Another process has every socket.
    Successor,
}

/// An acceptor's last moments.
#[derive(Debug)]
pub(super) struct Shutdown {
    pub(super) accepts_left: usize,
    /// Whether the time to settle is over.
    pub(super) settled: bool,
    /// The sockets that are not ours alone, no longer watched.
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
