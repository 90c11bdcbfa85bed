//! A worker queue without a capacity, for items that may not be refused. Its senders bound it.
//!
//! The queue is crossbeam's, a list of blocks of slots. An empty one holds one block. Items of one
//! sender keep their order. It closes as the bounded queue does.

use crossbeam_queue::SegQueue;

use super::closing::Closing;
use crate::base::Notifier;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::server) struct UnboundedQueue<T> {
    queue: SegQueue<T>,
    closing: Closing,
    worker: Notifier,
}

impl<T> UnboundedQueue<T> {
    /// An empty queue; `worker` wakes the base of its worker.
    pub(in crate::server) fn new(worker: Notifier) -> Self {
        Self { queue: SegQueue::new(), closing: Closing::new(), worker }
    }

    /// Sender: queues an item and wakes the worker. Returns false if the worker is known to have
    /// ended: then the item is dropped.
    pub(in crate::server) fn push(&self, item: T) -> bool {
        if self.closing.is_closed() {
            return false;
        }
        self.queue.push(item);
        if self.closing.has_closed() {
            self.discard();
        }
        self.worker.notify();
        true
    }

    /// Worker: takes at most `limit` items; returns how many. The others wait for the worker's next
    /// turn, which follows at once.
    pub(in crate::server) fn take(&self, limit: usize, mut receive: impl FnMut(T)) -> usize {
        let mut items = 0;
        while items < limit
            && let Some(item) = self.queue.pop()
        {
            items += 1;
            receive(item);
        }
        if items == limit && !self.queue.is_empty() {
            self.worker.notify();
        }
        items
    }

    /// Worker, when it ends: drops all further items, and those that wait.
    pub(in crate::server) fn close(&self) {
        self.closing.close();
        self.discard();
    }

    fn discard(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Config, EventBase};

    fn queue() -> (EventBase<()>, UnboundedQueue<Arc<u32>>) {
        let mut base = EventBase::new(Config::default()).unwrap();
        let queue = UnboundedQueue::new(base.registry().notifier());
        (base, queue)
    }

    #[test]
    fn any_number_of_items_is_taken_in_order_part_by_part() {
        let (_base, queue) = queue();
        assert!((0..10_000).all(|item| queue.push(Arc::new(item))));
        let mut taken = Vec::new();
        while queue.take(300, |item| taken.push(*item)) > 0 {}
        assert!(taken.into_iter().eq(0..10_000));
    }

    #[test]
    fn what_waits_when_the_worker_ends_is_dropped_and_what_comes_later_too() {
        let (_base, queue) = queue();
        let item = Arc::new(1);
        assert!(queue.push(item.clone()));
        queue.close();
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!queue.push(item.clone()));
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
