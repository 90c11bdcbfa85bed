//! Handles: how other threads and shards send to a connection, and close it.
//!
//! A handle puts a command into the lock-free queue of the connection's shard. Commands of one
//! thread keep their order. What the handles of a connection have queued is bounded by the
//! connection's limit, less what it had unsent when its shard last said so (`state.rs`). All of it
//! counts against the memory limit of the server. The sends that wait for a shard are bounded by
//! [`SENDS_MAX`]. A close, an abort and the end of the last answer are not refused. The first two
//! are queued once for a connection, the third once for each wait of its shard (`answers.rs`). So
//! the connections bound them.

mod answers;
mod state;

use std::fmt;
use std::sync::Arc;

use super::call::NextStep;
use super::close_reason::CloseReason;
use super::connection_id::ConnectionId;
use super::shard_mut::SendError;
use super::worker::Worker;
use crate::base::{Notifier, Registry};
use crate::server::memory::MemoryLimit;
use crate::server::worker_queue::UnboundedQueue;
use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use state::{Asked, HandleState};

/// Sends that may wait for a shard. Each may be one byte, and costs a hundred.
const SENDS_MAX: u64 = 4096;
/// Commands that a turn handles, so that connections do not wait for long.
const COMMANDS_PER_TURN_MAX: usize = 256;

/// Sends to a connection from any thread or shard. Cheap to clone.
///
/// What one thread sends arrives in that order. A handle does not keep its connection open. Once
/// that is closed, calls fail with [`SendError::Closed`]. What was accepted just before is
/// discarded, as TCP discards what a peer does not read any more.
#[derive(Clone)]
pub struct ConnectionHandle {
    shared: Arc<HandleShared>,
}

/// An answer that its service owes: a [`ConnectionHandle`] that also keeps the connection open.
///
/// While a connection has answers due, the drain does not take it for quiet, and neither the idle
/// deadline nor the [end](crate::server::Service::end) of its peer's stream closes it, unless its
/// service does. Dropping the answer ends that, sent or not. The drain timeout bounds it.
#[must_use = "dropping it says that no answer comes"]
pub struct Answer {
    handle: ConnectionHandle,
}

struct HandleShared {
    id: ConnectionId,
    state: HandleState,
    shard: Arc<ShardCommands>,
}

/// The commands to a shard.
struct ShardCommands {
    queue: UnboundedQueue<Command>,
    /// How many of them are sends.
    sends: AtomicU64,
    memory: Arc<MemoryLimit>,
}

/// What a shard does for a handle.
struct Command {
    to: Arc<HandleShared>,
    action: Action,
}

enum Action {
    Send(Bytes),
    Close,
    Abort,
    /// The wait with this number is over: no answer is due any more.
    Answered(u32),
}

enum Bytes {
    Copied(Box<[u8]>),
    Shared(Arc<[u8]>),
}

impl Bytes {
    fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// What was accepted counts until the shard has taken it, or has ended.
impl Drop for Command {
    fn drop(&mut self) {
        if let Action::Send(bytes) = &self.action {
            self.to.release(bytes.len());
        }
    }
}

impl HandleShared {
    /// Acquires what a send of so many bytes needs, or nothing.
    fn acquire(&self, bytes: usize) -> Result<(), SendError> {
        let Self { state, shard, .. } = self;
        let one_more = |sends| (sends < SENDS_MAX).then_some(sends + 1);
        let error = if bytes > state.limit() {
            SendError::TooLarge
        } else if !state.try_acquire(bytes) {
            SendError::Full
        } else if !shard.memory.try_grow(0, bytes) {
            state.release(bytes);
            SendError::NoMemory
        } else if shard.sends.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            shard.memory.shrink(bytes, 0);
            state.release(bytes);
            SendError::Full
        } else {
            return Ok(());
        };
        Err(error)
    }

    fn release(&self, bytes: usize) {
        self.state.release(bytes);
        self.shard.memory.shrink(bytes, 0);
        self.shard.sends.fetch_sub(1, Relaxed);
    }
}

impl ConnectionHandle {
    /// The id of the connection, for its shard.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// Whether the connection is open, as far as this thread knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.state.is_open()
    }

    /// Sends a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is sent then. [`SendError::Full`] also means that too many sends of
    /// handles wait for the connection or for its shard. A caller either waits, skips, or
    /// [aborts](Self::abort) the connection of a slow reader.
    pub fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.accept(bytes.len(), || Bytes::Copied(bytes.into()))
    }

    /// Sends bytes that many connections share, without copying them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_shared(&self, bytes: &Arc<[u8]>) -> Result<(), SendError> {
        self.accept(bytes.len(), || Bytes::Shared(bytes.clone()))
    }

    /// Closes the connection once everything is sent. Handles send nothing more to it: their sends
    /// fail from now on. It is not refused for lack of room, and asking again changes nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if the connection is closed already.
    pub fn close(&self) -> Result<(), SendError> {
        self.ask(Asked::Close, Action::Close)
    }

    /// Resets the connection. What is not sent yet is discarded. It is not refused either.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn abort(&self) -> Result<(), SendError> {
        self.ask(Asked::Abort, Action::Abort)
    }

    fn ask(&self, asked: Asked, action: Action) -> Result<(), SendError> {
        match self.shared.state.ask(asked) {
            None => Err(SendError::Closed),
            Some(is_first) if is_first => self.queue(action),
            Some(_) => Ok(()),
        }
    }

    fn accept(&self, len: usize, bytes: impl FnOnce() -> Bytes) -> Result<(), SendError> {
        if !self.shared.state.takes_bytes() {
            return Err(SendError::Closed);
        }
        if len == 0 {
            return Ok(());
        }
        self.shared.acquire(len)?;
        // From here on the command's drop releases it.
        self.queue(Action::Send(bytes()))
    }

    fn queue(&self, action: Action) -> Result<(), SendError> {
        let command = Command { to: self.shared.clone(), action };
        if self.shared.shard.queue.push(command) { Ok(()) } else { Err(SendError::Closed) }
    }
}

