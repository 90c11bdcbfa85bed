//! Collects an answer: asks every thread for its part.

use std::sync::Arc;

use super::agent;
use super::connection::Phase;
use super::parts::{Form, Parts, PendingAnswer};
use super::server::AdminServer;
use super::source::Source;
use crate::base::Registry;
use crate::event::{EventSpec, Fired, Token};
use crate::server::threads::question::{Answer, Question};

impl<S: Source> AdminServer<S> {
    /// Asks every thread for its part of the answer.
    pub(super) fn collect(&mut self, registry: &mut Registry<Self>, key: usize, form: Form) {
        let number = self.next_answer;
        self.next_answer += 1;
        let timer = EventSpec::timer().token(Token(number));
        let deadline = registry.create(timer, on_collect_deadline);
        registry.add(deadline, Some(self.timeouts.collect)).expect("a timer of our own");
        let threads = self.source.threads();
        let mut parts = Parts::new(threads);
        let answer = self.answers(number);
        for thread in 0..threads {
            if self.unanswered.may_ask(thread) {
                self.source.ask(thread, Question::new(thread, answer.clone()));
            } else {
                parts.receive(thread, None);
            }
        }
        registry.del(self.connections[key].events.readable);
        self.connections[key].phase = Phase::Collecting(number);
        let pending = PendingAnswer { connection: key, form, parts, deadline };
        self.pending_answers.insert(number, pending);
        self.finish_complete(registry, number);
    }

    /// Returns the callback that passes a thread's part to this thread.
    fn answers(&self, number: u64) -> Answer<S::Part> {
        let remote = self.remote.clone();
        Arc::new(move |thread, part| {
            // If the admin is gone, its client is, too.
            let _ = remote.post(move |registry, server: &mut Self| {
                server.receive(registry, number, thread, part);
            });
        })
    }

    fn receive(
        &mut self,
        registry: &mut Registry<Self>,
        number: u64,
        thread: usize,
        part: Option<S::Part>,
    ) {
        self.unanswered.answered(thread);
        if let Some(pending) = self.pending_answers.get_mut(&number) {
            pending.parts.receive(thread, part);
            self.finish_complete(registry, number);
        }
    }

    fn finish_complete(&mut self, registry: &mut Registry<Self>, number: u64) {
        if self.pending_answers.get(&number).is_some_and(|found| found.parts.is_complete()) {
            self.finish(registry, number);
        }
    }

    /// Answers with the parts so far.
    fn finish(&mut self, registry: &mut Registry<Self>, number: u64) {
        let Some(pending) = self.pending_answers.remove(&number) else { return };
        registry.free(pending.deadline);
        let stats = self.source.assemble(pending.parts.into_parts());
        let answer = match pending.form {
            Form::Agent => agent::answer(&stats, self.started_at.elapsed()).into_bytes(),
            Form::Http { view, head_only } => view.of(&stats).into_bytes(head_only),
        };
        self.answer(registry, pending.connection, answer);
    }
}

fn on_collect_deadline<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    server.finish(registry, fired.token.0);
}
