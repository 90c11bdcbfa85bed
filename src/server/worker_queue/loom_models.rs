//! T10, two shards that send to each other through full queues, and T11, a sender that waits for
//! room when the worker ends. Mutations of both.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::backpressure::Backpressure;
use super::closing::Closing;
use crate::base::WakeWord;
use crate::sync::{ModelEventFd, Ordering};

const EMPTY: u32 = 0;
const ITEM: u32 = 1;

/// What wakes the base of a shard.
struct Waker {
    word: WakeWord,
    eventfd: ModelEventFd,
}

impl Waker {
    fn new() -> Self {
        Self { word: WakeWord::new(), eventfd: ModelEventFd::default() }
    }

    fn notify(&self) {
        if self.word.notify() {
            self.eventfd.signal();
        }
    }

    /// The loop of a shard: calls `turn` first, and then after each notification, until it returns
    /// true. An endless wait is loom's deadlock error.
    fn run(&self, mut turn: impl FnMut() -> bool) {
        let mut is_due = true;
        loop {
            let was_notified = self.word.wake_up();
            if (is_due || was_notified) && turn() {
                return;
            }
            is_due = self.word.fall_asleep();
            if is_due {
                self.eventfd.wait();
                self.eventfd.drain();
            }
        }
    }
}

/// A queue of one item. Its slot is accessed by relaxed operations, so that it orders nothing. The
/// functions do what those of [`WorkerQueue`](super::WorkerQueue) do.
struct Queue {
    slot: AtomicU32,
    backpressure: Backpressure,
    closing: Closing,
    worker: Waker,
}

impl Queue {
    fn full() -> Self {
        let (backpressure, closing) = (Backpressure::new(), Closing::new());
        Self { slot: AtomicU32::new(ITEM), backpressure, closing, worker: Waker::new() }
    }

    fn try_push(&self) -> bool {
        self.slot.compare_exchange(EMPTY, ITEM, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn push(&self) -> bool {
        self.try_push() || {
            self.backpressure.raise();
            self.try_push()
        }
    }

    fn pop(&self) -> bool {
        self.slot.load(Ordering::Relaxed) == ITEM
            && self.slot.swap(EMPTY, Ordering::Relaxed) == ITEM
    }

    /// Takes all; returns how many items that were.
    fn empty(&self) -> u32 {
        (0..).take_while(|_| self.pop()).count() as u32
    }

    /// Returns how many items it took, and whether the sender must be woken.
    fn take(&self) -> (u32, bool) {
        if self.pop() { (1, self.backpressure.relieve()) } else { (0, false) }
    }

    fn may_have_room(&self) -> bool {
        !self.backpressure.is_raised() || self.closing.is_closed()
    }
}

/// How a shard does its part; mutations replace one function.
#[derive(Clone, Copy)]
struct Shard {
    push: fn(&Queue) -> bool,
    take: fn(&Queue) -> (u32, bool),
    /// Whether it takes while it waits for room.
    takes_while_waiting: bool,
}

const SHARD: Shard = Shard { push: Queue::push, take: Queue::take, takes_while_waiting: true };

impl Shard {
    /// Runs a shard until its one item is sent, and it got all that there is for it: the item that
    /// was in its queue, and that of the other.
    fn run(self, own: &Queue, other: &Queue) {
        let (mut received, mut has_sent, mut waits) = (0, false, false);
        own.worker.run(|| {
            if !has_sent && (!waits || other.may_have_room()) {
                has_sent = (self.push)(other);
                waits = !has_sent;
                if has_sent {
                    other.worker.notify();
                }
            }
            if self.takes_while_waiting || !waits {
                let (items, must_wake_sender) = (self.take)(own);
                received += items;
                if must_wake_sender {
                    other.worker.notify();
                }
            }
            has_sent && received == 2
        });
        assert!(!own.pop(), "nothing is left over");
    }
}

/// Runs two shards, each with a full queue, and an item for the other.
fn model_of_two_shards(shard: Shard) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let queues = Arc::new([Queue::full(), Queue::full()]);
        let second = thread::spawn({
            let queues = queues.clone();
            move || shard.run(&queues[1], &queues[0])
        });
        shard.run(&queues[0], &queues[1]);
        second.join().unwrap();
    });
}

