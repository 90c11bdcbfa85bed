//! A shard during a callback of its service: what the service may do with connections. Nothing here
//! calls the service or closes a connection.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::call::NextStep;
use super::close_reason::CloseReason;
use super::connection_id::ConnectionId;
use super::connection_io::{on_service_timer, on_timer, on_writable};
use super::connection_state::{ConnectionState, OutputEnd, Stage};
use super::handles::{Answer, ConnectionHandle};
use super::output::Output;
use super::service_timers::{TimerId, TimerOwner};
use super::shard_state::ShardState;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventId, EventSpec, Fired, Ready, Token};

/// A shard during a callback.
#[derive(Debug)]
pub(in crate::server) struct ShardMut<'a> {
    pub(super) state: &'a mut ShardState,
    pub(super) registry: &'a mut Registry<Worker>,
}

/// Why bytes cannot be sent to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is closed or being closed, or its output was ended.
    #[error("the connection is closed, or its output was ended")]
    Closed,
    /// It has unsent bytes, because its peer does not read, and would have more than it may.
    /// Nothing was sent. [`Service::sent`](crate::server::Service::sent) follows once its unsent
    /// bytes are sent, or `resume` if it
    /// [continues then](crate::server::Connection::continue_when_sent).
    #[error("the connection has too many unsent bytes; wait until its peer has read some")]
    Full,
    /// The bytes alone are more than a connection may have unsent
    /// ([`Limits::buffer_bytes`](crate::server::Limits::buffer_bytes)). Nothing was sent.
    #[error(
        "the bytes exceed what a connection may have unsent; send them in parts, or raise its \
         buffer limit"
    )]
    TooLarge,
    /// All connections together have as many bytes as
    /// [`ServerConfig::memory_limit`](crate::server::ServerConfig::memory_limit) allows. Nothing
    /// was sent. No callback follows for a connection without unsent bytes: a service aborts it,
    /// or tries again after some time.
    #[error(
        "the connections have as many bytes as the server may hold; try again later, or raise the \
         memory limit"
    )]
    NoMemory,
}

impl ShardMut<'_> {
    #[inline(always)]
    pub(in crate::server) fn reborrow(&mut self) -> ShardMut<'_> {
        ShardMut { state: self.state, registry: self.registry }
    }

    pub(in crate::server) fn index(&self) -> usize {
        self.state.handoff.shard()
    }

    pub(in crate::server) fn count(&self) -> usize {
        self.state.handoff.shards()
    }
}

