//! Backpressure: how an acceptor that found a queue full learns that there is room again.
//!
//! The wake protocol's race in reverse. The acceptor raises the flag and then tries once more; the
//! worker takes from the queue and then lowers the flag. Both change it by read-modify-write:
//! if the worker's swap comes first, the acceptor's swap acquires what it took and the second try
//! succeeds; if the acceptor's comes first, the worker sees it and tells.

use crate::sync::{AtomicBool, Ordering};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Backpressure(AtomicBool);

impl Backpressure {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Acceptor, before its second try.
    pub(super) fn raise(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }

    /// Worker, after it took from the queue: whether the acceptor waits for that.
    #[must_use = "an acceptor that waits must be told"]
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

    /// A queue of one place, full at the start; its counter orders nothing but itself.
    struct Shared {
        taken: AtomicUsize,
        told: AtomicUsize,
        backpressure: Backpressure,
    }

    fn has_room(shared: &Shared) -> bool {
        shared.taken.load(Ordering::Relaxed) > 0
    }

    fn model(raise: fn(&Backpressure), relieve: fn(&Backpressure) -> bool) {
        loom::model(move || {
            let shared = Arc::new(Shared {
                taken: AtomicUsize::new(0),
                told: AtomicUsize::new(0),
                backpressure: Backpressure::new(),
            });
            let worker = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.taken.store(1, Ordering::Relaxed);
                    if relieve(&shared.backpressure) {
                        shared.told.store(1, Ordering::Relaxed);
                    }
                }
            });
            raise(&shared.backpressure);
            let placed = has_room(&shared);
            worker.join().unwrap();
            assert!(placed || shared.told.load(Ordering::Relaxed) == 1, "the acceptor hangs");
        });
    }

    #[test]
    fn loom_an_acceptor_that_found_no_room_is_told_of_it() {
        model(Backpressure::raise, Backpressure::relieve);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_store_instead_of_the_acceptors_swap() {
        model(|flag| flag.0.store(true, Ordering::Release), Backpressure::relieve);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_load_before_the_workers_swap() {
        model(Backpressure::raise, |flag| flag.0.load(Ordering::Acquire) && flag.relieve());
    }

    #[test]
    fn loom_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("a_store_instead_of_the_acceptors_swap");
        mutation("a_load_before_the_workers_swap");
    }
}
