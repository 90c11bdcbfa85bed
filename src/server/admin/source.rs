//! The source of the admin's numbers: threads that are asked, each for its part.

use std::fmt;
use std::sync::Arc;

use super::super::stats::ServerStats;

/// The threads of a server, as the admin sees them. All calls come from the admin's thread.
pub(in crate::server) trait Source: fmt::Debug + Send + 'static {
    /// What one thread knows: a copy of its counters.
    type Part: fmt::Debug + Send + 'static;

    /// How many threads there are; never changes.
    fn threads(&self) -> usize;

    /// Has a thread answer a question, soon and on its own time: by a posted closure. It may
    /// drop the question if the thread is gone.
    fn ask(&mut self, thread: usize, question: Question<Self::Part>);

    /// Makes one tree of what the threads said; `None` for those that did not in time.
    fn assemble(&mut self, parts: Vec<Option<Self::Part>>) -> ServerStats;

    /// Has the server begin to leave, and does not wait for it. May be called again.
    fn drain(&mut self);
}

/// A question that one thread answers once. Dropped without an answer, it says that there will
/// be none: a closure that is never run because its base is gone need not be waited for.
pub(in crate::server) struct Question<P> {
    thread: usize,
    answer: Option<Answer<P>>,
}

/// Takes a thread's number and what it said.
pub(in crate::server) type Answer<P> = Arc<dyn Fn(usize, Option<P>) + Send + Sync>;

impl<P> Question<P> {
    pub(in crate::server) fn new(thread: usize, answer: Answer<P>) -> Self {
        Self { thread, answer: Some(answer) }
    }

    /// Answers, on any thread.
    pub(in crate::server) fn answer(mut self, part: P) {
        self.deliver(Some(part));
    }

    fn deliver(&mut self, part: Option<P>) {
        if let Some(answer) = self.answer.take() {
            answer(self.thread, part);
        }
    }
}

impl<P> Drop for Question<P> {
    fn drop(&mut self) {
        self.deliver(None);
    }
}

impl<P> fmt::Debug for Question<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("thread", &self.thread).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_question_is_answered_once_or_dropped_once() {
        let (sender, told) = channel();
        let answer: Answer<&str> = Arc::new(move |thread, part| {
            sender.send((thread, part)).unwrap();
        });
        Question::new(3, answer.clone()).answer("here");
        drop(Question::new(4, answer));
        assert_eq!(told.iter().collect::<Vec<_>>(), [(3, Some("here")), (4, None)]);
    }
}