/// Connections by id.
impl ShardMut<'_> {
    pub(in crate::server) fn id(&self, key: usize) -> ConnectionId {
        let shard = self.state.handoff.shard() as u32;
        ConnectionId { shard, key: key as u32, readable: self.state.connections[key].readable }
    }

    /// The key of an open connection.
    pub(in crate::server) fn key_of(&self, id: ConnectionId) -> Option<usize> {
        let key = id.key as usize;
        let is_of_this_shard = id.shard() == self.state.handoff.shard();
        let connection = self.state.connections.get(key).filter(|_| is_of_this_shard)?;
        let is_open =
            connection.readable == id.readable && !matches!(connection.stage, Stage::Closing(_));
        is_open.then_some(key)
    }

    pub(in crate::server) fn connection(&self, key: usize) -> &ConnectionState {
        &self.state.connections[key]
    }

    pub(in crate::server) fn connection_mut(&mut self, key: usize) -> &mut ConnectionState {
        &mut self.state.connections[key]
    }

    /// Bytes that are not sent yet: pending, and collected by this callback.
    pub(in crate::server) fn unsent(&self, key: usize) -> usize {
        let connection = self.connection(key);
        let pending = connection.pending.as_ref().map_or(0, |pending| pending.len());
        pending + connection.transport.unsent() + self.state.call.buffered_for(key)
    }

    /// How many more bytes it may have unsent.
    pub(in crate::server) fn room(&self, key: usize) -> usize {
        let unsent = self.connection(key).unsent_in_memory() + self.state.call.buffered_for(key);
        self.state.limits.connection_bytes.saturating_sub(unsent)
    }

    /// Whether the callback of a connection may get more input: the connection reads on.
    #[inline]
    pub(in crate::server) fn can_receive_more(&mut self, key: usize) -> bool {
        let (call, connection) = (&self.state.call, self.connection(key));
        let reads_on = call.collects
            || connection.reads_while_sending
            // Nothing can be added to its output.
            || connection.output_end != OutputEnd::Open;
        reads_on && (call.next_step == NextStep::Continue || self.need_not_pause(key))
    }

    /// Whether the next step lets the connection read on; it is given up then.
    #[cold]
    fn need_not_pause(&mut self, key: usize) -> bool {
        let reads_on = match self.state.call.next_step {
            NextStep::Continue | NextStep::Read => true,
            NextStep::PauseUntilAnswered => !self.state.handles.awaits_output(key),
            _ => false,
        };
        if reads_on {
            self.state.call.next_step = NextStep::Continue;
        }
        reads_on
    }

    /// Chooses the next step of a connection: at once, or after its callback if it has one now.
    pub(in crate::server) fn choose(&mut self, key: usize, step: NextStep) {
        if self.state.call.is_of(key) {
            if !self.state.call.has_failed() {
                self.state.call.next_step = step;
            }
            return;
        }
        let has_pending = self.connection(key).pending.is_some();
        match (step, self.connection(key).stage) {
            (_, Stage::Closing(_) | Stage::Sending(NextStep::Close)) => {}
            (NextStep::Fail(reason), _) => self.close_later(key, reason),
            (NextStep::Close, _) if !has_pending => self.close_later(key, CloseReason::Closed),
            (NextStep::Pause, Stage::Sending(_)) => {
                self.connection_mut(key).stage = Stage::Sending(NextStep::Pause);
            }
            (NextStep::Pause, _) => self.stop_reading(key, Stage::Paused),
            (NextStep::Read, Stage::Sending(_)) => {
                self.connection_mut(key).stage = Stage::Sending(NextStep::Read);
            }
            (NextStep::Read, Stage::Paused | Stage::Pausing | Stage::AwaitingAnswers(_)) => {
                self.read_later(key);
            }
            (NextStep::Close, _) => self.begin_sending_or_close(key, NextStep::Close),
            _ => {}
        }
    }

    /// Reads again once no callback runs.
    pub(super) fn read_later(&mut self, key: usize) {
        self.connection_mut(key).resumes = true;
        self.list(key);
    }

    /// Reads nothing from now on.
    pub(super) fn stop_reading(&mut self, key: usize, stage: Stage) {
        self.free_timer(key);
        let connection = &mut self.state.connections[key];
        connection.stage = stage;
        connection.resumes = false;
        self.registry.del(connection.readable);
        self.watch_hang_up(key);
    }

    /// Ends the stream to the peer once everything is sent, while the peer may go on sending.
    pub(in crate::server) fn end_output(&mut self, key: usize) {
        if self.connection(key).output_end == OutputEnd::Open {
            if self.state.call.is_of(key) {
                self.state.flush_buffered(key);
                self.state.call.collects = false;
            }
            self.connection_mut(key).output_end = OutputEnd::Requested;
            self.list(key);
        }
    }

    /// Resets a connection once no callback runs.
    pub(super) fn abort(&mut self, key: usize) {
        self.close_later(key, CloseReason::Aborted);
    }

    /// Closes a connection once no callback runs.
    fn close_later(&mut self, key: usize, reason: CloseReason) {
        self.stop_reading(key, Stage::Closing(reason));
        self.free_writable(key);
        self.list(key);
    }

    /// Makes the shard look at a connection once no callback runs.
    fn list(&mut self, key: usize) {
        let connection = &mut self.state.connections[key];
        if !std::mem::replace(&mut connection.is_listed, true) {
            self.state.after_callbacks.list(self.registry, key, connection.readable);
        }
    }
}

