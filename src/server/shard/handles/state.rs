//! What the handles of one connection share: whether it is open or is to end, how many bytes they
//! may send, and how many answers are due.
//!
//! Bytes that handles sent count from before they are queued to after the shard took them or
//! dropped them. The shard adds what the connection has unsent. So both together are bounded,
//! except for what the shard has just not added yet: at most as much again.

use super::answers::DueAnswers;
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// What a handle asks of a connection, once for all of its handles.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Close = 1,
    Abort = 2,
}

/// The connection is closed.
const CLOSED: u8 = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct HandleState {
    /// What was asked for, and whether the connection is closed. Each bit is set once.
    ends: AtomicU8,
    limit: u64,
    /// Bytes that are queued to the shard.
    queued: AtomicU64,
    /// Bytes that the connection has unsent, as its shard last said. It orders nothing.
    unsent: AtomicU64,
    pub(super) answers: DueAnswers,
}

impl HandleState {
    pub(super) fn new(limit: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let (ends, limit) = (AtomicU8::new(0), limit as u64);
        Self { ends, limit, queued: zero(), unsent: zero(), answers: DueAnswers::new() }
    }

    /// Whether the connection is open, as far as this thread knows.
    pub(super) fn is_open(&self) -> bool {
        self.ends.load(Ordering::Acquire) & CLOSED == 0
    }

    /// Handle: whether bytes may be sent: the connection is open, and no handle has ended it.
    pub(super) fn takes_bytes(&self) -> bool {
        self.ends.load(Ordering::Acquire) == 0
    }

    /// Handle: asks for an end of the connection. Returns whether it is the first to ask for that,
    /// and must queue it; `None` if the connection is closed.
    pub(super) fn ask(&self, asked: Asked) -> Option<bool> {
        let before = self.ends.fetch_or(asked as u8, Ordering::AcqRel);
        (before & CLOSED == 0).then_some(before & asked as u8 == 0)
    }

    /// Shard: the connection is closed.
    pub(super) fn close(&self) {
        self.ends.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// How many bytes may be queued and unsent together.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Handle: acquires room for bytes, if there is enough.
    pub(super) fn try_acquire(&self, bytes: usize) -> bool {
        let unsent = self.unsent.load(Ordering::Relaxed);
        let acquire = |queued: u64| {
            let all = queued.checked_add(bytes as u64)?;
            (all.saturating_add(unsent) <= self.limit).then_some(all)
        };
        self.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, acquire).is_ok()
    }

    /// The bytes are queued no more.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes as u64, Ordering::AcqRel);
        debug_assert!(before >= bytes as u64, "more is released than was acquired");
    }

    /// Shard: the connection has so many unsent bytes.
    pub(super) fn has_unsent(&self, bytes: usize) {
        self.unsent.store(bytes as u64, Ordering::Relaxed);
    }

    /// Shard: whether bytes of handles are queued.
    pub(super) fn has_queued(&self) -> bool {
        self.queued.load(Ordering::Acquire) > 0
    }

    /// Shard: whether an answer is due, or anything is queued.
    pub(super) fn awaits_output(&self) -> bool {
        // In this order: an answer is queued before it ends.
        self.answers.is_due() || self.has_queued()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_and_unsent_never_exceeds_the_limit_together() {
        let state = HandleState::new(100);
        assert!(state.try_acquire(60) && !state.try_acquire(41) && state.try_acquire(40));
        state.release(100);
        state.has_unsent(70);
        assert!(!state.try_acquire(31) && state.try_acquire(30));
        assert!(!state.try_acquire(usize::MAX));
        state.release(30);
        state.has_unsent(0);
        assert!(state.try_acquire(100));
    }

    #[test]
    fn the_limit_is_exact_however_many_threads_send() {
        let state = HandleState::new(1000);
        let acquired: usize = std::thread::scope(|scope| {
            let sender = || (0..500).filter(|_| state.try_acquire(7)).count();
            let senders: Vec<_> = (0..4).map(|_| scope.spawn(sender)).collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        });
        assert_eq!(acquired, 142);
    }
}

/// T13: output is awaited until the shard has taken it. T14: an end that handles ask for is queued
/// once.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    type Look = fn(&HandleState) -> bool;

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("a_drain_that_looks_at_what_is_queued_first");
        mutation("an_ask_that_looks_before_it_sets");
    }

    type Ask = fn(&HandleState, Asked) -> Option<bool>;

    /// Two handles ask for a close while the shard closes the connection. One at most queues it,
    /// and one does if it was asked before the close. Nothing is sent after an ask.
    fn model_of_ends(ask: Ask) {
        loom::model(move || {
            let state = Arc::new(HandleState::new(10));
            let asking = thread::spawn({
                let state = state.clone();
                move || {
                    let asked = ask(&state, Asked::Close);
                    assert!(!state.takes_bytes());
                    asked
                }
            });
            let closing = thread::spawn({
                let state = state.clone();
                move || state.close()
            });
            let answers = [ask(&state, Asked::Close), asking.join().unwrap()];
            closing.join().unwrap();
            let queued = answers.iter().filter(|answer| **answer == Some(true)).count();
            assert_eq!(queued, usize::from(answers != [None, None]), "once, or it was closed");
            assert!(!state.is_open() && state.ask(Asked::Abort).is_none());
        });
    }

    #[test]
    fn loom_t14_an_end_that_handles_ask_for_is_queued_once() {
        model_of_ends(HandleState::ask);
    }

    #[test]
    #[ignore = "must fail"]
    fn an_ask_that_looks_before_it_sets() {
        model_of_ends(|state, asked| {
            let before = state.ends.load(Ordering::Acquire);
            state.ends.fetch_or(asked as u8, Ordering::AcqRel);
            (before & CLOSED == 0).then_some(before & asked as u8 == 0)
        });
    }

    /// A thread sends its answer and ends it. The shard, which has not taken it, looks meanwhile.
    fn model_of_awaited_output(look: Look) {
        loom::model(move || {
            let state = Arc::new(HandleState::new(10));
            state.answers.begin();
            let answering = thread::spawn({
                let state = state.clone();
                move || {
                    assert!(state.try_acquire(3));
                    assert_eq!(state.answers.end(), None);
                }
            });
            assert!(look(&state), "the connection is closed before its answer is taken");
            answering.join().unwrap();
            assert!(state.awaits_output());
        });
    }

    #[test]
    fn loom_t13_output_is_awaited_until_the_shard_has_taken_the_answer() {
        model_of_awaited_output(HandleState::awaits_output);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_drain_that_looks_at_what_is_queued_first() {
        model_of_awaited_output(|state| {
            state.queued.load(Ordering::Acquire) > 0 || state.answers.is_due()
        });
    }

    /// Two handles acquire, and the shard releases: nothing is left, and the limit held.
    #[test]
    fn loom_t13_what_is_queued_is_exact() {
        loom::model(|| {
            let state = Arc::new(HandleState::new(10));
            let sender = thread::spawn({
                let state = state.clone();
                move || {
                    let acquired = state.try_acquire(6);
                    if acquired {
                        state.release(6);
                    }
                }
            });
            if state.try_acquire(6) {
                assert!(state.queued.load(Ordering::Relaxed) <= 10);
                state.release(6);
            }
            sender.join().unwrap();
            assert_eq!(state.queued.load(Ordering::Relaxed), 0);
        });
    }
}
