//! `POST /reload`: the program reads its configuration again, on a thread of its own, and answers.

use std::fmt;
use std::sync::Arc;

use super::connection::Phase;
use super::route::reloaded;
use super::server::AdminServer;
use super::source::Source;
use crate::base::Registry;
use crate::server::threads::question::{Answer, Question};

/// What the program answers: what has changed, or why nothing has.
type Reloaded = Result<String, String>;

/// What the program does with a request. Called by the thread of the admin.
pub(in crate::server) struct ReloadCallback(pub(in crate::server) Box<DynCallback>);

type DynCallback = dyn FnMut(ReloadRequest) + Send;

impl fmt::Debug for ReloadCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadCallback").finish_non_exhaustive()
    }
}

/// An operator asks the program to reload its configuration. If it is dropped, the operator reads
/// that the server ends.
#[derive(Debug)]
pub struct ReloadRequest(Question<Reloaded>);

impl ReloadRequest {
    /// Answers, on any thread, with lines about what has changed, or why nothing has.
    pub fn answer(self, reloaded: Result<String, String>) {
        self.0.answer(reloaded);
    }
}

impl<S: Source> AdminServer<S> {
    /// Passes the request on to the program. The deadline of the connection is that of the answer.
    pub(super) fn reload(&mut self, registry: &mut Registry<Self>, key: usize) {
        let number = self.next_answer;
        self.next_answer += 1;
        registry.del(self.connections[key].events.readable);
        self.connections[key].phase = Phase::Reloading(number);
        let remote = self.remote.clone();
        let answer: Answer<Reloaded> = Arc::new(move |_, reloaded| {
            // If the admin is gone, its client is, too.
            let _ = remote.post(move |registry, server: &mut Self| {
                server.finish_reload(registry, number, reloaded);
            });
        });
        self.source.reload(ReloadRequest(Question::new(0, answer)));
    }

    /// Answers the connection that asked, unless it has ended.
    fn finish_reload(
        &mut self,
        registry: &mut Registry<Self>,
        number: u64,
        answer: Option<Reloaded>,
    ) {
        let mut connections = self.connections.iter();
        let asked = connections.find(|(_, open)| open.phase == Phase::Reloading(number));
        if let Some((key, _)) = asked {
            self.answer(registry, key, reloaded(answer).into_bytes(false));
        }
    }
}
