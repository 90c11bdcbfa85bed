//! The survey: a server's numbers at one moment, each thread asked for its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::accept::Acceptor;
use super::super::admin::{Question, Source};
use super::super::placement::load::Loads;
use super::super::shard::worker::{Worker, WorkerLeft};
use super::super::stats::{GateStats, ServerStats, ShardStats};
use super::Threads;
use super::thread::Thread;
use crate::base::Remote;

/// Who is asked, and what is known without asking. Cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct Survey {
    acceptor: Option<Remote<Acceptor>>,
    workers: Vec<Remote<Worker>>,
    /// So many of them, the first ones, accept.
    accepting_workers: usize,
    loads: Loads,
    listeners: Vec<String>,
    started: Instant,
    draining: Arc<AtomicBool>,
}

/// What one thread knows.
#[derive(Debug)]
pub(in crate::server) enum Part {
    Acceptor(GateStats),
    Worker(Box<WorkerLeft>),
}

impl Survey {
    /// Of threads that have just started.
    pub(in crate::server) fn of(threads: &Threads, listeners: Vec<String>) -> Self {
        Self {
            acceptor: threads.acceptor.as_ref().map(Thread::remote),
            workers: threads.workers.iter().map(Thread::remote).collect(),
            accepting_workers: threads.accepting_workers,
            loads: threads.loads.clone(),
            listeners,
            started: Instant::now(),
            draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// From now on it says that the server leaves.
    pub(in crate::server) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Workers by their number, then the acceptor.
    fn threads(&self) -> usize {
        self.workers.len() + usize::from(self.acceptor.is_some())
    }

    /// The thread answers from its loop. If its base is gone, the question says so by itself.
    fn ask(&self, thread: usize, question: Question<Part>) {
        let _ = match (self.workers.get(thread), &self.acceptor) {
            (Some(worker), _) => worker.post(move |registry, worker| {
                question.answer(Part::Worker(Box::new(worker.left(registry))));
                worker.mark();
            }),
            (None, Some(acceptor)) => acceptor.post(move |_, acceptor| {
                question.answer(Part::Acceptor(acceptor.gate.stats()));
            }),
            (None, None) => return,
        };
    }

    fn assemble(&self, parts: Vec<Option<Part>>) -> ServerStats {
        let (mut shards, mut gates) = (Vec::new(), Vec::new());
        for (thread, part) in parts.into_iter().enumerate() {
            match part {
                Some(Part::Worker(left)) => {
                    shards.push(left.shard);
                    gates.extend(left.gate);
                }
                Some(Part::Acceptor(gate)) => gates.push(gate),
                None => {
                    if thread < self.workers.len() {
                        shards.push(self.silent(thread));
                    }
                    if thread < self.accepting_workers || thread == self.workers.len() {
                        gates.push(GateStats::default());
                    }
                }
            }
        }
        self.tree(shards, gates)
    }

    /// The numbers of all threads together.
    pub(in crate::server) fn tree(
        &self,
        mut shards: Vec<ShardStats>,
        gates: Vec<GateStats>,
    ) -> ServerStats {
        for shard in &mut shards {
            let of_all = |wakes: fn(&GateStats) -> &Vec<u64>| {
                gates.iter().filter_map(|gate| wakes(gate).get(shard.shard)).sum()
            };
            shard.wakes_sent = of_all(|gate| &gate.wakes_sent);
            shard.wakes_suppressed = of_all(|gate| &gate.wakes_suppressed);
        }
        ServerStats {
            uptime_s: self.started.elapsed().as_secs_f64(),
            draining: self.draining.load(Ordering::Relaxed),
            listeners: self.listeners.clone(),
            shards,
            gates,
        }
    }

    /// What others know of a shard that did not answer.
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

    /// Asks everybody and waits for them, at most so long.
    pub(in crate::server) fn take(&self, patience: Duration) -> ServerStats {
        let (hear, heard) = mpsc::channel();
        for thread in 0..self.threads() {
            let hear = hear.clone();
            let answer = move |thread, part| {
                // Nobody listens any longer than the patience lasts.
                let _ = hear.send((thread, part));
            };
            self.ask(thread, Question::new(thread, Arc::new(answer)));
        }
        drop(hear);
        let deadline = Instant::now() + patience;
        let mut parts: Vec<Option<Part>> = (0..self.threads()).map(|_| None).collect();
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok((thread, part)) = heard.recv_timeout(left()) {
            parts[thread] = part;
        }
        self.assemble(parts)
    }
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

/// The survey as the admin takes it, which may also ask the server to leave.
pub(in crate::server) struct AdminSurvey {
    pub(in crate::server) survey: Survey,
    pub(in crate::server) leave: Box<dyn FnMut() + Send>,
}

impl Source for AdminSurvey {
    type Part = Part;

    fn threads(&self) -> usize {
        self.survey.threads()
    }

    fn ask(&mut self, thread: usize, question: Question<Part>) {
        self.survey.ask(thread, question);
    }

    fn assemble(&mut self, parts: Vec<Option<Part>>) -> ServerStats {
        self.survey.assemble(parts)
    }

    fn drain(&mut self) {
        (self.leave)();
    }
}

impl fmt::Debug for AdminSurvey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.survey.fmt(f)
    }
}