/// Sending.
impl ShardMut<'_> {
    /// Sends bytes to the connection of the callback, in the order of the calls.
    #[inline]
    pub(in crate::server) fn send(&mut self, bytes: &[u8]) {
        if !self.state.call.collect(bytes) {
            self.state.send_much(bytes);
        }
    }

    /// Sends bytes to any connection. Small ones are collected until the callbacks of this turn
    /// have run.
    pub(in crate::server) fn send_to(&mut self, key: usize, bytes: &[u8]) -> Result<(), SendError> {
        self.expect_room(key, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.state.call.is_of(key) {
            self.send(bytes);
            return Ok(());
        }
        let sends_now = bytes.len() >= super::call::DIRECT_BYTES_MIN;
        if sends_now && self.connection(key).pending.is_none() {
            let sent = self.state.write(key, bytes);
            return self.settle(key, sent);
        }
        self.queue(key, |state| state.output(key).queue(bytes))
    }

    /// Sends shared bytes to any connection, without a copy.
    pub(in crate::server) fn send_shared_to(
        &mut self,
        key: usize,
        bytes: &Arc<[u8]>,
    ) -> Result<(), SendError> {
        self.expect_room(key, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.state.call.is_of(key) {
            self.state.flush_buffered(key);
        }
        if self.connection(key).pending.is_none() {
            let sent = self.state.write_shared(key, bytes);
            return self.settle(key, sent);
        }
        self.queue(key, |state| state.output(key).queue_shared(bytes.clone()))
    }

    /// Sends a range of a file to any connection.
    pub(in crate::server) fn send_file_to(
        &mut self,
        key: usize,
        file: Arc<File>,
        range: Range<u64>,
    ) -> io::Result<()> {
        if !self.connection(key).takes_output() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, SendError::Closed));
        }
        if self.state.call.is_of(key) {
            self.state.flush_buffered(key);
        }
        self.state.output(key).queue_file(file, range)?;
        self.state.call.collects &= !self.state.call.is_of(key);
        self.list(key);
        Ok(())
    }

    /// Sends bytes that a handle accepted. They have their place in the limits already.
    pub(super) fn send_accepted(&mut self, key: usize, bytes: &[u8]) {
        let sends_now = bytes.len() >= super::call::DIRECT_BYTES_MIN;
        self.write_accepted(key, |out| {
            let sends_now = sends_now && out.pending.is_none();
            if sends_now { out.send(bytes) } else { out.queue(bytes) }
        });
    }

    /// The same for shared bytes.
    pub(super) fn send_shared_accepted(&mut self, key: usize, bytes: &Arc<[u8]>) {
        self.write_accepted(key, |out| match out.pending {
            None => out.send_shared(bytes),
            Some(_) => out.queue_shared(bytes.clone()),
        });
    }

    fn write_accepted(
        &mut self,
        key: usize,
        send: impl FnOnce(&mut Output<'_>) -> Result<(), CloseReason>,
    ) {
        if !self.connection(key).takes_output() {
            return;
        }
        if let Err(reason) = self.state.write_accepted(key, send) {
            // A stream in which bytes are missing must end.
            self.close_later(key, reason);
            return;
        }
        self.connection_mut(key).was_sent_to();
        let connection = self.connection(key);
        let unsent = connection.unsent_in_memory();
        if connection.pending.is_some() && connection.writable.is_none() {
            self.list(key);
        }
        self.state.handles.has_unsent(key, unsent);
    }

    fn expect_room(&mut self, key: usize, bytes: usize) -> Result<(), SendError> {
        if !self.connection(key).takes_output() {
            return Err(SendError::Closed);
        }
        if self.room(key) >= bytes {
            return Ok(());
        }
        if bytes > self.state.limits.connection_bytes {
            return Err(SendError::TooLarge);
        }
        if self.state.call.buffered_for(key) == 0 {
            return Err(SendError::Full);
        }
        // The socket may take what the callback collected.
        self.state.flush_buffered(key);
        if self.state.call.has_failed() {
            Err(SendError::Closed)
        } else {
            self.expect_room(key, bytes)
        }
    }

    /// Adds to the pending output, and sends it once no callback runs.
    fn queue(
        &mut self,
        key: usize,
        queue: impl FnOnce(&mut ShardState) -> Result<(), CloseReason>,
    ) -> Result<(), SendError> {
        let queued = queue(self.state);
        let connection = self.connection_mut(key);
        if queued.is_err() {
            // Nothing was added. There was room for the connection.
            connection.pending.take_if(|pending| pending.is_empty());
            return Err(SendError::NoMemory);
        }
        if connection.writable.is_none() && !self.state.call.is_of(key) {
            self.list(key);
        }
        Ok(())
    }

    /// Goes on after bytes were sent to a connection: watches for the rest, or closes it.
    fn settle(&mut self, key: usize, sent: Result<(), CloseReason>) -> Result<(), SendError> {
        if let Err(reason) = sent {
            if self.state.call.is_of(key) {
                self.state.call.fail(reason);
            } else {
                self.close_later(key, reason);
            }
            return Err(SendError::Closed);
        }
        if self.state.call.is_of(key) {
            self.state.call.collects = self.connection(key).collects_output();
            return Ok(());
        }
        self.connection_mut(key).was_sent_to();
        if self.connection(key).pending.is_some() {
            self.begin_sending_or_close(key, NextStep::Continue);
        }
        Ok(())
    }

    /// As [`begin_sending`](Self::begin_sending) for a connection without a callback.
    fn begin_sending_or_close(&mut self, key: usize, next_step: NextStep) {
        if let Err(reason) = self.begin_sending(key, next_step) {
            self.close_later(key, reason);
        }
    }
}

