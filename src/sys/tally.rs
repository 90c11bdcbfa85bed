//! The tally of a mailbox: counts that signal handlers write in any thread and one loop takes.
//!
//! Each delivery is added first and rung for afterwards; the loop silences the bell first and
//! takes the counts afterwards. Whichever way the two overlap, a delivery is taken or the bell
//! rings again. Nothing is carried across but the counts themselves.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The highest number a signal can have (`_NSIG`).
pub(crate) const SIGNAL_MAX: i32 = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Tally {
    /// Bit n - 1 for the signal n.
    wanted: AtomicU64,
    counts: [AtomicU32; SIGNAL_MAX as usize + 1],
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { wanted: AtomicU64::new(0), counts: std::array::from_fn(|_| AtomicU32::new(0)) }
    }

    /// Handler: counts a delivery; whether the bell must ring for it.
    #[must_use = "a delivery that is counted must be rung for"]
    pub(super) fn add(&self, number: i32) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed) & bit(number) != 0;
        if wanted {
            self.counts[number as usize].fetch_add(1, Ordering::Release);
        }
        wanted
    }

    /// Begins to count a signal, from zero.
    pub(super) fn want(&self, number: i32) {
        self.counts[number as usize].store(0, Ordering::Relaxed);
        self.wanted.fetch_or(bit(number), Ordering::Relaxed);
    }

    /// Stops counting a signal; whether it was counted.
    pub(super) fn unwant(&self, number: i32) -> bool {
        self.wanted.fetch_and(!bit(number), Ordering::Relaxed) & bit(number) != 0
    }

    /// Loop, after silencing the bell: how often the signal was delivered since the last call.
    pub(super) fn take(&self, number: i32) -> u32 {
        self.counts[number as usize].swap(0, Ordering::Acquire)
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
    use crate::sync::Bell;

    const NUMBER: i32 = 10;
    const DELIVERIES: u32 = 2;

    type Step = fn(&Tally, &Bell) -> u32;

    /// Delivers in two threads and takes until all are taken; an endless wait is loom's error.
    fn model(deliver: fn(&Tally, &Bell), take: Step) {
        loom::model(move || {
            let shared = Arc::new((Tally::new(), Bell::default()));
            shared.0.want(NUMBER);
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

    fn count_and_ring(tally: &Tally, bell: &Bell) {
        if tally.add(NUMBER) {
            bell.ring();
        }
    }

    fn silence_and_take(tally: &Tally, bell: &Bell) -> u32 {
        bell.silence();
        tally.take(NUMBER)
    }

    #[test]
    fn loom_every_delivery_is_taken() {
        model(count_and_ring, silence_and_take);
    }

    mod taking_before_silencing {
        use super::*;

        #[test]
        #[ignore = "must fail"]
        fn mutation() {
            model(count_and_ring, |tally, bell| {
                let taken = tally.take(NUMBER);
                bell.silence();
                taken
            });
        }
    }

    mod ringing_before_counting {
        use super::*;

        #[test]
        #[ignore = "must fail"]
        fn mutation() {
            let deliver: fn(&Tally, &Bell) = |tally, bell| {
                bell.ring();
                let _ = tally.add(NUMBER);
            };
            model(deliver, silence_and_take);
        }
    }

    #[test]
    fn loom_catches_every_mutation_of_the_tally() {
        for name in ["taking_before_silencing", "ringing_before_counting"] {
            crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        }
    }
}