#[test]
fn loom_t10_two_shards_that_send_to_each_other_through_full_queues_do_not_hang() {
    model_of_two_shards(SHARD);
}

#[test]
#[ignore = "must fail"]
fn a_shard_that_waits_for_room_takes_nothing() {
    model_of_two_shards(Shard { takes_while_waiting: false, ..SHARD });
}

#[test]
#[ignore = "must fail"]
fn a_push_without_a_second_try() {
    let push: fn(&Queue) -> bool = |queue| {
        let has_room = queue.try_push();
        if !has_room {
            queue.backpressure.raise();
        }
        has_room
    };
    model_of_two_shards(Shard { push, ..SHARD });
}

#[test]
#[ignore = "must fail"]
fn a_flag_that_is_lowered_before_the_worker_takes() {
    let take: fn(&Queue) -> (u32, bool) = |queue| {
        let must_wake_sender = queue.backpressure.relieve();
        if queue.pop() { (1, must_wake_sender) } else { (0, must_wake_sender) }
    };
    model_of_two_shards(Shard { take, ..SHARD });
}

#[test]
#[ignore = "must fail"]
fn a_sender_that_is_not_woken() {
    let take: fn(&Queue) -> (u32, bool) = |queue| (queue.take().0, false);
    model_of_two_shards(Shard { take, ..SHARD });
}

/// A worker ends with a full queue, for which a sender waits or is about to. The sender then sends
/// its item or finds the queue closed, and each item in the queue is discarded once.
fn model_of_an_end(may_have_room: fn(&Queue) -> bool, end: fn(&Queue, &Waker) -> u32) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let shared = Arc::new((Queue::full(), Waker::new(), AtomicU32::new(0)));
        let worker = thread::spawn({
            let shared = shared.clone();
            move || {
                let discarded = end(&shared.0, &shared.1);
                shared.2.fetch_add(discarded, Ordering::Relaxed);
            }
        });
        let (queue, sender, discarded) = &*shared;
        let (mut waits, mut sent) = (false, 0);
        sender.run(|| {
            if waits && !may_have_room(queue) {
                return false;
            }
            if queue.closing.is_closed() {
                return true;
            }
            waits = !queue.push();
            if !waits {
                sent = 1;
                if queue.closing.has_closed() {
                    discarded.fetch_add(queue.empty(), Ordering::Relaxed);
                }
            }
            !waits
        });
        worker.join().unwrap();
        assert_eq!(discarded.load(Ordering::Relaxed), 1 + sent, "each exactly once");
    });
}

/// Returns how many items it discards.
fn end(queue: &Queue, sender: &Waker) -> u32 {
    queue.closing.close();
    let discarded = queue.empty();
    sender.notify();
    discarded
}

#[test]
fn loom_t11_a_sender_that_waits_for_room_finds_that_the_worker_has_ended() {
    model_of_an_end(Queue::may_have_room, end);
}

#[test]
#[ignore = "must fail"]
fn a_sender_that_waits_for_room_only() {
    model_of_an_end(|queue| !queue.backpressure.is_raised(), end);
}

#[test]
#[ignore = "must fail"]
fn a_sender_that_is_woken_before_the_queue_is_closed() {
    model_of_an_end(Queue::may_have_room, |queue, sender| {
        sender.notify();
        queue.closing.close();
        queue.empty()
    });
}

#[test]
fn loom_t7_catches_every_mutation() {
    let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
    mutation("a_shard_that_waits_for_room_takes_nothing");
    mutation("a_push_without_a_second_try");
    mutation("a_flag_that_is_lowered_before_the_worker_takes");
    mutation("a_sender_that_is_not_woken");
    mutation("a_sender_that_waits_for_room_only");
    mutation("a_sender_that_is_woken_before_the_queue_is_closed");
}
