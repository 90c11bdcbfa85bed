//! The wake word: wakes a sleeping loop from other threads, and saves the call if it is awake.
//!
//! One atomic word in {AWAKE, SLEEPING, NOTIFIED}. Both sides change it by read-modify-write, so
//! all their steps have one order and no fence is needed:
//!
//! - A producer publishes, then swaps in NOTIFIED. If the old value was SLEEPING, it writes to the
//!   eventfd.
//! - The loop swaps in AWAKE before it reads what was published. It goes to sleep only by
//!   a compare-exchange of AWAKE with SLEEPING, which fails if a producer published since.
//!
//! So no wake is lost. A producer's swap before the exchange makes it fail; a swap after it finds
//! SLEEPING and writes. The swaps' acquire and release publish the items. A plain load instead of
//! the producer's swap would not: a second producer that loads NOTIFIED would publish nothing.

use crate::sync::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct WakeWord(AtomicU8);

impl WakeWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// Producer, after publishing: whether the loop sleeps, so that the caller must wake it.
    #[must_use = "the caller must wake a sleeping loop"]
    pub(crate) fn notify(&self) -> bool {
        self.0.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }

    /// Loop, before a wait that may block: whether it may block, because no producer has published
    /// since [`wake_up`](Self::wake_up).
    #[must_use = "a loop that was notified must not block"]
    #[inline]
    pub(crate) fn fall_asleep(&self) -> bool {
        self.0.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Loop, after every wait and before it reads what was published: whether it was notified.
    #[inline]
    pub(crate) fn wake_up(&self) -> bool {
        // If the word is AWAKE, no producer has changed it since the loop wrote it. A busy turn
        // then saves a locked instruction.
        self.0.load(Ordering::Relaxed) != AWAKE && self.0.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }
}

