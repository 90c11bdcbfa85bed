//! Backpressure: wakes senders that found a queue full once it has room again.
//!
//! This is the wake protocol's race in reverse. A sender raises the flag and then tries once more.
//! The worker takes from the queue and then lowers the flag. Both use read-modify-write. If the
//! worker's swap comes first, the sender's swap acquires what the worker took, and the second try
//! succeeds. If the sender's swap comes first, the worker sees the flag, and all senders are woken.
//!
//! The worker lowers the flag only once the queue is at most half full, so that senders do not stop
//! and start with every slot. No sender waits for ever: the worker goes on taking from a full
//! queue, until it is below half. Two workers may send to each other, if one that waits for room
//! goes on taking from its own queue.

use crate::sync::{AtomicBool, Ordering};

/// The flag of one queue: a sender found it full.
#[derive(Debug)]
pub(super) struct Backpressure(AtomicBool);

impl Backpressure {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Sender, before its second try.
    pub(super) fn raise(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }

    /// Sender: whether the flag is still raised. Read it after a notification: then the latest
    /// change is visible.
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Worker, after it took from the queue: whether senders wait for room.
    #[must_use = "senders that wait must be woken"]
    pub(super) fn relieve(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// A queue of one, full at the start. Its counter orders nothing but itself.
    struct Shared {
        taken: AtomicUsize,
        woken: AtomicUsize,
        backpressure: Backpressure,
    }

    impl Shared {
        fn new() -> Self {
            let (taken, woken) = (AtomicUsize::new(0), AtomicUsize::new(0));
            Self { taken, woken, backpressure: Backpressure::new() }
        }
    }

    fn has_room(shared: &Shared) -> bool {
        shared.taken.load(Ordering::Relaxed) > 0
    }

    fn model(raise: fn(&Backpressure), relieve: fn(&Backpressure) -> bool) {
        loom::model(move || {
            let shared = Arc::new(Shared::new());
            let worker = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.taken.store(1, Ordering::Relaxed);
                    if relieve(&shared.backpressure) {
                        shared.woken.store(1, Ordering::Relaxed);
                    }
                }
            });
            raise(&shared.backpressure);
            let placed = has_room(&shared);
            worker.join().unwrap();
            assert!(placed || shared.woken.load(Ordering::Relaxed) == 1, "the sender hangs");
        });
    }

    #[test]
    fn loom_t4_a_sender_that_found_no_room_is_woken() {
        model(Backpressure::raise, Backpressure::relieve);
    }

    /// Two senders wait for a queue of two, full at the start, which a worker empties one by one.
    /// It wakes both at once, when half or more is free.
    #[test]
    fn loom_t4_of_two_senders_none_hangs() {
        loom::model(|| {
            let shared = Arc::new(Shared::new());
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        shared.backpressure.raise();
                        has_room(&shared)
                    })
                })
                .collect();
            for taken in 1..=2 {
                shared.taken.store(taken, Ordering::Relaxed);
                if shared.backpressure.relieve() {
                    shared.woken.fetch_add(1, Ordering::Relaxed);
                }
            }
            let placed: Vec<bool> =
                senders.into_iter().map(|sender| sender.join().unwrap()).collect();
            let woken = shared.woken.load(Ordering::Relaxed) > 0;
            assert!(placed.iter().all(|placed| *placed || woken), "a sender hangs");
        });
    }

    #[test]
    #[ignore = "must fail"]
    fn a_store_instead_of_the_senders_swap() {
        model(|flag| flag.0.store(true, Ordering::Release), Backpressure::relieve);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_load_before_the_workers_swap() {
        model(Backpressure::raise, |flag| flag.0.load(Ordering::Acquire) && flag.relieve());
    }

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("a_store_instead_of_the_senders_swap");
        mutation("a_load_before_the_workers_swap");
    }
}
