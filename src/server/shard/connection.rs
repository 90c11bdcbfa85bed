//! One connection: its socket, its events, and what it is waiting for.
//!
//! An idle one holds no buffer. What is not sent yet or not consumed yet is kept here, and as long
//! as anything is owed nothing is read.

use std::time::Duration;

use socket2::Socket;

use super::super::service::{NextStep, Peer, PeerAddress, PendingOutput};
use crate::event::EventId;

/// What a connection does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reads its PROXY header; the service does not know of it yet.
    ProxyHeader,
    /// Reads for the service.
    Reading,
    /// Waits for its peer to read what it was sent; what its service wished for comes then.
    Sending(NextStep),
    /// Waits for the time its service asked for; owes nothing.
    Pausing,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// Pending while the connection reads.
    pub(super) readable: EventId,
    /// Exists while it sends.
    pub(super) writable: Option<EventId>,
    /// Exists while it pauses, or while a message has a deadline.
    pub(super) timer: Option<EventId>,
    /// Read and not consumed.
    #[expect(clippy::box_collection, reason = "one word of a connection that has none")]
    pub(super) unconsumed: Option<Box<Vec<u8>>>,
    /// Sent by the service and not taken by the socket.
    pub(super) pending: Option<Box<PendingOutput>>,
    /// Who a PROXY header says the peer is.
    pub(super) proxied: Option<Box<PeerAddress>>,
    pub(super) listener: u16,
    pub(super) stage: Stage,
    /// Whether a byte ever came.
    pub(super) received_any: bool,
    /// The peer's end of stream was read.
    pub(super) ended: bool,
    /// Whether bytes active_since_tick since the drain last looked.
    pub(super) active_since_tick: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket, readable: EventId, listener: u16, stage: Stage) -> Self {
        Self {
            socket,
            readable,
            writable: None,
            timer: None,
            unconsumed: None,
            pending: None,
            proxied: None,
            listener,
            stage,
            received_any: false,
            ended: false,
            active_since_tick: false,
        }
    }

    /// Whether nobody waits for anything: everything that came was consumed, everything the
    /// service said was sent, and it has not asked for time.
    pub(super) fn is_drained(&self) -> bool {
        self.pending.is_none()
            && self.unconsumed.is_none()
            && matches!(self.stage, Stage::Reading | Stage::ProxyHeader)
    }

    /// Whether it reads and has nothing else to do or to wait for.
    pub(super) fn is_idle_reading(&self) -> bool {
        self.stage == Stage::Reading
            && self.pending.is_none()
            && self.timer.is_none()
            && !self.ended
    }

    /// Whether its peer would miss bytes if it were closed now.
    pub(super) fn has_pending_output(&self) -> bool {
        self.pending.is_some() || matches!(self.stage, Stage::Sending(_) | Stage::Pausing)
    }

    pub(super) fn peer(&self) -> Peer<'_> {
        Peer { socket: &self.socket, proxied: self.proxied.as_deref(), listener: self.listener }
    }

    /// Keeps what was not consumed; an empty one costs no memory.
    pub(super) fn keep_unconsumed(&mut self, bytes: &[u8]) {
        self.unconsumed = (!bytes.is_empty()).then(|| Box::new(bytes.to_vec()));
    }

    /// Has the connection end in a reset when it is closed: an orderly end would tell the peer that
    /// it got everything.
    pub(super) fn reset_on_close(&self) {
        // Of a connection that is broken already nobody needs to be told.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}
