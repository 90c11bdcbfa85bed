//! Messages between the shards of a service: one bounded lock-free queue for each shard, into which
//! all others and any thread post.

use std::fmt;
use std::sync::Arc;

use crate::base::Notifier;
use crate::server::worker_queue::{Rejected, WorkerQueue};

/// Why a message was not posted, and the message.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError<M> {
    /// [`Service::MESSAGES_MAX`](super::Service::MESSAGES_MAX) messages wait for the shard.
    #[error("the queue of messages of the shard is full; post again when it has room")]
    Full(M),
    /// The shard has ended.
    #[error("the shard has ended, because the server has drained or its thread failed")]
    Closed(M),
    /// There is no shard with this index.
    #[error("the server has no shard with this index; they count from 0 to `count() - 1`")]
    NoShard(M),
}

impl<M> PostError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(message) | Self::NoShard(message) => message,
        }
    }
}

/// Which error it is; a message has no text.
impl<M> fmt::Debug for PostError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
            Self::NoShard(_) => "NoShard",
        })
    }
}

/// The shards that did not get a message for all: their queues are full, or they have ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message did not reach the shards {shards:?}, whose queues are full or closed")]
pub struct Missed {
    /// Their indexes.
    pub shards: Vec<usize>,
}

/// Posts messages to the shards of a service, from any thread. Cheap to clone.
///
/// The messages of one sender to one shard arrive in the order in which they were posted.
pub struct MessageSender<M> {
    queues: Arc<[WorkerQueue<M>]>,
}

impl<M: Send> MessageSender<M> {
    /// The queues of new shards. Each notifier wakes the base of one.
    pub(in crate::server) fn new(capacity: usize, workers: Vec<Notifier>) -> Self {
        let queue = |worker| WorkerQueue::new(capacity.max(1), worker);
        Self { queues: workers.into_iter().map(queue).collect() }
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    /// Posts a message to a shard, which gets it in [`Service::message`](super::Service::message).
    ///
    /// # Errors
    ///
    /// [`PostError`], with the message.
    pub fn post(&self, shard: usize, message: M) -> Result<(), PostError<M>> {
        let posted = self.push(shard, message);
        // Also after a failure: what is in a full queue must be taken.
        self.wake(shard);
        posted
    }

    /// Posts a copy of a message to each shard.
    ///
    /// # Errors
    ///
    /// [`Missed`] if some did not get it. The others have it.
    pub fn broadcast(&self, message: &M) -> Result<(), Missed>
    where
        M: Clone,
    {
        missed(self.count(), |shard| self.post(shard, message.clone()))
    }

    fn push(&self, shard: usize, message: M) -> Result<(), PostError<M>> {
        let Some(queue) = self.queues.get(shard) else { return Err(PostError::NoShard(message)) };
        queue.push(message).map_err(|rejected| match rejected {
            Rejected::Full(message) => PostError::Full(message),
            Rejected::Closed(message) => PostError::Closed(message),
        })
    }

    fn wake(&self, shard: usize) {
        if let Some(queue) = self.queues.get(shard) {
            queue.wake_worker(drop);
        }
    }

    /// Takes at most `limit` messages of the shard that calls this; returns how many.
    pub(super) fn take(&self, shard: usize, limit: usize, receive: impl FnMut(M)) -> usize {
        let taken = self.queues[shard].take(limit, receive);
        if taken.must_wake_senders {
            self.wake_all();
        }
        taken.items
    }

    /// Closes the queue of the shard that calls this, and takes what is in it.
    pub(super) fn close(&self, shard: usize, receive: impl FnMut(M)) {
        self.queues[shard].close(receive);
        self.wake_all();
    }

    fn wake_all(&self) {
        (0..self.count()).for_each(|shard| self.wake(shard));
    }
}

/// Posts to each shard; fails with those that did not get the message.
fn missed<M>(
    shards: usize,
    mut post: impl FnMut(usize) -> Result<(), PostError<M>>,
) -> Result<(), Missed> {
    let shards: Vec<usize> = (0..shards).filter(|&shard| post(shard).is_err()).collect();
    if shards.is_empty() { Ok(()) } else { Err(Missed { shards }) }
}

impl<M> Clone for MessageSender<M> {
    fn clone(&self) -> Self {
        Self { queues: self.queues.clone() }
    }
}

impl<M> fmt::Debug for MessageSender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSender").field("shards", &self.queues.len()).finish_non_exhaustive()
    }
}

/// The messages of one shard: what it receives, and what it posts. A drop closes its queue.
pub(super) struct Messages<M: Send> {
    sender: MessageSender<M>,
    pub(super) shard: usize,
    /// By shard: whether it was posted to since the last wake.
    posted: Vec<bool>,
    /// By shard: whether its queue was full.
    full: Vec<bool>,
    /// How many messages found a full queue.
    pub(super) refused: u64,
}

impl<M: Send> Messages<M> {
    pub(super) fn new(sender: MessageSender<M>, shard: usize) -> Self {
        let none = || vec![false; sender.count()];
        Self { shard, posted: none(), full: none(), refused: 0, sender }
    }

    pub(super) fn sender(&self) -> &MessageSender<M> {
        &self.sender
    }

    /// Posts a message. The first since [`wake_posted`](Self::wake_posted) wakes the shard at once:
    /// a core takes long to wake, and the callbacks of this turn may, too. Those after it rarely
    /// find the shard asleep, and the caller wakes it for all of them later.
    pub(super) fn post(&mut self, shard: usize, message: M) -> Result<(), PostError<M>> {
        let posted = self.sender.push(shard, message);
        if matches!(posted, Ok(()) | Err(PostError::Full(_))) {
            if !std::mem::replace(&mut self.posted[shard], true) {
                self.sender.wake(shard);
            }
            self.full[shard] |= posted.is_err();
            self.refused += u64::from(posted.is_err());
        }
        posted
    }

    pub(super) fn broadcast(&mut self, message: &M) -> Result<(), Missed>
    where
        M: Clone,
    {
        missed(self.sender.count(), |shard| self.post(shard, message.clone()))
    }

    /// Wakes each shard that was posted to since the last call.
    pub(super) fn wake_posted(&mut self) {
        for shard in 0..self.posted.len() {
            if std::mem::take(&mut self.posted[shard]) {
                self.sender.wake(shard);
            }
        }
    }

    /// The shards whose queues were full and may have room now.
    pub(super) fn take_those_with_room(&mut self) -> Vec<usize> {
        let full = self.full.iter_mut().zip(self.sender.queues.iter()).enumerate();
        full.filter(|(_, (full, queue))| **full && queue.may_have_room())
            .map(|(shard, (full, _))| {
                *full = false;
                shard
            })
            .collect()
    }
}

impl<M: Send> Drop for Messages<M> {
    fn drop(&mut self) {
        self.sender.close(self.shard, drop);
    }
}
