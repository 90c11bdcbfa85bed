//! Asking: every thread for its part of an answer, and what is done as they come in.

use std::sync::Arc;

use super::connection::Phase;
use super::parts::{Gather, Gathering};
use super::route::View;
use super::server::AdminServer;
use super::source::{Answer, Question, Source};
use crate::base::Registry;
use crate::event::{EventSpec, Fired, Token};

impl<S: Source> AdminServer<S> {
    /// Asks every thread for its part of the answer.
    pub(super) fn gather(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        view: View,
        head_only: bool,
    ) {
        let number = self.next_gathering;
        self.next_gathering += 1;
        let timer = EventSpec::timer().token(Token(number));
        let deadline = registry.create(timer, on_gather_deadline);
        registry.add(deadline, Some(self.patience.gather)).expect("a timer of our own");
        let threads = self.source.threads();
        let mut gather = Gather::new(threads);
        let answer = self.answers(number);
        for thread in 0..threads {
            if self.owed.may_ask(thread) {
                self.source.ask(thread, Question::new(thread, answer.clone()));
            } else {
                gather.hear(thread, None);
            }
        }
        registry.del(self.connections[key].events.readable);
        self.connections[key].phase = Phase::Gathering(number);
        let gathering = Gathering { connection: key, view, head_only, gather, deadline };
        self.gatherings.insert(number, gathering);
        self.finish_complete(registry, number);
    }

    /// Brings what a thread says to this one.
    fn answers(&self, number: u64) -> Answer<S::Part> {
        let remote = self.remote.clone();
        Arc::new(move |thread, part| {
            // If the admin is gone, so is who asked.
            let _ = remote.post(move |registry, server: &mut Self| {
                server.hear(registry, number, thread, part);
            });
        })
    }

    fn hear(
        &mut self,
        registry: &mut Registry<Self>,
        number: u64,
        thread: usize,
        part: Option<S::Part>,
    ) {
        self.owed.heard(thread);
        if let Some(gathering) = self.gatherings.get_mut(&number) {
            gathering.gather.hear(thread, part);
            self.finish_complete(registry, number);
        }
    }

    fn finish_complete(&mut self, registry: &mut Registry<Self>, number: u64) {
        if self.gatherings.get(&number).is_some_and(|found| found.gather.is_complete()) {
            self.finish(registry, number);
        }
    }

    /// Answers with what was heard until now.
    fn finish(&mut self, registry: &mut Registry<Self>, number: u64) {
        let Some(gathering) = self.gatherings.remove(&number) else { return };
        registry.free(gathering.deadline);
        let stats = self.source.assemble(gathering.gather.into_parts());
        let response = gathering.view.of(&stats);
        self.answer(registry, gathering.connection, response, gathering.head_only);
    }
}

fn on_gather_deadline<S: Source>(
    registry: &mut Registry<AdminServer<S>>,
    server: &mut AdminServer<S>,
    fired: Fired,
) {
    server.finish(registry, fired.token.0);
}
