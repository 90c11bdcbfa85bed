//! One run from start to end: threads, the starting signal, the merge, the verdict on the counts.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::clock::{Clock, seconds};
use crate::engine::progress::{Board, Progress};
use crate::engine::recorder::Recorder;
use crate::engine::target;
use crate::engine::worker::{self, Context, Finished, News, Share};
use crate::environment::Environment;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::latency::Latency;
use crate::options::Options;
use crate::record::{LatenciesRecord, RateRecord, RunRecord, SCHEMA, ThreadRecord};
use crate::schedule::Window;
use crate::wire::payload::Payload;

/// Time between two updates of the live line.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// What a run has found out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The numbers.
    pub(crate) record: RunRecord,
    /// The whole distribution behind the record's service times.
    pub(crate) service: Latency,
    /// Seconds after which no connection was left, if that was before the end.
    pub(crate) ended_early_s: Option<f64>,
    /// The text of the first error counted as "other".
    pub(crate) first_other_error: Option<String>,
}

impl Outcome {
    /// The exit code of a program that ends with this outcome.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.record.interrupted {
            exit::INTERRUPTED
        } else if self.record.counters.has_errors() || self.record.counters.measured == 0 {
            exit::FAILED
        } else {
            exit::OK
        }
    }
}

/// Loads the server as planned and returns what came of it.
pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> Result<Outcome, Error> {
    let environment = Environment::capture();
    let context = Context {
        options,
        address: target::resolve(&options.target, options.timeout)?,
        payload: Payload::new(options.seed),
        clock: Clock::start(),
        interrupt,
        abandoned: AtomicBool::new(false),
        board: Board::new(options.threads),
    };
    let mut progress = Progress::new(options.progress);
    let result = thread::scope(|scope| {
        let crew = Crew::muster(scope, &context)?;
        crew.conduct(&context, &mut progress)
    });
    progress.clear();
    let (window, finished) = result?;
    conclude(options, environment, window, finished, interrupt.asked())
}

/// Spreads the connections over the threads; shares differ by at most one.
fn shares(connections: u32, threads: u32) -> Vec<Share> {
    let (each, rest) = (connections / threads, connections % threads);
    let mut first_connection = 0;
    (0..threads)
        .map(|thread| {
            let share = Share {
                thread: thread as usize,
                first_connection,
                connections: each + u32::from(thread < rest),
            };
            first_connection += share.connections;
            share
        })
        .collect()
}

type Handle<'scope> = ScopedJoinHandle<'scope, Result<Option<Finished>, Error>>;

/// The loading threads, seen from the one that started them.
struct Crew<'scope> {
    handles: Vec<Handle<'scope>>,
    /// One starting signal per thread.
    starters: Vec<Sender<Window>>,
    news: Receiver<News>,
}

impl<'scope> Crew<'scope> {
    /// Starts all threads, which begin to connect.
    fn muster<'env: 'scope>(
        scope: &'scope thread::Scope<'scope, 'env>,
        context: &'scope Context<'env>,
    ) -> Result<Self, Error> {
        let (messenger, news) = mpsc::channel();
        let mut crew = Self { handles: Vec::new(), starters: Vec::new(), news };
        for share in shares(context.options.connections, context.options.threads) {
            let (starter, start) = mpsc::channel();
            let messenger = messenger.clone();
            let spawned = thread::Builder::new()
                .name(format!("load-{}", share.thread))
                .spawn_scoped(scope, move || worker::work(context, share, &messenger, &start));
            let handle = spawned.map_err(|error| {
                context.abandoned.store(true, Ordering::Relaxed);
                Error::Start(error)
            })?;
            crew.handles.push(handle);
            crew.starters.push(starter);
        }
        Ok(crew)
    }

    /// Waits for the connections, gives the starting signal, collects the results.
    fn conduct(
        mut self,
        context: &Context<'_>,
        progress: &mut Progress,
    ) -> Result<(Window, Vec<Finished>), Error> {
        if !self.everyone_connected(context, progress) {
            context.abandoned.store(true, Ordering::Relaxed);
        }
        let options = context.options;
        let window = Window::new(context.clock.now_ns(), options.warmup, options.duration);
        for starter in self.starters.drain(..) {
            if !context.abandoned.load(Ordering::Relaxed) {
                // A thread that is gone says why when it is joined.
                let _ = starter.send(window);
            }
        }
        while let Err(RecvTimeoutError::Timeout) = self.news.recv_timeout(PROGRESS_INTERVAL) {
            progress.show_load(&context.board, &window, context.clock.now_ns());
        }
        Ok((window, self.join()?))
    }

    fn everyone_connected(&self, context: &Context<'_>, progress: &Progress) -> bool {
        let mut connecting = self.handles.len();
        while connecting > 0 {
            match self.news.recv_timeout(PROGRESS_INTERVAL) {
                Ok(News::Connected) => connecting -= 1,
                Ok(News::ConnectFailed) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    progress.show_connecting(&context.board, context.options.connections);
                }
            }
        }
        true
    }

    fn join(self) -> Result<Vec<Finished>, Error> {
        let mut finished = Vec::with_capacity(self.handles.len());
        for handle in self.handles {
            let left = handle.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            finished.extend(left?);
        }
        Ok(finished)
    }
}

/// Merges what the threads have left behind and checks that no request is unaccounted for.
fn conclude(
    options: &Options,
    env: Environment,
    window: Window,
    finished: Vec<Finished>,
    interrupted: bool,
) -> Result<Outcome, Error> {
    let threads = finished.iter().map(ThreadRecord::from).collect();
    let stops = finished.iter().map(|thread| thread.stopped_ns);
    let stopped_ns = stops.max().unwrap_or(window.start_ns);
    let mut connect = Latency::new();
    let mut all = Recorder::new(window);
    for thread in finished {
        connect.merge(&thread.connect);
        all.merge(thread.recorder);
    }
    let counters = all.counters();
    if !counters.conserved() {
        return Err(Error::NotConserved {
            sent: counters.sent,
            completed: counters.completed,
            failed: counters.failed,
            censored: counters.censored,
        });
    }
    let measured_ns = stopped_ns.min(window.end_ns).saturating_sub(window.measure_from_ns);
    let size_bytes = options.size_bytes;
    let ended_early = !interrupted && stopped_ns < window.end_ns;
    Ok(Outcome {
        record: RunRecord {
            schema: SCHEMA,
            args: options.into(),
            env,
            rate: RateRecord::closed_loop(counters.measured, size_bytes, seconds(measured_ns)),
            latency_ns: LatenciesRecord {
                service: all.service().into(),
                connect: (&connect).into(),
            },
            counters,
            threads,
            first_mismatch: all.first_mismatch().cloned(),
            interrupted,
        },
        service: all.service().clone(),
        ended_early_s: ended_early.then(|| seconds(stopped_ns - window.start_ns)),
        first_other_error: all.first_other_error().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly_and_numbered_without_gaps() {
        for (connections, threads) in [(1, 1), (7, 3), (64, 5), (1_000, 7), (4, 4)] {
            let shares = shares(connections, threads);
            let counts = || shares.iter().map(|share| share.connections);
            assert_eq!(counts().sum::<u32>(), connections);
            assert!(counts().max().unwrap() - counts().min().unwrap() <= 1);
            let mut next = 0;
            for share in &shares {
                assert_eq!(share.first_connection, next);
                next += share.connections;
            }
        }
    }
}
