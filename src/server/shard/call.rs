//! A callback of the service: what it is called with, and what becomes of its output.
//!
//! During a callback no connection is closed and no other callback runs. What a callback does to
//! its own connection takes effect when it returns.

use std::sync::Arc;
use std::time::Duration;

use super::byte_rates::ByteRates;
use super::close_reason::CloseReason;
use super::connection_id::ConnectionId;
use super::connection_state::ConnectionState;
use super::dialing::DialError;
use super::output::Output;
use super::service_timers::TimerId;
use super::shard_mut::ShardMut;
use super::shard_state::ShardState;
use crate::rate_limit::Direction;
use crate::server::memory::BufferLimits;
use crate::server::stats::ShardStats;

/// From this size on a write is sent directly: a copy would cost more than a saved call.
pub(super) const DIRECT_BYTES_MIN: usize = 4096;
/// At most so many bytes are collected.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;

/// No connection.
const NONE: usize = usize::MAX;

/// The service of a shard with its sessions, of whatever type. `None` is a panic.
pub(in crate::server) trait Hosted: Send {
    /// Calls the service for a new connection, which gets a session.
    fn open(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()>;
    /// Passes message after message, until one is incomplete or the connection does not read on.
    /// Returns the number of consumed bytes.
    fn receive(&mut self, shard: ShardMut<'_>, key: usize, input: &[u8]) -> Option<usize>;
    fn resume(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()>;
    fn sent(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()>;
    fn timer(&mut self, shard: ShardMut<'_>, key: usize, timer: TimerId, token: u64) -> Option<()>;
    fn shard_timer(&mut self, shard: ShardMut<'_>, timer: TimerId, token: u64) -> Option<()>;
    fn end(&mut self, shard: ShardMut<'_>, key: usize, rest: &[u8]) -> Option<()>;
    fn drain(&mut self, shard: ShardMut<'_>, key: usize) -> Option<()>;
    /// Calls the service for the connection of a dial, which gets the session of the dial.
    fn connected(&mut self, shard: ShardMut<'_>, key: usize, dial: usize) -> Option<()>;
    fn dial_failed(&mut self, shard: ShardMut<'_>, dial: usize, error: DialError) -> Option<()>;
    /// Ends the session of a connection that is closed. Does nothing if it has none.
    fn close(&mut self, shard: ShardMut<'_>, key: usize, closed: Closed) -> Option<()>;
    /// Passes at most `limit` messages of other shards, and notes which queues have room again.
    fn take_messages(&mut self, shard: ShardMut<'_>, limit: usize) -> TakenMessages;
    /// Wakes the shards to which the service posted.
    fn wake_posted(&mut self);
    /// How many messages the service could not post, because a queue was full.
    fn messages_refused(&self) -> u64;
    /// Passes all messages that are left. Nothing can be posted to the shard any more.
    fn take_last_messages(&mut self, shard: ShardMut<'_>) -> TakenMessages;
    /// Does a part of the background job; returns whether there is more.
    fn background(&mut self, shard: ShardMut<'_>) -> Option<bool>;
    fn start(&mut self, shard: ShardMut<'_>) -> Option<()>;
    fn begin_drain(&mut self, shard: ShardMut<'_>) -> Option<()>;
    fn stop(&mut self, shard: ShardMut<'_>) -> Option<()>;
}

/// What [`Hosted::take_messages`] did.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct TakenMessages {
    pub(in crate::server) messages: u64,
    pub(in crate::server) panics: u64,
}

/// What the connection does after a callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum NextStep {
    /// What it did before. After a pause it reads again.
    #[default]
    Continue,
    /// Read again, if it pauses.
    Read,
    /// Call `resume` once everything is sent. Nothing is read until then.
    ResumeWhenSent,
    /// Read nothing for this time, then call `resume`.
    PauseFor(Duration),
    /// Read nothing until another step is chosen.
    Pause,
    /// Read nothing until no answer is due. Then read, or close if the peer has ended its stream.
    PauseUntilAnswered,
    /// Close once everything is sent.
    Close,
    /// Close now, and discard what the callback sent.
    Fail(CloseReason),
}

impl NextStep {
    /// This step, or to read if none was chosen.
    pub(super) fn or_read(self) -> Self {
        if self == Self::Continue { Self::Read } else { self }
    }
}

/// The result of a callback: what it returned, or why the connection must be closed. The next step
/// is in [`Call`].
pub(super) type Called<T> = Result<T, CloseReason>;

/// What a closed connection was, and why it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Its id, which is stale now.
    pub id: ConnectionId,
    /// Why it was closed.
    pub reason: CloseReason,
}

/// The callback that runs for a connection.
#[derive(Debug)]
pub(super) struct Call {
    key: usize,
    pub(super) next_step: NextStep,
    /// Whether small sends are collected: no output is pending.
    pub(super) collects: bool,
    /// Collects small sends, to send them in one call. Empty between callbacks.
    buffered: Vec<u8>,
}

impl Call {
    pub(super) fn none() -> Self {
        Self { key: NONE, next_step: NextStep::Continue, collects: false, buffered: Vec::new() }
    }

    #[inline(always)]
    pub(super) fn begin(&mut self, connection: &ConnectionState, key: usize) {
        self.key = key;
        self.next_step = NextStep::Continue;
        self.collects = connection.collects_output();
    }

    /// A callback begins that is of no connection.
    pub(super) fn begin_for_shard(&mut self) {
        self.key = NONE;
    }

    /// Closes the connection of the callback after it, whatever it chooses.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.next_step = NextStep::Fail(reason);
        self.collects = false;
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.next_step, NextStep::Fail(_))
    }

    /// Whether a callback of this connection runs.
    #[inline]
    pub(super) fn is_of(&self, key: usize) -> bool {
        self.key == key
    }

    /// How many bytes are collected for this connection.
    pub(super) fn buffered_for(&self, key: usize) -> usize {
        if self.is_of(key) { self.buffered.len() } else { 0 }
    }

    /// Collects a small send; returns false if it must be sent in another way.
    #[inline]
    pub(super) fn collect(&mut self, bytes: &[u8]) -> bool {
        let fits = self.buffered.len() + bytes.len() <= BUFFERED_BYTES_MAX;
        let collects = fits && bytes.len() < DIRECT_BYTES_MIN && self.collects;
        if collects {
            self.buffered.extend_from_slice(bytes);
        }
        collects
    }
}

/// Calls the service for a connection.
pub(super) fn call<T>(
    host: &mut dyn Hosted,
    mut shard: ShardMut<'_>,
    key: usize,
    call: impl FnOnce(&mut dyn Hosted, ShardMut<'_>) -> Option<T>,
) -> Called<T> {
    let ShardState { call: current, connections, .. } = &mut *shard.state;
    current.begin(&connections[key], key);
    let bytes_out = shard.state.stats.bytes_out;
    let answer = call(host, shard.reborrow());
    let ShardState { call: current, connections, stats, .. } = &mut *shard.state;
    // Also if it was sent to another connection, which does no harm.
    connections[key].has_sent |= !current.buffered.is_empty() || stats.bytes_out != bytes_out;
    shard.state.call_ended(key, answer)
}

impl ShardState {
    /// Ends a callback: sends what it collected, unless it panicked or failed.
    pub(super) fn call_ended<T>(&mut self, key: usize, answer: Option<T>) -> Called<T> {
        let Some(answer) = answer else { return Err(self.call.discard()) };
        if self.call.has_failed() {
            return Err(self.call.discard());
        }
        self.send_buffered(key).0.map(|()| answer)
    }

    /// Sends what the callback collected. Also returns its connection.
    #[inline(always)]
    pub(super) fn send_buffered(
        &mut self,
        key: usize,
    ) -> (Result<(), CloseReason>, &mut ConnectionState) {
        let Self { call, connections, limits, byte_rates, stats, .. } = self;
        let connection = &mut connections[key];
        let buffered = &call.buffered;
        if buffered.is_empty() {
            return (Ok(()), connection);
        }
        let written = if byte_rates.is_none() {
            let ConnectionState { transport, pending, .. } = &mut *connection;
            let (allowed, bytes_out) = (usize::MAX, &mut stats.bytes_out);
            Output { transport, pending, limits, allowed, bytes_out }.send(buffered)
        } else {
            write(connection, key, limits, byte_rates, stats, |out| out.send(buffered))
        };
        call.buffered.clear();
        (written, connection)
    }

    /// The output side of a connection.
    pub(super) fn output(&mut self, key: usize) -> Output<'_> {
        let Self { connections, limits, byte_rates, stats, .. } = self;
        output(&mut connections[key], key, limits, byte_rates, stats)
    }

    /// Sends bytes while no output is pending, and keeps what the socket does not take.
    pub(super) fn write(&mut self, key: usize, bytes: &[u8]) -> Result<(), CloseReason> {
        let Self { connections, limits, byte_rates, stats, .. } = self;
        write(&mut connections[key], key, limits, byte_rates, stats, |out| out.send(bytes))
    }

    /// Sends bytes that handles accepted: the limit of the connection applied to them before. If
    /// output is pending, they are queued.
    pub(super) fn write_accepted(
        &mut self,
        key: usize,
        send: impl FnOnce(&mut Output<'_>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let Self { connections, limits_of_accepted: limits, byte_rates, stats, .. } = self;
        write(&mut connections[key], key, limits, byte_rates, stats, send)
    }

    /// The same for shared bytes, which are not copied.
    pub(super) fn write_shared(
        &mut self,
        key: usize,
        bytes: &Arc<[u8]>,
    ) -> Result<(), CloseReason> {
        let Self { connections, limits, byte_rates, stats, .. } = self;
        write(&mut connections[key], key, limits, byte_rates, stats, |out| out.send_shared(bytes))
    }

    /// Sends what the callback of this connection has collected, before something else is sent.
    pub(super) fn flush_buffered(&mut self, key: usize) {
        if self.call.buffered.is_empty() || self.call.has_failed() {
            return;
        }
        let written = self.send_buffered(key).0;
        self.call.sent(&self.connections[key], written);
    }

    /// Sends to the connection of the callback what is not just collected.
    pub(super) fn send_much(&mut self, bytes: &[u8]) {
        let key = self.call.key;
        // The shard keeps the memory of its buffer, so no service may make it large.
        if self.call.buffered.len() + bytes.len() > BUFFERED_BYTES_MAX {
            self.flush_buffered(key);
        }
        if self.call.has_failed() || !self.connections[key].takes_output() {
            return;
        }
        let written = if self.connections[key].pending.is_some() {
            self.output(key).queue(bytes)
        } else if self.call.buffered.is_empty() && bytes.len() >= DIRECT_BYTES_MIN {
            self.write(key, bytes)
        } else {
            self.call.buffered.extend_from_slice(bytes);
            return;
        };
        self.call.sent(&self.connections[key], written);
    }
}

impl Call {
    #[cold]
    fn discard(&mut self) -> CloseReason {
        self.buffered.clear();
        match self.next_step {
            NextStep::Fail(reason) => reason,
            _ => CloseReason::Panicked,
        }
    }

    /// Output was written to the connection of the callback.
    pub(super) fn sent(&mut self, connection: &ConnectionState, written: Result<(), CloseReason>) {
        self.collects = connection.collects_output();
        if let Err(reason) = written {
            self.fail(reason);
        }
    }
}

fn output<'a>(
    connection: &'a mut ConnectionState,
    key: usize,
    limits: &'a BufferLimits,
    byte_rates: &mut Option<Box<ByteRates>>,
    stats: &'a mut ShardStats,
) -> Output<'a> {
    let ConnectionState { transport, pending, .. } = connection;
    let allowed = match byte_rates {
        None => usize::MAX,
        // Nothing is sent before it, so what has come for it stays.
        Some(_) if pending.is_some() => 0,
        Some(rates) => rates.allowed(key, Direction::Write),
    };
    Output { transport, pending, limits, allowed, bytes_out: &mut stats.bytes_out }
}

/// Writes to the output of a connection, and counts what was sent for the byte rates.
fn write(
    connection: &mut ConnectionState,
    key: usize,
    limits: &BufferLimits,
    byte_rates: &mut Option<Box<ByteRates>>,
    stats: &mut ShardStats,
    send: impl FnOnce(&mut Output<'_>) -> Result<(), CloseReason>,
) -> Result<(), CloseReason> {
    let mut output = output(connection, key, limits, byte_rates, stats);
    let allowed = output.allowed;
    let result = send(&mut output);
    let sent = allowed - output.allowed;
    if let Some(rates) = byte_rates {
        rates.count(key, Direction::Write, sent);
    }
    result
}