/// Models of the protocol, numbered across all files that use it. Here: T1, an item and a loop
/// that falls asleep; T2, two producers and one write; T3, a batch; T6, a wait that returns by
/// itself; T7, mutations. The server has T4 (backpressure and the connection limit), T5 and T9
/// (closing), T10 and T11 (both, in queues between workers). The base has T16 (a lent backend).
///
/// `Protocol` lets mutated twins of the word run the same models, which must catch them. A model
/// that a wrong protocol passes proves nothing about the right one.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    use super::*;
    use crate::sync::ModelEventFd;

    trait Protocol: Default + Send + Sync + 'static {
        fn notify(&self) -> bool;
        fn fall_asleep(&self) -> bool;
        fn wake_up(&self) -> bool;
    }

    impl Default for WakeWord {
        fn default() -> Self {
            Self::new()
        }
    }

    impl Protocol for WakeWord {
        fn notify(&self) -> bool {
            Self::notify(self)
        }
        fn fall_asleep(&self) -> bool {
            Self::fall_asleep(self)
        }
        fn wake_up(&self) -> bool {
            Self::wake_up(self)
        }
    }

    #[derive(Default)]
    struct Shared<P> {
        word: P,
        eventfd: ModelEventFd,
        /// What producers publish: relaxed, so that only the word can carry it across.
        published: [AtomicU32; 2],
    }

    impl<P: Protocol> Shared<P> {
        fn produce(&self, producer: usize, items: u32) {
            self.published[producer].store(items, Ordering::Relaxed);
            if self.word.notify() {
                self.eventfd.signal();
            }
        }

        fn seen(&self) -> u32 {
            self.published.iter().map(|published| published.load(Ordering::Relaxed)).sum()
        }

        /// The loop's body, until it has seen all items; an endless sleep is loom's deadlock error.
        /// Like the real loop it reads the items only if it was notified or woken.
        fn consume(&self, expected: u32) {
            self.consume_with(expected, 0);
        }

        /// The same; `spurious` waits return although no producer wrote.
        fn consume_with(&self, expected: u32, mut spurious: u32) {
            let mut waited = false;
            loop {
                let notified = self.word.wake_up();
                if (notified || waited) && self.seen() == expected {
                    return;
                }
                waited = self.word.fall_asleep();
                if waited && spurious > 0 {
                    spurious -= 1;
                    waited = false;
                } else if waited {
                    self.eventfd.wait();
                    self.eventfd.drain();
                }
            }
        }
    }

    fn model<P: Protocol>(producers: usize, items: u32) {
        model_of::<P>(producers, items, Shared::consume);
    }

    fn model_of<P: Protocol>(producers: usize, items: u32, consume: fn(&Shared<P>, u32)) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new(Shared::<P>::default());
            let threads: Vec<_> = (0..producers)
                .map(|producer| {
                    let shared = shared.clone();
                    thread::spawn(move || shared.produce(producer, items))
                })
                .collect();
            consume(&shared, items * producers as u32);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_t1_an_item_published_while_falling_asleep_is_seen() {
        model::<WakeWord>(1, 1);
    }

    #[test]
    fn loom_t2_the_item_of_a_suppressed_wake_is_seen() {
        model::<WakeWord>(2, 1);
    }

    #[test]
    fn loom_t3_a_batch_needs_one_notification() {
        model::<WakeWord>(1, 3);
    }

    #[test]
    fn loom_t6_a_wait_that_returns_between_a_notification_and_its_write_loses_nothing() {
        model_of::<WakeWord>(2, 1, |shared, expected| shared.consume_with(expected, 2));
    }

    /// A loop that reads the items first and clears notifications afterwards loses some.
    #[test]
    #[ignore = "must fail"]
    fn waking_up_after_looking() {
        model_of::<WakeWord>(1, 1, |shared, expected| {
            while shared.seen() != expected {
                shared.word.wake_up();
                if shared.word.fall_asleep() {
                    shared.eventfd.wait();
                    shared.eventfd.drain();
                }
            }
        });
    }

    /// No producer wakes a loop that sets AWAKE before it waits.
    #[test]
    #[ignore = "must fail"]
    fn waking_up_before_the_wait_returns() {
        model_of::<WakeWord>(1, 1, |shared, expected| {
            while shared.seen() != expected {
                let asleep = shared.word.fall_asleep();
                shared.word.wake_up();
                if asleep {
                    shared.eventfd.wait();
                    shared.eventfd.drain();
                }
            }
        });
    }

    #[test]
    fn loom_t7_catches_every_mutation_of_the_loop() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("waking_up_after_looking");
        mutation("waking_up_before_the_wait_returns");
    }

    const SWAP_IN_NOTIFIED: fn(&AtomicU8) -> bool =
        |word| word.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING;
    const EXCHANGE: fn(&AtomicU8) -> bool =
        |word| word.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok();
    const SWAP_IN_AWAKE: fn(&AtomicU8) -> bool =
        |word| word.swap(AWAKE, Ordering::AcqRel) == NOTIFIED;

    /// Twins of the word, each with one error, and a test that the models catch every one.
    macro_rules! mutations {
        ($($name:ident { notify: $notify:expr, fall: $fall:expr, wake: $wake:expr })*) => {
            $(mod $name {
                use super::*;

                struct Mutant(AtomicU8);

                impl Default for Mutant {
                    fn default() -> Self {
                        Self(AtomicU8::new(AWAKE))
                    }
                }

                impl Protocol for Mutant {
                    fn notify(&self) -> bool {
                        ($notify as fn(&AtomicU8) -> bool)(&self.0)
                    }
                    fn fall_asleep(&self) -> bool {
                        ($fall as fn(&AtomicU8) -> bool)(&self.0)
                    }
                    fn wake_up(&self) -> bool {
                        ($wake as fn(&AtomicU8) -> bool)(&self.0)
                    }
                }

                #[test]
                #[ignore = "must fail"]
                fn mutation() {
                    model::<Mutant>(2, 1);
                }
            })*

            #[test]
            fn loom_t7_catches_every_mutation() {
                $(crate::sync::must_fail(concat!(module_path!(), "::", stringify!($name)));)*
            }
        };
    }

    mutations! {
        a_load_before_the_producers_swap {
            notify: |word| word.load(Ordering::Acquire) != NOTIFIED && SWAP_IN_NOTIFIED(word),
            fall: EXCHANGE,
            wake: SWAP_IN_AWAKE
        }
        a_relaxed_notification {
            notify: |word| word.swap(NOTIFIED, Ordering::Relaxed) == SLEEPING,
            fall: EXCHANGE,
            wake: SWAP_IN_AWAKE
        }
        a_load_instead_of_the_producers_swap {
            notify: |word| word.load(Ordering::Acquire) == SLEEPING,
            fall: EXCHANGE,
            wake: SWAP_IN_AWAKE
        }
        a_relaxed_wake_up {
            notify: SWAP_IN_NOTIFIED,
            fall: EXCHANGE,
            wake: |word| word.swap(AWAKE, Ordering::Relaxed) == NOTIFIED
        }
        a_wake_up_that_forgets_what_it_took {
            notify: SWAP_IN_NOTIFIED,
            fall: EXCHANGE,
            wake: |word| { word.swap(AWAKE, Ordering::AcqRel); false }
        }
        falling_asleep_without_looking {
            notify: SWAP_IN_NOTIFIED,
            fall: |word| { word.store(SLEEPING, Ordering::Release); true },
            wake: SWAP_IN_AWAKE
        }
        a_load_and_a_store_instead_of_the_exchange {
            notify: SWAP_IN_NOTIFIED,
            fall: |word| {
                let awake = word.load(Ordering::Acquire) == AWAKE;
                if awake {
                    word.store(SLEEPING, Ordering::Release);
                }
                awake
            },
            wake: SWAP_IN_AWAKE
        }
    }
}
