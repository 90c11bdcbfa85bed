//! The shard of a callback: its connections by id.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Service;
use super::host::HostState;
use super::messages::{MessageSender, Missed, PostError};
use crate::server::shard::call::NextStep;
use crate::server::shard::close_reason::CloseReason;
use crate::server::shard::connection_id::ConnectionId;
use crate::server::shard::dialing::{Dial, DialId};
use crate::server::shard::handles::ConnectionHandle;
use crate::server::shard::service_timers::{TimerId, TimerOwner};
use crate::server::shard::shard_mut::{SendError, ShardMut};

/// A shard during a callback of its service `S`.
///
/// Connections are reached by their [ids](ConnectionId). An id of another shard is as stale as that
/// of a closed connection.
pub struct Shard<'a, S: Service> {
    pub(super) shard: ShardMut<'a>,
    own: &'a mut HostState<S>,
}

impl<'a, S: Service> Shard<'a, S> {
    #[inline(always)]
    pub(super) fn new(shard: ShardMut<'a>, own: &'a mut HostState<S>) -> Self {
        Self { shard, own }
    }

    /// Its index: shards count from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.shard.index()
    }

    /// How many shards the server has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shard.count()
    }

    /// Whether a connection is open.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.shard.key_of(id).is_some()
    }

    /// The session of another connection. `None` if the connection is not open, and for the
    /// connection of the callback, whose session the callback has.
    pub fn session(&mut self, id: ConnectionId) -> Option<&mut S::Session> {
        let key = self.shard.key_of(id)?;
        self.own.sessions.get_mut(key)?.as_mut()
    }

    /// Sends bytes to a connection, in the order of the calls. Small ones are collected, and sent
    /// together once the callbacks of this turn of the loop have run.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is sent then. A service either skips what a slow reader misses, or
    /// [aborts](Self::abort) its connection.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), SendError> {
        let key = self.shard.key_of(id).ok_or(SendError::Closed)?;
        self.shard.send_to(key, bytes)
    }

    /// Sends bytes that many connections share, at once and without copying them.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is sent then.
    pub fn send_shared(&mut self, id: ConnectionId, bytes: &Arc<[u8]>) -> Result<(), SendError> {
        let key = self.shard.key_of(id).ok_or(SendError::Closed)?;
        self.shard.send_shared_to(key, bytes)
    }

    /// Sends a range of a file.
    ///
    /// # Errors
    ///
    /// As [`Connection::send_file`](super::Connection::send_file).
    pub fn send_file(
        &mut self,
        id: ConnectionId,
        file: Arc<File>,
        range: Range<u64>,
    ) -> io::Result<()> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, SendError::Closed);
        let key = self.shard.key_of(id).ok_or_else(closed)?;
        self.shard.send_file_to(key, file, range)
    }

    /// A handle to a connection, for other threads and shards. `None` if it is not open.
    #[must_use]
    pub fn handle(&mut self, id: ConnectionId) -> Option<ConnectionHandle> {
        let key = self.shard.key_of(id)?;
        Some(self.shard.handle(key))
    }

    /// How many bytes of a connection are not sent yet; 0 if it is not open.
    #[must_use]
    pub fn unsent(&self, id: ConnectionId) -> usize {
        self.shard.key_of(id).map_or(0, |key| self.shard.unsent(key))
    }

    /// Ends the stream to the peer once everything is sent, as
    /// [`Connection::end_output`](super::Connection::end_output).
    pub fn end_output(&mut self, id: ConnectionId) {
        if let Some(key) = self.shard.key_of(id) {
            self.shard.end_output(key);
        }
    }

    /// Receives nothing from a connection until [`read`](Self::read).
    pub fn pause(&mut self, id: ConnectionId) {
        self.choose(id, NextStep::Pause);
    }

    /// Receives again after a pause. A connection whose peer has ended its stream has nothing more
    /// to receive, and is closed once everything is sent.
    pub fn read(&mut self, id: ConnectionId) {
        self.choose(id, NextStep::Read);
    }

    /// Closes a connection once everything is sent. Does nothing if it is not open.
    pub fn close(&mut self, id: ConnectionId) {
        self.choose(id, NextStep::Close);
    }

    /// Resets a connection. Does nothing if it is not open.
    pub fn abort(&mut self, id: ConnectionId) {
        self.choose(id, NextStep::Fail(CloseReason::Aborted));
    }

    fn choose(&mut self, id: ConnectionId, step: NextStep) {
        if let Some(key) = self.shard.key_of(id) {
            self.shard.choose(key, step);
        }
    }
}

/// Dialing.
impl<S: Service> Shard<'_, S> {
    /// Connects to a peer. The connection gets `session`, and [`Service::connected`] is called for
    /// it, or [`Service::dial_failed`] if there is none. Neither is called before this callback has
    /// returned. The connection counts for the connection limit from now on, and then has the same
    /// deadlines, byte rates, age and drain as an accepted one.
    pub fn dial(&mut self, dial: Dial, session: S::Session) -> DialId {
        let (key, id) = self.shard.dial(dial);
        self.own.begin_dial(key, session);
        id
    }

    /// Ends a dial that has not ended; returns its session. Neither of its callbacks is called
    /// then.
    pub fn cancel_dial(&mut self, dial: DialId) -> Option<S::Session> {
        let key = self.shard.cancel_dial(dial)?;
        self.own.end_dial(key)
    }
}

/// The background job.
impl<S: Service> Shard<'_, S> {
    /// Calls [`Service::background`] in each turn of the loop from the next one on, until it has
    /// nothing more to do. The loop does not sleep meanwhile.
    pub fn start_background(&mut self) {
        self.shard.start_background();
    }
}

/// Timers.
impl<S: Service> Shard<'_, S> {
    /// Starts a timer of the shard, which calls [`Service::shard_timer`] with this token.
    pub fn start_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.shard.start_service_timer(TimerOwner::Shard, after, token)
    }

    /// Cancels a timer of the shard or of one of its connections; returns whether it was running.
    /// If so, it is not called, even if it is due.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.shard.cancel_service_timer(timer)
    }
}

/// Messages between shards.
impl<S: Service> Shard<'_, S> {
    /// Posts a message to a shard, perhaps this one, which gets it in
    /// [`Service::message`]. The first message of a turn of the loop wakes the shard. Those after
    /// it wake it together after the callbacks of the turn, if it sleeps again.
    ///
    /// # Errors
    ///
    /// [`PostError`], with the message. After [`PostError::Full`], [`Service::room`] is called once
    /// half of the queue is empty.
    pub fn post(&mut self, shard: usize, message: S::Message) -> Result<(), PostError<S::Message>> {
        self.shard.wake_posted_later();
        self.own.messages.post(shard, message)
    }

    /// Posts a copy of a message to each shard, this one too.
    ///
    /// # Errors
    ///
    /// [`Missed`] if some did not get it. The others have it. [`Service::room`] is called later for
    /// those whose queues are full.
    pub fn broadcast(&mut self, message: &S::Message) -> Result<(), Missed>
    where
        S::Message: Clone,
    {
        self.shard.wake_posted_later();
        self.own.messages.broadcast(message)
    }

    /// Posts from any thread.
    #[must_use]
    pub fn sender(&self) -> MessageSender<S::Message> {
        self.own.messages.sender().clone()
    }
}

impl<S: Service> fmt::Debug for Shard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("index", &self.index()).finish_non_exhaustive()
    }
}
