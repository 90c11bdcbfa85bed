//! Collects the statistics of a server: each thread copies its own counters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::Threads;
use super::question::Question;
use crate::base::Remote;
use crate::server::accept::AcceptorThread;
use crate::server::failure::Failures;
use crate::server::memory::MemoryLimit;
use crate::server::placement::load::Loads;
use crate::server::shard::worker::{Worker, WorkerResults};
use crate::server::source_limit::SourceLimit;
use crate::server::stats::{AcceptorStats, ServerStats, ShardStats};
use crate::server::thread::Thread;

/// Collects from the threads. Cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct StatsCollector {
    acceptor: Option<Remote<AcceptorThread>>,
    workers: Vec<Remote<Worker>>,
    /// How many workers accept; they are the first ones.
    accepting_workers: usize,
    loads: Loads,
    memory: Arc<MemoryLimit>,
    sources: Option<Arc<SourceLimit>>,
    listeners: Vec<String>,
    started: Instant,
    draining: Arc<AtomicBool>,
    failures: Failures,
}

/// The counters of one thread.
#[derive(Debug)]
pub(in crate::server) enum ThreadStats {
    AcceptorThread(AcceptorStats),
    Worker(Box<WorkerResults>),
}

impl StatsCollector {
    /// A collector of threads that have just started.
    pub(in crate::server) fn of(
        threads: &Threads,
        listeners: Vec<String>,
        failures: Failures,
    ) -> Self {
        Self {
            acceptor: threads.acceptor.as_ref().map(Thread::remote),
            workers: threads.workers.iter().map(Thread::remote).collect(),
            accepting_workers: threads.accepting_workers,
            loads: threads.loads.clone(),
            memory: threads.memory.clone(),
            sources: threads.sources.clone(),
            listeners,
            started: Instant::now(),
            draining: Arc::new(AtomicBool::new(false)),
            failures,
        }
    }

    /// From now on the statistics report draining.
    pub(in crate::server) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The number of threads: workers by index, then the acceptor thread.
    pub(in crate::server) fn threads(&self) -> usize {
        self.workers.len() + usize::from(self.acceptor.is_some())
    }

    /// The thread answers from its loop. If its base is gone, the dropped question reports that.
    pub(in crate::server) fn ask(&self, thread: usize, question: Question<ThreadStats>) {
        let _ = match (self.workers.get(thread), &self.acceptor) {
            (Some(worker), _) => worker.post(move |registry, worker| {
                question.answer(ThreadStats::Worker(Box::new(worker.results(registry))));
                worker.mark();
            }),
            (None, Some(acceptor)) => acceptor.post(move |_, acceptor| {
                question.answer(ThreadStats::AcceptorThread(acceptor.acceptor.stats()));
            }),
            (None, None) => return,
        };
    }

    pub(in crate::server) fn assemble(&self, parts: Vec<Option<ThreadStats>>) -> ServerStats {
        let (mut shards, mut acceptors) = (Vec::new(), Vec::new());
        for (thread, part) in parts.into_iter().enumerate() {
            match part {
                Some(ThreadStats::Worker(results)) => {
                    shards.push(results.shard);
                    acceptors.extend(results.acceptor);
                }
                Some(ThreadStats::AcceptorThread(acceptor)) => acceptors.push(acceptor),
                None => {
                    if thread < self.workers.len() {
                        shards.push(self.silent(thread));
                    }
                    if thread < self.accepting_workers || thread == self.workers.len() {
                        acceptors.push(AcceptorStats::default());
                    }
                }
            }
        }
        self.server_stats(shards, acceptors)
    }

    /// The statistics of all threads together.
    pub(in crate::server) fn server_stats(
        &self,
        mut shards: Vec<ShardStats>,
        acceptors: Vec<AcceptorStats>,
    ) -> ServerStats {
        for shard in &mut shards {
            let of_all = |wakes: fn(&AcceptorStats) -> &Vec<u64>| {
                acceptors.iter().filter_map(|acceptor| wakes(acceptor).get(shard.shard)).sum()
            };
            shard.wakes_sent = of_all(|acceptor| &acceptor.wakes_sent);
            shard.wakes_suppressed = of_all(|acceptor| &acceptor.wakes_suppressed);
        }
        ServerStats {
            uptime_s: self.started.elapsed().as_secs_f64(),
            draining: self.draining.load(Ordering::Relaxed),
            failed: self.failures.first().map(|failure| failure.to_string()),
            listeners: self.listeners.clone(),
            buffer_bytes: self.memory.held() as u64,
            buffer_limit_bytes: self.memory.max() as u64,
            sources: self.sources.as_ref().map_or(0, |limit| limit.sources() as u64),
            shards,
            acceptors,
        }
    }

    /// What is known about a shard that did not answer.
    fn silent(&self, shard: usize) -> ShardStats {
        let load = &self.loads[shard];
        ShardStats {
            shard,
            open: load.connections() as u64,
            queued: load.queued() as u64,
            queued_max: load.queued_max() as u64,
            busy: f64::from(load.busy_permille()) / 1000.0,
            ..ShardStats::default()
        }
    }

    /// Asks all threads and waits for their answers until the timeout.
    pub(in crate::server) fn collect(&self, timeout: Duration) -> ServerStats {
        let (sender, receiver) = mpsc::channel();
        for thread in 0..self.threads() {
            let sender = sender.clone();
            let answer = move |thread, part| {
                // After the timeout there is no receiver.
                let _ = sender.send((thread, part));
            };
            self.ask(thread, Question::new(thread, Arc::new(answer)));
        }
        drop(sender);
        let deadline = Instant::now() + timeout;
        let mut parts: Vec<Option<ThreadStats>> = (0..self.threads()).map(|_| None).collect();
        let remaining = || deadline.saturating_duration_since(Instant::now());
        while let Ok((thread, part)) = receiver.recv_timeout(remaining()) {
            parts[thread] = part;
        }
        self.assemble(parts)
    }
}

impl fmt::Debug for StatsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsCollector").field("threads", &self.threads()).finish_non_exhaustive()
    }
}
