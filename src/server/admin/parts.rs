//! PendingAnswer: the parts of one answer as they come in, and the threads that owe some.

use super::route::View;
use crate::event::EventId;

/// An answer that waits for what the threads say.
#[derive(Debug)]
pub(super) struct PendingAnswer<P> {
    pub(super) connection: usize,
    pub(super) view: View,
    pub(super) head_only: bool,
    pub(super) parts: Parts<P>,
    pub(super) deadline: EventId,
}

/// Parts of several threads, in their order.
#[derive(Debug)]
pub(super) struct Parts<P> {
    parts: Vec<Option<P>>,
    missing: usize,
}

impl<P> Parts<P> {
    /// Nothing yet, of so many threads.
    pub(super) fn new(threads: usize) -> Self {
        Self { parts: (0..threads).map(|_| None).collect(), missing: threads }
    }

    /// A thread said this, or that it will say nothing; each does so once.
    pub(super) fn receive(&mut self, thread: usize, part: Option<P>) {
        self.parts[thread] = part;
        self.missing -= 1;
    }

    /// Whether every thread was heard.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// What was heard until now.
    pub(super) fn into_parts(self) -> Vec<Option<P>> {
        self.parts
    }
}

/// How many answers each thread owes. One that is stuck is not asked for ever: what it was asked
/// waits in its queue.
#[derive(Debug)]
pub(super) struct Unanswered {
    by_thread: Vec<usize>,
    max: usize,
}

impl Unanswered {
    /// Of so many threads, each of which may owe at most `max`.
    pub(super) fn new(threads: usize, max: usize) -> Self {
        Self { by_thread: vec![0; threads], max }
    }

    /// Whether a thread may be asked; then it owes one more.
    pub(super) fn may_ask(&mut self, thread: usize) -> bool {
        let unanswered = &mut self.by_thread[thread];
        let may = *unanswered < self.max;
        *unanswered += usize::from(may);
        may
    }

    /// A thread answered, in time or not.
    pub(super) fn answered(&mut self, thread: usize) {
        self.by_thread[thread] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_the_order_of_the_threads_whoever_comes_first() {
        let mut parts = Parts::new(3);
        parts.receive(2, Some("c"));
        parts.receive(0, Some("a"));
        assert!(!parts.is_complete());
        parts.receive(1, None);
        assert!(parts.is_complete());
        assert_eq!(parts.into_parts(), [Some("a"), None, Some("c")]);
    }

    #[test]
    fn nobody_to_ask_is_complete_at_once() {
        assert!(Parts::<()>::new(0).is_complete());
    }

    #[test]
    fn a_stuck_thread_is_asked_only_so_often_and_again_once_it_answers() {
        let mut unanswered = Unanswered::new(2, 2);
        assert_eq!(
            [0, 0, 0, 1].map(|thread| unanswered.may_ask(thread)),
            [true, true, false, true]
        );
        unanswered.answered(0);
        assert_eq!([0, 0].map(|thread| unanswered.may_ask(thread)), [true, false]);
    }
}
