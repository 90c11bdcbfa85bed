//! Gathering: the parts of one answer as they come in, and the threads that owe some.

use super::route::View;
use crate::event::EventId;

/// An answer that waits for what the threads say.
#[derive(Debug)]
pub(super) struct Gathering<P> {
    pub(super) connection: usize,
    pub(super) view: View,
    pub(super) head_only: bool,
    pub(super) gather: Gather<P>,
    pub(super) deadline: EventId,
}

/// Parts of several threads, in their order.
#[derive(Debug)]
pub(super) struct Gather<P> {
    parts: Vec<Option<P>>,
    missing: usize,
}

impl<P> Gather<P> {
    /// Nothing yet, of so many threads.
    pub(super) fn new(threads: usize) -> Self {
        Self { parts: (0..threads).map(|_| None).collect(), missing: threads }
    }

    /// A thread said this, or that it will say nothing; each does so once.
    pub(super) fn hear(&mut self, thread: usize, part: Option<P>) {
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
pub(super) struct Owed {
    by_thread: Vec<usize>,
    max: usize,
}

impl Owed {
    /// Of so many threads, each of which may owe at most `max`.
    pub(super) fn new(threads: usize, max: usize) -> Self {
        Self { by_thread: vec![0; threads], max }
    }

    /// Whether a thread may be asked; then it owes one more.
    pub(super) fn may_ask(&mut self, thread: usize) -> bool {
        let owed = &mut self.by_thread[thread];
        let may = *owed < self.max;
        *owed += usize::from(may);
        may
    }

    /// A thread answered, in time or not.
    pub(super) fn heard(&mut self, thread: usize) {
        self.by_thread[thread] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_the_order_of_the_threads_whoever_comes_first() {
        let mut gather = Gather::new(3);
        gather.hear(2, Some("c"));
        gather.hear(0, Some("a"));
        assert!(!gather.is_complete());
        gather.hear(1, None);
        assert!(gather.is_complete());
        assert_eq!(gather.into_parts(), [Some("a"), None, Some("c")]);
    }

    #[test]
    fn nobody_to_ask_is_complete_at_once() {
        assert!(Gather::<()>::new(0).is_complete());
    }

    #[test]
    fn a_stuck_thread_is_asked_only_so_often_and_again_once_it_answers() {
        let mut owed = Owed::new(2, 2);
        assert_eq!([0, 0, 0, 1].map(|thread| owed.may_ask(thread)), [true, true, false, true]);
        owed.heard(0);
        assert_eq!([0, 0].map(|thread| owed.may_ask(thread)), [true, false]);
    }
}