/// Handles.
impl ShardMut<'_> {
    pub(in crate::server) fn handle(&mut self, key: usize) -> ConnectionHandle {
        let (id, limit) = (self.id(key), self.state.limits.connection_bytes);
        self.state.handles.handle(key, id, limit)
    }

    /// The wait with this number is over. It was given up if another step was chosen meanwhile.
    pub(super) fn answered(&mut self, key: usize, wait: u32) {
        let connection = self.connection(key);
        if connection.stage == Stage::AwaitingAnswers(wait) {
            self.choose(key, connection.step_after_answers());
        }
    }

    pub(in crate::server) fn answer_later(&mut self, key: usize) -> Answer {
        let (id, limit) = (self.id(key), self.state.limits.connection_bytes);
        self.state.handles.answer(key, id, limit)
    }
}

/// Messages.
impl ShardMut<'_> {
    /// Wakes the shards to which the service posts, once no callback runs.
    pub(in crate::server) fn wake_posted_later(&mut self) {
        self.state.after_callbacks.wake_posted(self.registry);
    }
}

/// The background job.
impl ShardMut<'_> {
    /// Runs the background job in the next turn.
    pub(in crate::server) fn start_background(&mut self) {
        let event = *self
            .state
            .background
            .get_or_insert_with(|| self.registry.create(EventSpec::timer(), on_background));
        self.registry
            .activate_later(event, Ready::TIMEOUT)
            .expect("it lives as long as the worker");
    }
}

fn on_background(registry: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    let mut goes_on = false;
    worker.call_for_shard(registry, |host, shard| {
        goes_on = host.background(shard)?;
        Some(())
    });
    if goes_on {
        worker.shard.during(registry).start_background();
    }
    worker.mark();
}

/// Timers.
impl ShardMut<'_> {
    /// Starts a timer of a connection, or of the shard.
    pub(in crate::server) fn start_service_timer(
        &mut self,
        owner: TimerOwner,
        after: Duration,
        token: u64,
    ) -> TimerId {
        self.state.timers.start(self.registry, on_service_timer, owner, after, token)
    }

    pub(in crate::server) fn cancel_service_timer(&mut self, timer: TimerId) -> bool {
        self.state.timers.cancel(self.registry, timer)
    }
}

/// Stages and events.
impl ShardMut<'_> {
    /// Waits until the pending output is sent, and takes the next step then. It reads nothing
    /// meanwhile, unless it reads while it sends.
    pub(super) fn begin_sending(
        &mut self,
        key: usize,
        next_step: NextStep,
    ) -> Result<(), CloseReason> {
        let connection = self.connection(key);
        match (next_step, connection.stage) {
            // It is sent once no callback runs, perhaps all of it.
            (NextStep::Continue, Stage::Reading) if connection.is_listed => return Ok(()),
            (NextStep::Continue, Stage::Reading) if connection.reads_while_sending => {}
            (NextStep::Continue, Stage::Reading) | (NextStep::Read, _) => {
                self.stop_reading(key, Stage::Sending(NextStep::Continue));
            }
            (NextStep::Continue, _) => {}
            (NextStep::Pause, _) => self.stop_reading(key, Stage::Paused),
            _ => self.stop_reading(key, Stage::Sending(next_step)),
        }
        self.watch_writable(key)
    }

    /// Adds one of a connection's I/O events, with a deadline from now on or with none. It fails if
    /// the kernel is out of watches or memory. With the deferred changelist the kernel refuses
    /// later, and the handler closes the connection.
    pub(super) fn watch(
        &mut self,
        event: EventId,
        deadline: Option<Duration>,
    ) -> Result<(), CloseReason> {
        self.registry.add(event, deadline).map_err(|_| CloseReason::Refused)
    }

    /// Waits until the socket takes output.
    pub(super) fn watch_writable(&mut self, key: usize) -> Result<(), CloseReason> {
        let connection = &mut self.state.connections[key];
        if connection.writable.is_some() {
            return Ok(());
        }
        let transport = &connection.transport;
        let spec = EventSpec::io(transport, transport.write_waits_for()).persist();
        let writable = self.registry.create(spec.token(Token(key as u64)), on_writable);
        connection.writable = Some(writable);
        let unsent = connection.unsent_in_memory();
        self.state.handles.has_unsent(key, unsent);
        self.watch(writable, self.state.deadlines.idle)
    }

    pub(super) fn free_writable(&mut self, key: usize) {
        if let Some(writable) = self.connection_mut(key).writable.take() {
            self.registry.free(writable);
        }
    }

    /// Replaces a connection's timer by a new one, which does not run yet.
    pub(super) fn renew_timer(&mut self, key: usize) -> EventId {
        self.free_timer(key);
        let timer = self.registry.create(EventSpec::timer().token(Token(key as u64)), on_timer);
        self.connection_mut(key).timer = Some(timer);
        timer
    }

    pub(super) fn free_timer(&mut self, key: usize) {
        if let Some(timer) = self.connection_mut(key).timer.take() {
            self.registry.free(timer);
        }
    }
}
