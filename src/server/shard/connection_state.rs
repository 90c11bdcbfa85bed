//! One connection: its transport, its events and its stage.
//!
//! An idle connection holds no buffer. Pending output and unconsumed input are kept here. While
//! output is pending, nothing is read, unless the service chose so.

use std::sync::Arc;

use super::call::NextStep;
use super::close_reason::CloseReason;
use crate::event::EventId;
use crate::server::memory::{HeldBuffer, HeldBytes, MemoryLimit, NoMemory};
use crate::server::peer_address::PeerAddress;
use crate::tls::TlsFacts;
use crate::transport::Transport;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reads its PROXY header; the service has not been called yet.
    ProxyHeader,
    /// Does its TLS handshake, or waits for the next turn to go on with it; the service has not
    /// been called yet.
    Handshake { deferred: bool },
    /// Reads for the service. Output is pending only if it reads while it sends.
    Reading,
    /// Reads nothing until the byte rates allow more.
    ReadDelayed,
    /// Waits until its pending output is sent, then takes the next step of its service.
    Sending(NextStep),
    /// Pauses for the time its service asked for.
    Pausing,
    /// Reads nothing until its service chooses to, or closes it.
    Paused,
    /// Reads nothing until the wait with this number is over: no answer is due.
    AwaitingAnswers(u32),
    /// Is closed once no callback runs.
    Closing(CloseReason),
}

/// Whether the stream to the peer has ended, while that from the peer may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputEnd {
    Open,
    /// Ends once everything is sent.
    Requested,
    Ended,
}

/// A connection of a shard.
#[derive(Debug)]
pub(in crate::server) struct ConnectionState {
    pub(super) transport: Transport,
    /// Pending while the connection reads.
    pub(super) readable: EventId,
    /// Exists while it sends.
    pub(super) writable: Option<EventId>,
    /// Exists while its service pauses it, until its peer has closed.
    pub(super) hang_up: Option<EventId>,
    /// Exists while it pauses, or while a message has a deadline.
    pub(super) timer: Option<EventId>,
    /// Input that was read and not consumed.
    pub(super) unconsumed: Option<Box<HeldBytes>>,
    /// Output that the socket has not taken.
    pub(super) pending: Option<Box<HeldBuffer>>,
    /// The client's address from a PROXY header.
    pub(super) proxied: Option<Box<PeerAddress>>,
    /// The listener that accepted it; `None` if it was dialed.
    pub(in crate::server) listener: Option<u16>,
    pub(super) stage: Stage,
    /// Whether it begins with TLS, after a PROXY header if one is expected.
    pub(super) expects_tls: bool,
    /// Whether any byte was received.
    pub(super) received_any: bool,
    /// Whether the peer's end of stream was read.
    pub(super) ended: bool,
    /// Whether the peer's close was noticed, before its end of stream was read.
    pub(super) has_hung_up: bool,
    /// Whether bytes moved since the last tick of the drain.
    pub(super) active_since_tick: bool,
    /// Whether bytes were sent, other than at once in answer to what was read, since the idle
    /// deadline was last looked at.
    pub(super) has_sent: bool,
    /// Whether it reads although output is pending.
    pub(in crate::server) reads_while_sending: bool,
    pub(super) output_end: OutputEnd,
    /// Whether it is in the list of [`AfterCallbacks`](super::after_callbacks::AfterCallbacks).
    pub(super) is_listed: bool,
    /// Whether it reads again once no callback runs.
    pub(super) resumes: bool,
}

impl ConnectionState {
    pub(super) fn new(transport: Transport, readable: EventId, stage: Stage) -> Self {
        Self {
            transport,
            readable,
            writable: None,
            hang_up: None,
            timer: None,
            unconsumed: None,
            pending: None,
            proxied: None,
            listener: None,
            stage,
            expects_tls: false,
            received_any: false,
            ended: false,
            has_hung_up: false,
            active_since_tick: false,
            has_sent: false,
            reads_while_sending: false,
            output_end: OutputEnd::Open,
            is_listed: false,
            resumes: false,
        }
    }

    /// Whether all input was consumed, all output was sent, and the service has not asked for time.
    pub(super) fn is_drained(&self) -> bool {
        self.pending.is_none()
            && self.unconsumed.is_none()
            && match self.stage {
                Stage::Reading | Stage::ProxyHeader => true,
                Stage::Handshake { deferred } => !deferred && !self.transport.has_peer_begun_tls(),
                _ => false,
            }
    }

    /// Whether a connection that reads neither sends nor has a deadline for a message.
    pub(super) fn only_reads(&self) -> bool {
        self.pending.is_none() && self.timer.is_none()
    }

    /// Whether its peer would miss bytes if it were closed now.
    pub(super) fn has_pending_output(&self) -> bool {
        self.pending.is_some() || matches!(self.stage, Stage::Sending(_) | Stage::Pausing)
    }

    /// The address of its peer. This is a system call, unless a PROXY header had the address.
    pub(in crate::server) fn peer_address(&self) -> PeerAddress {
        self.proxied.as_deref().copied().unwrap_or_else(|| PeerAddress::of(self.transport.socket()))
    }

    pub(in crate::server) fn tls_facts(&self) -> Option<TlsFacts> {
        self.transport.tls_facts()
    }

    /// Bytes that are sent when the socket takes them, without those of files.
    pub(super) fn unsent_in_memory(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.len_in_memory())
    }

    /// Something was sent to it that is no answer at once.
    pub(super) fn was_sent_to(&mut self) {
        self.active_since_tick = true;
        self.has_sent = true;
    }

    /// Whether more output may be given: it has not ended, and the connection is not being closed.
    pub(super) fn takes_output(&self) -> bool {
        let closes = matches!(self.stage, Stage::Closing(_) | Stage::Sending(NextStep::Close));
        !closes && self.output_end == OutputEnd::Open
    }

    /// The step that follows once no answer is due.
    pub(super) fn step_after_answers(&self) -> NextStep {
        if self.ended { NextStep::Close } else { NextStep::Read }
    }

    /// Whether small output of a callback is collected. What is sent after the end of the output is
    /// not, because it is discarded.
    #[inline(always)]
    pub(super) fn collects_output(&self) -> bool {
        self.pending.is_none() && self.output_end == OutputEnd::Open
    }

    /// Appends unconsumed input; an empty slice uses no memory.
    pub(super) fn keep_unconsumed(
        &mut self,
        bytes: &[u8],
        memory: &Arc<MemoryLimit>,
    ) -> Result<(), NoMemory> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.unconsumed.get_or_insert_with(|| Box::new(HeldBytes::new(memory))).append(bytes)
    }

    /// The memory of its largest buffer, in bytes.
    pub(super) fn largest_buffer(&self) -> usize {
        let unconsumed = self.unconsumed.as_ref().map_or(0, |held| held.memory());
        let pending = self.pending.as_ref().map_or(0, |pending| pending.memory());
        pending.max(unconsumed).max(self.transport.waiting_memory())
    }
}
