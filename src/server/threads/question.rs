//! A question to one thread of the server, which the thread answers once.

use std::fmt;
use std::sync::Arc;

/// A question that one thread answers once. If it is dropped, it reports that there will be no
/// answer. So a closure that never runs, because its base is gone, is not waited for.
pub(in crate::server) struct Question<P> {
    thread: usize,
    answer: Option<Answer<P>>,
}

/// Receives a thread's index and its part.
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
        let (sender, answers) = channel();
        let answer: Answer<&str> = Arc::new(move |thread, part| {
            sender.send((thread, part)).unwrap();
        });
        Question::new(3, answer.clone()).answer("here");
        drop(Question::new(4, answer));
        assert_eq!(answers.iter().collect::<Vec<_>>(), [(3, Some("here")), (4, None)]);
    }
}
