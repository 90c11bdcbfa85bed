//! The handoff: the queue of accepted sockets from the acceptors to one worker, and its counts.
//!
//! Items own their descriptor, so that every socket is closed on any path. The thread that pushes
//! or takes an item updates the shard's load; both happen here, so that no caller can forget it.

pub(super) mod accepted_connection;

use std::sync::Arc;

use crate::base::{Notifier, Wake};
use crate::server::connection_limit::ConnectionLimit;
use crate::server::placement::load::{Loads, ShardLoad};
use crate::server::worker_queue::{QueueOwner, Taking, WorkerQueue};
use accepted_connection::AcceptedConnection;

/// The queue of one shard. Tests hand over cheaper things than connections.
#[derive(Debug)]
pub(super) struct Handoff<T = AcceptedConnection> {
    queue: WorkerQueue<T>,
    shard: usize,
    loads: Loads,
    connection_limit: Arc<ConnectionLimit>,
}

impl<T> QueueOwner for Arc<Handoff<T>> {
    fn worker_ended(&self) {
        self.queue.close(|item| self.discard(item));
        self.connection_limit.wake_acceptors();
    }
}

impl<T> Handoff<T> {
    /// A queue of this capacity for `shard`; `worker` wakes that worker's base.
    pub(super) fn new(
        capacity: usize,
        worker: Notifier,
        shard: usize,
        loads: Loads,
        connection_limit: Arc<ConnectionLimit>,
    ) -> Self {
        Self { queue: WorkerQueue::new(capacity, worker), shard, loads, connection_limit }
    }

    /// The index of the shard it leads to.
    pub(super) fn shard(&self) -> usize {
        self.shard
    }

    /// How many shards the server has.
    pub(super) fn shards(&self) -> usize {
        self.loads.len()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn connection_limit(&self) -> &ConnectionLimit {
        &self.connection_limit
    }

    /// The load of that shard.
    pub(super) fn load(&self) -> &ShardLoad {
        &self.loads[self.shard]
    }

    /// Worker, when its thread begins.
    pub(super) fn adopting(self: Arc<Self>) -> Taking<Arc<Self>> {
        Taking(self)
    }

    /// Acceptor: whether the worker has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Acceptor: queues an item, or returns it if there is no room. In that case the acceptors are
    /// woken once half of the queue is empty, or once its worker has ended. Returns whether this
    /// item makes the queue half full: its worker should then be woken at once.
    pub(super) fn offer(&self, item: T) -> Result<bool, T> {
        let queued = self.load().placed();
        match self.queue.push(item) {
            Ok(()) => {
                let capacity = self.queue.capacity();
                // Other acceptors also count what they are about to queue.
                self.load().queued_at_most(queued.min(capacity));
                Ok(queued == capacity / 2)
            }
            Err(rejected) => {
                self.load().not_placed();
                Err(rejected.into_item())
            }
        }
    }

    /// Acceptor, after a notification: whether there may be room by now.
    pub(super) fn may_have_room(&self) -> bool {
        self.queue.may_have_room()
    }

    /// Acceptor, after a batch of offers: wakes the worker. If the worker has ended, closes what
    /// was offered.
    pub(super) fn wake_worker(&self) -> Wake {
        self.queue.wake_worker(|item| self.discard(item))
    }

    /// Worker: takes at most `limit` items, then wakes acceptors that wait for room. Returns how
    /// many it took. The others wait for the worker's next turn.
    pub(super) fn take(&self, limit: usize, adopt: impl FnMut(T)) -> usize {
        let taken = self.queue.take(limit, adopt);
        if taken.items > 0 {
            self.load().adopted(taken.items);
        }
        if taken.must_wake_senders {
            self.connection_limit.wake_acceptors();
        }
        taken.items
    }

    /// Worker: acquires a slot for a connection that it dials, if one is free.
    pub(super) fn begin_dial(&self) -> bool {
        let acquired = self.connection_limit.try_acquire();
        if acquired {
            self.load().placed();
            self.load().adopted(1);
        }
        acquired
    }

    /// Called by the thread that closed a connection of this shard, after its socket is closed.
    pub(super) fn closed(&self) {
        self.load().closed();
        self.connection_limit.release();
    }

    /// Closes a connection that no worker adopts.
    fn discard(&self, item: T) {
        drop(item);
        self.load().adopted(1);
        self.closed();
    }

    /// Whether nothing waits to be adopted.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::base::{Config, EventBase, LoopFlags, Registry};
    use crate::event::{EventSpec, Fired};
    use crate::server::placement::load;

    /// How long handoffs may make no progress, however loaded the machine is.
    const PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);