impl Answer {
    /// A handle to the connection, which does not keep it open.
    #[must_use]
    pub fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    /// Sends a part of the answer; see [`ConnectionHandle::send`].
    ///
    /// # Errors
    ///
    /// As [`ConnectionHandle::send`].
    pub fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.handle.send(bytes)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(wait) = self.handle.shared.state.answers.end() {
            // If the connection is gone, so is the wait.
            let _ = self.handle.queue(Action::Answered(wait));
        }
    }
}

/// The handles of a shard.
pub(super) struct Handles {
    commands: Arc<ShardCommands>,
    /// By connection key. A shard without handles needs no memory for them.
    connections: Vec<Option<Arc<HandleShared>>>,
}

impl Handles {
    /// The worker takes the commands until this is dropped.
    pub(super) fn new(worker: Notifier, memory: Arc<MemoryLimit>) -> Self {
        let (queue, sends) = (UnboundedQueue::new(worker), AtomicU64::new(0));
        let commands = Arc::new(ShardCommands { queue, sends, memory });
        Self { commands, connections: Vec::new() }
    }

    /// A handle to an open connection, which may have `limit` unsent bytes.
    pub(super) fn handle(
        &mut self,
        key: usize,
        id: ConnectionId,
        limit: usize,
    ) -> ConnectionHandle {
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        let shared = self.connections[key].get_or_insert_with(|| {
            let (state, shard) = (HandleState::new(limit), self.commands.clone());
            Arc::new(HandleShared { id, state, shard })
        });
        ConnectionHandle { shared: shared.clone() }
    }

    /// The same, for an answer.
    pub(super) fn answer(&mut self, key: usize, id: ConnectionId, limit: usize) -> Answer {
        let handle = self.handle(key, id, limit);
        handle.shared.state.answers.begin();
        Answer { handle }
    }

    fn shared(&self, key: usize) -> Option<&HandleShared> {
        self.connections.get(key)?.as_deref()
    }

    /// Whether a connection has answers due, or bytes of handles that the shard has not taken.
    pub(super) fn awaits_output(&self, key: usize) -> bool {
        self.shared(key).is_some_and(|shared| shared.state.awaits_output())
    }

    /// Begins to wait until no answer of a connection is due, and what answers have sent is taken.
    /// Then [`Action::Answered`] follows with the number of the wait. `None` if it is so already.
    pub(super) fn await_answers(&self, key: usize) -> Option<u32> {
        let shared = self.connections.get(key)?.as_ref()?;
        let (wait, is_notified) = shared.state.answers.wait();
        if !is_notified {
            if !shared.state.has_queued() {
                return None;
            }
            // It comes after what is queued.
            let (to, action) = (shared.clone(), Action::Answered(wait));
            self.commands.queue.push(Command { to, action });
        }
        Some(wait)
    }

    /// A connection has so many unsent bytes, which its handles must take into account.
    pub(super) fn has_unsent(&self, key: usize, bytes: usize) {
        if let Some(shared) = self.shared(key) {
            shared.state.has_unsent(bytes);
        }
    }

    /// A connection is closed.
    pub(super) fn end_connection(&mut self, key: usize) {
        if let Some(shared) = self.connections.get_mut(key).and_then(Option::take) {
            shared.state.close();
        }
    }
}

/// No further command is accepted, and those that wait are dropped.
impl Drop for Handles {
    fn drop(&mut self) {
        self.commands.queue.close();
    }
}

impl Worker {
    /// Does what handles asked for, at most some of it; returns how much.
    pub(super) fn take_commands(&mut self, registry: &mut Registry<Self>) -> u64 {
        self.shard.call.begin_for_shard();
        let commands = self.shard.handles.commands.clone();
        let taken = commands.queue.take(COMMANDS_PER_TURN_MAX, |command| {
            let id = command.to.id;
            let mut shard = self.shard.during(registry);
            let Some(key) = shard.key_of(id) else { return };
            match &command.action {
                Action::Send(Bytes::Copied(bytes)) => shard.send_accepted(key, bytes),
                Action::Send(Bytes::Shared(bytes)) => shard.send_shared_accepted(key, bytes),
                Action::Close => shard.choose(key, NextStep::Close),
                Action::Abort => shard.choose(key, NextStep::Fail(CloseReason::Aborted)),
                Action::Answered(wait) => shard.answered(key, *wait),
            }
        });
        taken as u64
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.handle.id()).finish_non_exhaustive()
    }
}
