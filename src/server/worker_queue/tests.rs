//! Queues between real bases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::base::{Config, EventBase, LoopFlags, Registry};
use crate::event::{EventSpec, Fired};

/// How long nothing may happen, however loaded the machine is.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);

fn base<C>() -> EventBase<C> {
    EventBase::new(Config::default()).unwrap()
}

/// A queue and the base of its worker, which counts its notifications.
fn queue_with_worker(capacity: usize) -> (WorkerQueue<u64>, EventBase<u64>) {
    let mut worker = base::<u64>();
    let notified = worker.registry().create(EventSpec::notify(), |_, calls, _| *calls += 1);
    worker.registry().add(notified, None).unwrap();
    (WorkerQueue::new(capacity, worker.registry().notifier()), worker)
}

fn queue(capacity: usize) -> WorkerQueue<u64> {
    queue_with_worker(capacity).0
}

fn taken(items: usize, must_wake_senders: bool) -> Taken {
    Taken { items, must_wake_senders }
}

#[test]
fn items_come_out_in_their_order_and_as_many_as_the_worker_wants() {
    let queue = queue(4);
    (0..4).for_each(|item| queue.push(item).unwrap());
    let mut items = Vec::new();
    assert_eq!(queue.take(3, |item| items.push(item)), taken(3, false));
    assert_eq!(queue.take(3, |item| items.push(item)), taken(1, false));
    assert_eq!(items, [0, 1, 2, 3]);
    assert!(queue.is_empty());
}

#[test]
fn a_full_queue_returns_the_item_and_senders_are_woken_once_half_of_it_is_empty() {
    let queue = queue(4);
    (0..4).for_each(|item| queue.push(item).unwrap());
    assert!(queue.may_have_room(), "no sender has found it full");
    assert_eq!(queue.push(4), Err(Rejected::Full(4)));
    assert_eq!(queue.push(5), Err(Rejected::Full(5)), "a second sender");
    assert_eq!(queue.take(1, drop), taken(1, false));
    assert!(!queue.may_have_room());
    assert_eq!(queue.take(1, drop), taken(1, true));
    assert!(queue.may_have_room());
    assert_eq!(queue.take(1, drop), taken(1, false), "they were woken");
    queue.push(4).unwrap();
}

#[test]
fn a_worker_that_left_items_in_the_queue_has_another_turn() {
    let (queue, mut worker) = queue_with_worker(4);
    (0..3).for_each(|item| queue.push(item).unwrap());
    let mut calls = 0;
    for (limit, expected) in [(2, 1), (1, 1), (1, 1)] {
        let _ = queue.take(limit, drop);
        worker.run_with(&mut calls, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(calls, expected);
    }
}

#[test]
fn a_queue_whose_worker_has_ended_rejects_items_and_discards_what_waited() {
    let queue = queue(2);
    queue.push(1).unwrap();
    queue.push(2).unwrap();
    assert_eq!(queue.push(3), Err(Rejected::Full(3)));
    let mut discarded = Vec::new();
    queue.close(|item| discarded.push(item));
    assert_eq!(discarded, [1, 2]);
    assert!(queue.is_closed() && queue.may_have_room(), "a sender that waits gets the reason");
    assert_eq!(queue.push(3), Err(Rejected::Closed(3)));
    assert_eq!(Rejected::Closed(3).into_item(), 3);
}

#[test]
fn what_was_pushed_while_the_worker_ended_is_discarded_by_its_sender() {
    let queue = queue(2);
    queue.close(drop);
    // As a sender that had looked before.
    queue.queue.push(1).unwrap();
    let mut discarded = Vec::new();
    let _ = queue.wake_worker(|item| discarded.push(item));
    assert_eq!(discarded, [1]);
}

#[test]
fn a_queue_is_closed_when_the_thread_of_its_worker_panics() {
    #[derive(Debug)]
    struct Owner(WorkerQueue<u64>, mpsc::Sender<u64>);
    impl QueueOwner for Arc<Owner> {
        fn worker_ended(&self) {
            self.0.close(|item| self.1.send(item).unwrap());
        }
    }
    let (discard, discarded) = mpsc::channel();
    let owner = Arc::new(Owner(queue(2), discard));
    owner.0.push(7).unwrap();
    let taking = Taking(owner.clone());
    let worker = thread::spawn(move || {
        let _taking = taking;
        panic!("a worker that panics");
    });
    worker.join().unwrap_err();
    assert!(owner.0.is_closed());
    assert_eq!(discarded.try_recv(), Ok(7));
}

/// One of two workers that send to each other.
struct Peer {
    own: Arc<WorkerQueue<u64>>,
    other: Arc<WorkerQueue<u64>>,
    /// Wakes the base of the other one.
    other_base: Notifier,
    /// How many items it has sent.
    sent: u64,
    /// How many it sends, and how many it gets.
    items: u64,
    expected: u64,
    received: Arc<AtomicU64>,
}

impl Peer {
    fn on_notified(registry: &mut Registry<Self>, peer: &mut Self, _: Fired) {
        let received = &peer.received;
        let taken = peer.own.take(16, |item| {
            assert_eq!(item, received.fetch_add(1, Ordering::Relaxed), "each once and in order");
        });
        if taken.must_wake_senders {
            peer.other_base.notify();
        }
        peer.send();
        if peer.sent == peer.items && peer.received.load(Ordering::Relaxed) == peer.expected {
            registry.loop_exit();
        }
    }

    fn send(&mut self) {
        let before = self.sent;
        if self.other.may_have_room() {
            while self.sent < self.items && self.other.push(self.sent).is_ok() {
                self.sent += 1;
            }
        }
        if self.sent > before {
            let _ = self.other.wake_worker(|_| panic!("the other has ended before its time"));
        }
    }
}

/// Both have more to send than fits, and wait for room in nearly every turn. One goes on when the
/// other has sent all. Their waits have no timeout, so one lost wake stops the test.
#[test]
fn two_workers_that_send_to_each_other_through_small_queues_do_not_hang() {
    const ITEMS: [u64; 2] = [50_000, 20_000];
    for capacity in [1, 2, 5] {
        let mut bases = [base::<Peer>(), base::<Peer>()];
        let notifiers = bases.each_mut().map(|base| base.registry().notifier());
        let queue = |worker: &Notifier| Arc::new(WorkerQueue::new(capacity, worker.clone()));
        let queues = notifiers.each_ref().map(queue);
        let received = [0, 1].map(|_| Arc::<AtomicU64>::default());
        let (done, ended) = mpsc::channel();
        for (one, mut base) in bases.into_iter().enumerate() {
            let other = 1 - one;
            let mut peer = Peer {
                own: queues[one].clone(),
                other: queues[other].clone(),
                other_base: notifiers[other].clone(),
                sent: 0,
                items: ITEMS[one],
                expected: ITEMS[other],
                received: received[one].clone(),
            };
            let notified = base.registry().create(EventSpec::notify(), Peer::on_notified);
            base.registry().add(notified, None).unwrap();
            notifiers[one].notify();
            let done = done.clone();
            thread::spawn(move || {
                base.run_until_exit(&mut peer).unwrap();
                done.send(()).unwrap();
            });
        }
        let seen = || received.each_ref().map(|received| received.load(Ordering::Relaxed));
        let (mut running, mut before) = (2, [0, 0]);
        while running > 0 {
            match ended.recv_timeout(PROGRESS_TIMEOUT) {
                Ok(()) => running -= 1,
                Err(_) => assert_ne!(std::mem::replace(&mut before, seen()), before, "they hang"),
            }
        }
        assert_eq!(seen(), [ITEMS[1], ITEMS[0]]);
    }
}
