//! The counts of a signal slot: signal handlers write them in any thread, and one loop takes them.
//!
//! A handler adds a delivery first and writes to the eventfd afterwards. The loop drains the
//! eventfd first and takes the counts afterwards. However the two overlap, the loop takes the
//! delivery or the eventfd is readable again. The protocol publishes nothing but the counts.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The highest number a signal can have (`_NSIG`).
pub(crate) const SIGNAL_MAX: i32 = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SignalCounts {
    /// Bit n - 1 for the signal n.
    watched: AtomicU64,
    deliveries: [AtomicU32; SIGNAL_MAX as usize + 1],
}

impl SignalCounts {
    pub(super) fn new() -> Self {
        Self { watched: AtomicU64::new(0), deliveries: std::array::from_fn(|_| AtomicU32::new(0)) }
    }

    /// Handler: counts a delivery; whether the caller must write to the eventfd.
    #[must_use = "a counted delivery needs a write to the eventfd"]
    pub(super) fn add(&self, number: i32) -> bool {
        let watched = self.watched.load(Ordering::Relaxed) & bit(number) != 0;
        if watched {
            self.deliveries[number as usize].fetch_add(1, Ordering::Release);
        }
        watched
    }

    /// Begins to count a signal, from zero.
    pub(super) fn watch(&self, number: i32) {
        self.deliveries[number as usize].store(0, Ordering::Relaxed);
        self.watched.fetch_or(bit(number), Ordering::Relaxed);
    }

    /// Stops counting a signal; whether it was counted.
    pub(super) fn unwatch(&self, number: i32) -> bool {
        self.watched.fetch_and(!bit(number), Ordering::Relaxed) & bit(number) != 0
    }

    /// Loop, after draining the eventfd: the signal's deliveries since the last call.
    pub(super) fn take(&self, number: i32) -> u32 {
        self.deliveries[number as usize].swap(0, Ordering::Acquire)
    }
}

fn bit(number: i32) -> u64 {
    1 << (number - 1)
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::ModelEventFd;

    const NUMBER: i32 = 10;
    const DELIVERIES: u32 = 2;

    type Step = fn(&SignalCounts, &ModelEventFd) -> u32;

    /// Delivers in two threads and takes until all are taken; an endless wait is loom's error.
    fn model(deliver: fn(&SignalCounts, &ModelEventFd), take: Step) {
        loom::model(move || {
            let shared = Arc::new((SignalCounts::new(), ModelEventFd::default()));
            shared.0.watch(NUMBER);
            let handlers: Vec<_> = (0..DELIVERIES)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || deliver(&shared.0, &shared.1))
                })
                .collect();
            let mut taken = 0;
            while taken < DELIVERIES {
                shared.1.wait();
                taken += take(&shared.0, &shared.1);
            }
            assert_eq!(taken, DELIVERIES);
            for handler in handlers {
                handler.join().unwrap();
            }
        });
    }

    fn count_and_signal(counts: &SignalCounts, eventfd: &ModelEventFd) {
        if counts.add(NUMBER) {
            eventfd.signal();
        }
    }

    fn drain_and_take(counts: &SignalCounts, eventfd: &ModelEventFd) -> u32 {
        eventfd.drain();
        counts.take(NUMBER)
    }

    #[test]
    fn loom_every_delivery_is_taken() {
        model(count_and_signal, drain_and_take);
    }

    mod taking_before_draining {
        use super::*;

        #[test]
        #[ignore = "must fail"]
        fn mutation() {
            model(count_and_signal, |counts, eventfd| {
                let taken = counts.take(NUMBER);
                eventfd.drain();
                taken
            });
        }
    }

    mod signalling_before_counting {
        use super::*;

        #[test]
        #[ignore = "must fail"]
        fn mutation() {
            let deliver: fn(&SignalCounts, &ModelEventFd) = |counts, eventfd| {
                eventfd.signal();
                let _ = counts.add(NUMBER);
            };
            model(deliver, drain_and_take);
        }
    }

    #[test]
    fn loom_catches_every_mutation_of_the_signal_counts() {
        for name in ["taking_before_draining", "signalling_before_counting"] {
            crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        }
    }
}
