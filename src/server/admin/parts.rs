//! The parts of one response as they arrive, and the threads that have not answered.

use super::route::View;
use crate::event::EventId;

/// The form in which a client gets the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Http {
        view: View,
        head_only: bool,
    },
    /// The line for a load balancer.
    Agent,
}

/// A response that waits for the threads.
#[derive(Debug)]
pub(super) struct PendingAnswer<P> {
    pub(super) connection: usize,
    pub(super) form: Form,
    pub(super) parts: Parts<P>,
    pub(super) deadline: EventId,
}

/// The parts of several threads, in their order.
#[derive(Debug)]
pub(super) struct Parts<P> {
    parts: Vec<Option<P>>,
    missing: usize,
}

impl<P> Parts<P> {
    /// No part yet, of this many threads.
    pub(super) fn new(threads: usize) -> Self {
        Self { parts: (0..threads).map(|_| None).collect(), missing: threads }
    }

    /// A thread sent its part, or reported that it will send none. Each does so once.
    pub(super) fn receive(&mut self, thread: usize, part: Option<P>) {
        self.parts[thread] = part;
        self.missing -= 1;
    }

    /// Whether every thread has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The parts so far.
    pub(super) fn into_parts(self) -> Vec<Option<P>> {
        self.parts
    }
}

/// How many questions each thread has not answered. A stuck thread is not asked for ever, because
/// its questions wait in its queue.
#[derive(Debug)]
pub(super) struct Unanswered {
    by_thread: Vec<usize>,
    max: usize,
}

impl Unanswered {
    /// For this many threads, each with at most `max` unanswered questions.
    pub(super) fn new(threads: usize, max: usize) -> Self {
        Self { by_thread: vec![0; threads], max }
    }

    /// Whether a thread may be asked; if so, counts the question.
    pub(super) fn may_ask(&mut self, thread: usize) -> bool {
        let count = &mut self.by_thread[thread];
        let may = *count < self.max;
        *count += usize::from(may);
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
    fn parts_are_in_the_order_of_the_threads_whichever_comes_first() {
        let mut parts = Parts::new(3);
        parts.receive(2, Some("c"));
        parts.receive(0, Some("a"));
        assert!(!parts.is_complete());
        parts.receive(1, None);
        assert!(parts.is_complete());
        assert_eq!(parts.into_parts(), [Some("a"), None, Some("c")]);
    }

    #[test]
    fn no_thread_to_ask_is_complete_at_once() {
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
