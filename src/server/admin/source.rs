//! The source of the admin's statistics: threads that each answer for their part.

use std::fmt;

use super::reload::{ReloadCallback, ReloadRequest};
use crate::server::stats::ServerStats;
use crate::server::threads::collect_stats::{StatsCollector, ThreadStats};
use crate::server::threads::question::Question;

/// The threads of a server, as the admin sees them. All calls come from the admin's thread.
pub(in crate::server) trait Source: fmt::Debug + Send + 'static {
    /// What one thread reports: a copy of its counters.
    type Part: fmt::Debug + Send + 'static;

    /// The number of threads; constant.
    fn threads(&self) -> usize;

    /// Asks a thread by a posted closure, which the thread runs in its own time. If the thread is
    /// gone, the question may be dropped.
    fn ask(&mut self, thread: usize, question: Question<Self::Part>);

    /// Builds the statistics from the parts; `None` for a thread that did not answer in time.
    fn assemble(&mut self, parts: Vec<Option<Self::Part>>) -> ServerStats;

    /// Starts the shutdown and does not wait for it. May be called again.
    fn drain(&mut self);

    /// Passes the request on to the program, which answers in its own time.
    fn reload(&mut self, request: ReloadRequest);
}

/// The source of the admin: the collector, and what the program does for it.
pub(in crate::server) struct AdminSource {
    pub(in crate::server) collector: StatsCollector,
    pub(in crate::server) start_drain: Box<dyn FnMut() + Send>,
    /// `None` if the program reloads no configuration.
    pub(in crate::server) reload: Option<ReloadCallback>,
}

impl Source for AdminSource {
    type Part = ThreadStats;

    fn threads(&self) -> usize {
        self.collector.threads()
    }

    fn ask(&mut self, thread: usize, question: Question<ThreadStats>) {
        self.collector.ask(thread, question);
    }

    fn assemble(&mut self, parts: Vec<Option<ThreadStats>>) -> ServerStats {
        self.collector.assemble(parts)
    }

    fn drain(&mut self) {
        (self.start_drain)();
    }

    fn reload(&mut self, request: ReloadRequest) {
        match &mut self.reload {
            Some(ReloadCallback(reload)) => reload(request),
            None => request.answer(Err(
                "this server was started without a configuration file and certificates\n"
                    .to_owned(),
            )),
        }
    }
}

impl fmt::Debug for AdminSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.collector.fmt(f)
    }
}
