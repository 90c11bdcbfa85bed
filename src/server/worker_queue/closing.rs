//! Closing: no item is lost when the worker that takes from a queue ends.
//!
//! The ending worker sets a flag and then empties the queue. A sender pushes its batch and then
//! reads the flag. Both use read-modify-write. If the worker's swap comes first, the sender finds
//! the flag and empties the queue itself. If the sender's comes first, the worker's swap acquires
//! what it pushed. The thread that takes an item out discards it, and a queue returns each item
//! once.

use crate::sync::{AtomicBool, Ordering};

/// The flag of one queue: its worker has ended.
#[derive(Debug)]
pub(super) struct Closing(AtomicBool);

impl Closing {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Worker, before it empties the queue for the last time.
    pub(super) fn close(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }

    /// Sender, after a batch: whether it must empty the queue.
    #[must_use = "no other thread empties a queue that is closed"]
    pub(super) fn has_closed(&self) -> bool {
        self.0.fetch_or(false, Ordering::AcqRel)
    }

    /// Sender, before it pushes anything: whether the worker is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// T5, shutdown against push, and T9, stop, drain and wake together. (T8 is about connections that
/// move between shards. None does here: each ends where it was adopted.)
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, AtomicUsize};
    use loom::thread;

    use super::*;
    use crate::base::WakeWord;
    use crate::sync::ModelEventFd;

    const EMPTY: u32 = 0;
    const QUEUED: u32 = 1;
    const TAKEN: u32 = 2;

    /// A queue with a slot for each sender. A push is a relaxed store, so that it orders nothing.
    /// Taking is an exchange, as in any queue with several consumers.
    #[derive(Default)]
    struct Queue([AtomicU32; 2]);

    impl Queue {
        fn push(&self, slot: usize) {
            self.0[slot].store(QUEUED, Ordering::Relaxed);
        }

        fn take_all(&self) -> usize {
            let take = |slot: &&AtomicU32| {
                slot.load(Ordering::Relaxed) != EMPTY
                    && slot
                        .compare_exchange(QUEUED, TAKEN, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            };
            self.0.iter().filter(take).count()
        }
    }

    type Look = fn(&Closing) -> bool;
    type Close = fn(&Closing);

    /// Every item is taken out exactly once, by the ending worker or by the sender that pushed it.
    fn model(senders: usize, close: Close, look: Look) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new((Queue::default(), Closing::new(), AtomicUsize::new(0)));
            let threads: Vec<_> = (0..senders)
                .map(|sender| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        shared.0.push(sender);
                        if look(&shared.1) {
                            shared.2.fetch_add(shared.0.take_all(), Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            close(&shared.1);
            shared.2.fetch_add(shared.0.take_all(), Ordering::Relaxed);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(shared.2.load(Ordering::Relaxed), senders, "each exactly once");
        });
    }

    #[test]
    fn loom_t5_what_is_pushed_while_the_worker_ends_is_discarded_exactly_once() {
        model(1, Closing::close, Closing::has_closed);
    }

    #[test]
    fn loom_t5_with_two_senders() {
        model(2, Closing::close, Closing::has_closed);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_load_instead_of_the_senders_swap() {
        model(1, Closing::close, |closing| closing.0.load(Ordering::Acquire));
    }

    #[test]
    #[ignore = "must fail"]
    fn a_store_instead_of_the_workers_swap() {
        model(1, |closing| closing.0.store(true, Ordering::Release), Closing::has_closed);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_relaxed_swap_by_the_sender() {
        let look: Look = |closing| closing.0.fetch_or(false, Ordering::Relaxed);
        model(1, Closing::close, look);
    }

    /// The worker sleeps, gets an item and a stop request, in any order. It ends, and the item was
    /// taken exactly once.
    #[test]
    fn loom_t9_stop_and_drain_and_wake_together_lose_nothing_and_end() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new(Shared::default());
            let sender = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.queue.push(0);
                    let taken =
                        if shared.closing.has_closed() { shared.queue.take_all() } else { 0 };
                    shared.wake();
                    taken
                }
            });
            let stopper = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.stop.store(true, Ordering::Relaxed);
                    shared.wake();
                }
            });
            let taken = shared.work();
            stopper.join().unwrap();
            assert_eq!(taken + sender.join().unwrap(), 1, "exactly once");
        });
    }

    struct Shared {
        queue: Queue,
        closing: Closing,
        stop: AtomicBool,
        word: WakeWord,
        eventfd: ModelEventFd,
    }

    impl Default for Shared {
        fn default() -> Self {
            Self {
                queue: Queue::default(),
                closing: Closing::new(),
                stop: AtomicBool::new(false),
                word: WakeWord::new(),
                eventfd: ModelEventFd::default(),
            }
        }
    }

    impl Shared {
        fn wake(&self) {
            if self.word.notify() {
                self.eventfd.signal();
            }
        }

        /// Runs the worker to its end; returns how many items it took.
        fn work(&self) -> usize {
            let (mut taken, mut notified) = (0, false);
            loop {
                if self.word.wake_up() || notified {
                    taken += self.queue.take_all();
                    if self.stop.load(Ordering::Relaxed) {
                        self.closing.close();
                        return taken + self.queue.take_all();
                    }
                }
                notified = self.word.fall_asleep();
                if notified {
                    self.eventfd.wait();
                    self.eventfd.drain();
                }
            }
        }
    }

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("a_load_instead_of_the_senders_swap");
        mutation("a_store_instead_of_the_workers_swap");
        mutation("a_relaxed_swap_by_the_sender");
    }
}