    /// A handoff from one acceptor's base to the base of shard 0.
    fn handoff<T, W>(
        capacity: usize,
        worker: &mut EventBase<W>,
        acceptor: Notifier,
    ) -> Arc<Handoff<T>> {
        let connection_limit = Arc::new(ConnectionLimit::new(None, vec![acceptor]));
        let to_worker = worker.registry().notifier();
        Arc::new(Handoff::new(capacity, to_worker, 0, load::loads(1), connection_limit))
    }

    fn base<C>() -> EventBase<C> {
        EventBase::new(Config::default()).unwrap()
    }

    /// Adds a notify event that counts its calls.
    fn count_calls(base: &mut EventBase<u64>) {
        let notified = base.registry().create(EventSpec::notify(), |_, calls, _| *calls += 1);
        base.registry().add(notified, None).unwrap();
    }

    #[test]
    fn a_full_queue_returns_the_item_and_notifies_when_half_of_it_is_empty() {
        let (mut worker, mut acceptor) = (base::<u64>(), base::<u64>());
        let handoff = handoff(4, &mut worker, acceptor.registry().notifier());
        count_calls(&mut acceptor);
        let mut calls = 0;
        for item in 0..4 {
            assert_eq!(handoff.offer(item), Ok(item == 1), "the second makes it half full");
        }
        assert_eq!(handoff.offer(4), Err(4), "it is still ours");
        assert_eq!((handoff.load().queued(), handoff.load().queued_max()), (4, 4));
        handoff.take(1, drop);
        acceptor.run_with(&mut calls, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(calls, 0, "three of four slots are taken");
        assert!(!handoff.may_have_room());
        handoff.take(1, drop);
        acceptor.run_with(&mut calls, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(calls, 1);
        assert!(handoff.may_have_room());
        assert_eq!(handoff.offer(4), Ok(false));
    }

    #[test]
    fn every_acceptor_is_notified_of_room() {
        let mut acceptors = [base::<u64>(), base::<u64>()];
        acceptors.iter_mut().for_each(count_calls);
        let notifiers =
            acceptors.iter_mut().map(|acceptor| acceptor.registry().notifier()).collect();
        let connection_limit = Arc::new(ConnectionLimit::new(None, notifiers));
        let to_worker = base::<u64>().registry().notifier();
        let handoff = Handoff::new(1, to_worker, 0, load::loads(1), connection_limit);
        handoff.offer(1).unwrap();
        handoff.offer(2).unwrap_err();
        handoff.take(1, drop);
        for acceptor in &mut acceptors {
            let mut calls = 0;
            acceptor.run_with(&mut calls, LoopFlags::NONBLOCK).unwrap();
            assert_eq!(calls, 1);
        }
    }

    /// Acceptors push in batches while the worker ends somewhere in between. Each drop of an item
    /// is counted.
    #[test]
    fn whatever_is_offered_while_the_worker_ends_is_dropped_exactly_once() {
        struct Item(Arc<AtomicU64>);
        impl Drop for Item {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        for round in 0..200_u64 {
            let (mut worker, mut acceptor) = (base::<u64>(), base::<u64>());
            let handoff = handoff(64, &mut worker, acceptor.registry().notifier());
            let dropped = Arc::new(AtomicU64::new(0));
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..10 {
                            assert!(handoff.connection_limit.try_acquire());
                            if handoff.offer(Item(dropped.clone())).is_err() {
                                handoff.connection_limit.release();
                            }
                            let _ = handoff.wake_worker();
                        }
                    });
                }
                let adopting = handoff.clone().adopting();
                (0..round).for_each(|_| std::hint::spin_loop());
                handoff.take(5, |item| {
                    drop(item);
                    handoff.closed();
                });
                drop(adopting);
            });
            assert_eq!(dropped.load(Ordering::Relaxed), 20);
            assert!(handoff.is_empty() && handoff.is_closed());
            assert_eq!((handoff.load().connections(), handoff.load().queued()), (0, 0));
            assert_eq!(handoff.connection_limit.open(), 0);
        }
    }

    /// The context of a worker that only counts its items.
    struct Counting {
        handoff: Arc<Handoff<u64>>,
        taken: Arc<AtomicU64>,
        expected: u64,
    }

    impl Counting {
        /// A base with a worker that expects this many items.
        fn worker(acceptor: Notifier, expected: u64) -> (EventBase<Self>, Self) {
            let mut base = base();
            let handoff = handoff(1024, &mut base, acceptor);
            let event = base.registry().create(EventSpec::notify(), Self::on_handoff);
            base.registry().add(event, None).unwrap();
            (base, Self { handoff, taken: Arc::default(), expected })
        }

        fn on_handoff(registry: &mut Registry<Self>, counting: &mut Self, _: Fired) {
            let taken = counting.handoff.take(16, drop) as u64;
            let before = counting.taken.fetch_add(taken, Ordering::Release);
            if before + taken == counting.expected {
                registry.loop_exit();
            }
        }
    }

    #[test]
    fn one_wake_is_enough_for_more_than_a_turn_adopts() {
        let mut acceptor = base::<u64>();
        let (mut base, mut counting) = Counting::worker(acceptor.registry().notifier(), 40);
        for item in 0..40 {
            counting.handoff.offer(item).unwrap();
        }
        let _ = counting.handoff.wake_worker();
        base.run_with(&mut counting, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(counting.taken.load(Ordering::Acquire), 40);
    }

    /// In most rounds the worker has just fallen asleep or is about to. Its wait has no timeout, so
    /// one lost wake stops the test.
    fn hand_over_one_by_one(handoffs: u64) {
        let mut acceptor = base::<u64>();
        let (mut base, mut counting) = Counting::worker(acceptor.registry().notifier(), handoffs);
        let (handoff, taken) = (counting.handoff.clone(), counting.taken.clone());
        let (done, ended) = mpsc::channel();
        let progress = taken.clone();
        let worker = thread::spawn(move || {
            base.run_until_exit(&mut counting).unwrap();
            done.send(()).unwrap();
        });
        let producer = thread::spawn(move || {
            for sent in 1..=handoffs {
                handoff.offer(sent).expect("fewer in flight than the capacity");
                let _ = handoff.wake_worker();
                // A window of one to three: the worker runs dry again and again.
                while sent - taken.load(Ordering::Acquire) > sent % 3 {
                    thread::yield_now();
                }
            }
        });
        let mut seen = 0;
        while ended.recv_timeout(PROGRESS_TIMEOUT).is_err() {
            let now = progress.load(Ordering::Acquire);
            assert!(now > seen, "a wake was lost: the worker sleeps for ever after item {now}");
            seen = now;
        }
        worker.join().unwrap();
        producer.join().unwrap();
    }

    #[test]
    fn a_million_handoffs_lose_no_wake() {
        hand_over_one_by_one(1_000_000);
    }

    #[test]
    #[ignore = "takes a minute; run it with --release"]
    fn ten_million_handoffs_lose_no_wake() {
        hand_over_one_by_one(10_000_000);
    }
}
