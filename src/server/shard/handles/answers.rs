//! The answers of a connection that are due, and the wait of its shard until none is.
//!
//! One word counts the answers and has the flag of the wait. The handle that ends the last answer
//! finds the flag, and must notify the shard. The next answer takes the flag away, so a wait is
//! notified once. It has a number: a notice that comes after another wait has begun is recognized
//! as old.
//!
//! Each answer ends by a read-modify-write of the word. So the one that ends last comes after all
//! that the others queued, and the shard gets its notice after that.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The flag: the shard waits.
const WAITS: u64 = 1 << 63;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct DueAnswers {
    /// How many are due, and the flag.
    word: AtomicU64,
    /// The number of the latest wait. Only the shard stores it.
    wait: AtomicU32,
}

impl DueAnswers {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), wait: AtomicU32::new(0) }
    }

    /// Shard: one more is due.
    pub(super) fn begin(&self) {
        if self.word.fetch_add(1, Ordering::Relaxed) == WAITS {
            // That wait was notified.
            self.word.fetch_and(!WAITS, Ordering::Relaxed);
        }
    }

    /// Handle, after everything that the answer sent was queued. If it was the last one and the
    /// shard waits, returns the number of the wait: the caller must notify the shard.
    #[must_use = "the shard waits for it"]
    pub(super) fn end(&self) -> Option<u32> {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        (before == WAITS | 1).then(|| self.wait.load(Ordering::Relaxed))
    }

    /// Shard: whether one is due. If not, all that answers sent is queued already.
    pub(super) fn is_due(&self) -> bool {
        self.word.load(Ordering::Acquire) & !WAITS > 0
    }

    /// Shard: begins a wait; returns its number, and whether it is notified. It is not if no answer
    /// is due, and then all that answers sent is queued already.
    pub(super) fn wait(&self) -> (u32, bool) {
        let number = self.wait.load(Ordering::Relaxed).wrapping_add(1);
        self.wait.store(number, Ordering::Relaxed);
        let is_due = self.word.fetch_or(WAITS, Ordering::AcqRel) & !WAITS > 0;
        if !is_due {
            // Only the shard begins answers, so none can end meanwhile.
            self.word.store(0, Ordering::Relaxed);
        }
        (number, is_due)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_answer_notifies_and_only_the_latest_wait() {
        let answers = DueAnswers::new();
        assert_eq!(answers.wait(), (1, false));
        answers.begin();
        assert_eq!(answers.end(), None, "no wait has begun");
        answers.begin();
        answers.begin();
        assert_eq!(answers.wait(), (2, true));
        assert_eq!(answers.wait(), (3, true));
        assert_eq!(answers.end(), None);
        assert!(answers.is_due());
        assert_eq!(answers.end(), Some(3));
        assert!(!answers.is_due());
        answers.begin();
        assert_eq!(answers.end(), None, "the wait was notified");
    }
}

/// T13: a drain that finds no answer due finds what the answer sent. T15: a wait for answers is
/// notified once, after all that they sent was queued.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    type End = fn(&DueAnswers) -> Option<u32>;
    type Look = fn(&DueAnswers) -> bool;
    type Wait = fn(&DueAnswers) -> (u32, bool);

    /// A thread queues its answer, here a relaxed store, and ends it. The shard drains.
    fn model_of_drain(end: End, look: Look) {
        loom::model(move || {
            let shared = Arc::new((DueAnswers::new(), AtomicU32::new(0)));
            shared.0.begin();
            let answering = thread::spawn({
                let shared = shared.clone();
                move || {
                    shared.1.store(1, Ordering::Relaxed);
                    assert_eq!(end(&shared.0), None);
                }
            });
            if !look(&shared.0) {
                let queued = shared.1.load(Ordering::Relaxed);
                assert_eq!(queued, 1, "the connection is closed before its answer");
            }
            answering.join().unwrap();
            assert!(!shared.0.is_due());
        });
    }

    #[test]
    fn loom_t13_a_drain_that_finds_no_answer_due_finds_what_was_sent() {
        model_of_drain(DueAnswers::end, DueAnswers::is_due);
    }

    #[test]
    #[ignore = "must fail"]
    fn an_answer_that_ends_relaxed() {
        let end: End = |answers| {
            answers.word.fetch_sub(1, Ordering::Relaxed);
            None
        };
        model_of_drain(end, DueAnswers::is_due);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_drain_that_looks_relaxed() {
        model_of_drain(DueAnswers::end, |answers| answers.word.load(Ordering::Relaxed) > 0);
    }

    struct Shared {
        answers: DueAnswers,
        /// What each answer queues, here by relaxed stores.
        queued: [AtomicU32; 2],
        notices: AtomicU32,
    }

    impl Shared {
        fn expect_all_queued(&self) {
            let queued = self.queued.iter().all(|it| it.load(Ordering::Relaxed) == 1);
            assert!(queued, "the wait ends before an answer is queued");
        }
    }

    /// Two threads queue their answers and end them, while the shard begins to wait.
    fn model(end: End, wait: Wait) {
        loom::model(move || {
            let zero = || AtomicU32::new(0);
            let (queued, notices) = ([zero(), zero()], zero());
            let shared = Arc::new(Shared { answers: DueAnswers::new(), queued, notices });
            (0..2).for_each(|_| shared.answers.begin());
            let threads = [0, 1].map(|answer| {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.queued[answer].store(1, Ordering::Relaxed);
                    if end(&shared.answers) == Some(1) {
                        shared.expect_all_queued();
                        shared.notices.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            let (number, is_notified) = wait(&shared.answers);
            assert_eq!(number, 1);
            if !is_notified {
                shared.expect_all_queued();
            }
            for thread in threads {
                thread.join().unwrap();
            }
            let notices = shared.notices.load(Ordering::Relaxed);
            assert_eq!(notices, u32::from(is_notified), "the shard waits for ever, or twice");
            assert!(!shared.answers.is_due());
        });
    }

    #[test]
    fn loom_t15_a_wait_is_notified_once_after_all_answers_are_queued() {
        model(DueAnswers::end, DueAnswers::wait);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_wait_that_looks_before_it_sets_the_flag() {
        model(DueAnswers::end, |answers| {
            let is_due = answers.is_due();
            (answers.wait().0, is_due)
        });
    }

    #[test]
    #[ignore = "must fail"]
    fn an_end_that_looks_after_it_counts() {
        let end: End = |answers| {
            answers.word.fetch_sub(1, Ordering::AcqRel);
            let is_last = answers.word.load(Ordering::Acquire) == WAITS;
            is_last.then(|| answers.wait.load(Ordering::Relaxed))
        };
        model(end, DueAnswers::wait);
    }

    #[test]
    #[ignore = "must fail"]
    fn an_end_that_acquires_nothing() {
        let end: End = |answers| {
            let before = answers.word.fetch_sub(1, Ordering::Release);
            (before == WAITS | 1).then(|| answers.wait.load(Ordering::Relaxed))
        };
        model(end, DueAnswers::wait);
    }

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("an_answer_that_ends_relaxed");
        mutation("a_drain_that_looks_relaxed");
        mutation("a_wait_that_looks_before_it_sets_the_flag");
        mutation("an_end_that_looks_after_it_counts");
        mutation("an_end_that_acquires_nothing");
    }
}
