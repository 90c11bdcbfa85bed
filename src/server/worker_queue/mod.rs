//! The worker queue: a bounded lock-free queue from any number of senders to one worker.
//!
//! The queue is crossbeam's, a ring of stamped slots. It has no lock, but a pop can wait for a push
//! that was preempted halfway, and a push for a pop.
//!
//! A sender pushes a batch of items and then wakes the worker. A full queue returns the item, and
//! `backpressure.rs` says when to try again. A queue whose worker has ended loses nothing:
//! `closing.rs` says why. A queue does not know its senders. Its owner does: the owner wakes them,
//! and says what to do with items that no worker takes.

mod backpressure;
mod closing;
#[cfg(all(test, loom))]
mod loom_models;
mod unbounded;

use crossbeam_queue::ArrayQueue;

use crate::base::{Notifier, Wake};
use backpressure::Backpressure;
use closing::Closing;
pub(in crate::server) use unbounded::UnboundedQueue;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::server) struct WorkerQueue<T> {
    queue: ArrayQueue<T>,
    backpressure: Backpressure,
    closing: Closing,
    worker: Notifier,
}

/// An item that was not queued, and why.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) enum Rejected<T> {
    /// There is no room. All senders are woken once half of the queue is empty, or once the worker
    /// has ended.
    Full(T),
    /// The worker has ended.
    Closed(T),
}

/// What a worker took.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "senders that wait must be woken"]
pub(in crate::server) struct Taken {
    pub(in crate::server) items: usize,
    /// Whether senders wait, and half of the queue is empty: the owner must wake them all.
    pub(in crate::server) must_wake_senders: bool,
}

/// The owner of a queue, who knows its senders.
pub(in crate::server) trait QueueOwner {
    /// Closes the queue ([`WorkerQueue::close`]), and then wakes all senders.
    fn worker_ended(&self);
}

/// Held by a worker while it takes from a queue. Its drop closes the queue, however the thread
/// ends.
#[derive(Debug)]
pub(in crate::server) struct Taking<O: QueueOwner>(pub(in crate::server) O);

impl<O: QueueOwner> Drop for Taking<O> {
    fn drop(&mut self) {
        self.0.worker_ended();
    }
}

impl<T> Rejected<T> {
    /// The item.
    pub(in crate::server) fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> WorkerQueue<T> {
    /// A queue of this capacity, at least one; `worker` wakes the base of its worker.
    pub(in crate::server) fn new(capacity: usize, worker: Notifier) -> Self {
        let queue = ArrayQueue::new(capacity);
        Self { queue, backpressure: Backpressure::new(), closing: Closing::new(), worker }
    }

    /// How many items fit.
    pub(in crate::server) fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Whether nothing waits to be taken.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Sender: whether the worker has ended.
    pub(in crate::server) fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }

    /// Sender: queues an item. After a batch, also one that a full queue ended, it calls
    /// [`wake_worker`](Self::wake_worker).
    ///
    /// A sender that waits with a rejected item asks [`may_have_room`](Self::may_have_room) when it
    /// is woken. If it is a worker itself, it must go on taking from its own queue meanwhile:
    /// otherwise two workers whose queues are full wait for each other.
    pub(in crate::server) fn push(&self, item: T) -> Result<(), Rejected<T>> {
        if self.is_closed() {
            return Err(Rejected::Closed(item));
        }
        let pushed = self.queue.push(item).or_else(|item| {
            self.backpressure.raise();
            self.queue.push(item)
        });
        pushed.map_err(Rejected::Full)
    }

    /// Sender, after a notification: whether a queue that was full may have room by now, or has
    /// closed.
    pub(in crate::server) fn may_have_room(&self) -> bool {
        !self.backpressure.is_raised() || self.is_closed()
    }

    /// Sender, after a batch: wakes the worker. If the worker has ended, discards what waits.
    pub(in crate::server) fn wake_worker(&self, discard: impl FnMut(T)) -> Wake {
        if self.closing.has_closed() {
            self.empty(discard);
        }
        self.worker.notify()
    }

    /// Worker: takes at most `limit` items. The others wait for the worker's next turn, which
    /// follows at once.
    pub(in crate::server) fn take(&self, limit: usize, mut receive: impl FnMut(T)) -> Taken {
        let mut items = 0;
        while items < limit
            && let Some(item) = self.queue.pop()
        {
            items += 1;
            receive(item);
        }
        let is_half_empty = || self.queue.len() <= self.capacity() / 2;
        let must_wake_senders = items > 0 && is_half_empty() && self.backpressure.relieve();
        if items == limit && !self.is_empty() {
            self.worker.notify();
        }
        Taken { items, must_wake_senders }
    }

    /// Worker, when it ends: rejects all further items, and discards what waits. The caller wakes
    /// all senders afterwards.
    pub(in crate::server) fn close(&self, discard: impl FnMut(T)) {
        self.closing.close();
        self.empty(discard);
    }

    fn empty(&self, discard: impl FnMut(T)) {
        std::iter::from_fn(|| self.queue.pop()).for_each(discard);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
