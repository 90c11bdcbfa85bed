//! The loading threads of this process: they connect, get the starting signal, report, and end.

use std::panic;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use super::address::Address;
use super::pacing::{self, Pacer};
use super::plan::{Plan, Share};
use super::reporter::{Reporter, ThreadMessage};
use super::sockets::Sockets;
use super::worker::{Finished, Worker};
use crate::clock::{Clock, nanoseconds};
use crate::error::Error;
use crate::latency::Latencies;
use crate::schedule::Window;

/// Longest wait for a message. Between two of them the caller may show how far the run is.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The starting signal, with the channels for intervals and for emptied histograms.
struct Start {
    window: Window,
    reporter: Reporter,
}

type Handle<'scope> = ScopedJoinHandle<'scope, Result<Option<Finished>, Error>>;

/// The loading threads, as their starter holds them.
pub(super) struct Threads<'scope> {
    handles: Vec<Handle<'scope>>,
    /// One starting signal per thread.
    starters: Vec<Sender<Start>>,
    sender: Sender<ThreadMessage>,
    messages: Receiver<ThreadMessage>,
}

impl<'scope> Threads<'scope> {
    /// Starts all threads, which begin to connect.
    pub(super) fn spawn<'env: 'scope>(
        scope: &'scope thread::Scope<'scope, 'env>,
        plan: &'scope Plan<'env>,
        address: &Address,
        clock: Clock,
    ) -> Result<Self, Error> {
        let (sender, messages) = mpsc::channel();
        let mut threads = Self { handles: Vec::new(), starters: Vec::new(), sender, messages };
        for share in plan.shares() {
            let (starter, start) = mpsc::channel();
            let sender = threads.sender.clone();
            let address = address.clone();
            let spawned = thread::Builder::new()
                .name(format!("load-{}", share.thread))
                .spawn_scoped(scope, move || work(plan, share, address, clock, &sender, &start));
            let handle = spawned.map_err(|error| {
                plan.abandoned.store(true, Ordering::Relaxed);
                Error::Start(error)
            })?;
            threads.handles.push(handle);
            threads.starters.push(starter);
        }
        Ok(threads)
    }

    /// Waits until all are connected, and calls `waiting` now and then. If one fails, all end.
    pub(super) fn connected(
        self,
        plan: &Plan<'_>,
        mut waiting: impl FnMut(),
    ) -> Result<Self, Error> {
        let mut connecting = self.handles.len();
        while connecting > 0 {
            match self.messages.recv_timeout(PROGRESS_INTERVAL) {
                Ok(ThreadMessage::Connected) => connecting -= 1,
                Ok(ThreadMessage::ConnectFailed | ThreadMessage::Interval(_))
                | Err(RecvTimeoutError::Disconnected) => return Err(self.give_up(plan)),
                Err(RecvTimeoutError::Timeout) => waiting(),
            }
        }
        Ok(self)
    }

    /// Ends all threads before the load; why it could not begin.
    pub(super) fn give_up(mut self, plan: &Plan<'_>) -> Error {
        plan.abandoned.store(true, Ordering::Relaxed);
        // Without the signal the threads end, those that failed with their error.
        self.starters.clear();
        self.join().err().unwrap_or(Error::Interrupted)
    }

    /// Gives the starting signal. Returns where the emptied histograms of each thread go.
    pub(super) fn start(&mut self, plan: &Plan<'_>, window: Window) -> Vec<Sender<Box<Latencies>>> {
        let interval_ns = nanoseconds(plan.options.interval);
        let mut histogram_senders = Vec::new();
        for (thread, starter) in self.starters.drain(..).enumerate() {
            let (histogram_sender, empty_histograms) = mpsc::channel();
            // The thread fills one set while the collector has the other. Allocating the second
            // set here delays no request.
            let _ = histogram_sender.send(Box::new(Latencies::new()));
            let sender = self.sender.clone();
            let reporter = Reporter::new(thread, sender, empty_histograms, window, interval_ns);
            histogram_senders.push(histogram_sender);
            // Sending fails if the thread has ended. Joining it returns the error.
            let _ = starter.send(Start { window, reporter });
        }
        // The channel closes when the threads' own ends of it are gone.
        self.sender = mpsc::channel().0;
        histogram_senders
    }

    /// The next message; an error if none came for a while, or if all threads have ended.
    pub(super) fn next(&self) -> Result<ThreadMessage, RecvTimeoutError> {
        self.messages.recv_timeout(PROGRESS_INTERVAL)
    }

    /// Waits for the end of all threads.
    pub(super) fn join(self) -> Result<Vec<Finished>, Error> {
        let mut finished = Vec::with_capacity(self.handles.len());
        for handle in self.handles {
            let left = handle.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            finished.extend(left?);
        }
        Ok(finished)
    }
}

/// One loading thread: connects, waits for the starting signal, loads the server. `None` if no
/// signal came.
fn work(
    plan: &Plan<'_>,
    share: Share,
    address: Address,
    clock: Clock,
    sender: &Sender<ThreadMessage>,
    start: &Receiver<Start>,
) -> Result<Option<Finished>, Error> {
    let prepared = prepare(plan, share, address, clock);
    // Sending fails only when the starter has given up; then no starting signal comes either.
    let message =
        if prepared.is_ok() { ThreadMessage::Connected } else { ThreadMessage::ConnectFailed };
    let _ = sender.send(message);
    let worker = prepared?;
    let Ok(Start { window, mut reporter }) = start.recv() else {
        return Ok(None);
    };
    // A window that begins later is that of several processes, which begin together.
    if let Some(wait_ns) = window.start_ns.checked_sub(clock.now_ns()) {
        thread::sleep(Duration::from_nanos(wait_ns));
    }
    worker.load(window, &mut reporter).map(Some)
}

fn prepare<'a, 'run>(
    plan: &'a Plan<'run>,
    share: Share,
    address: Address,
    clock: Clock,
) -> Result<Worker<'a, 'run, Sockets>, Error> {
    let options = plan.options;
    if let Some(cpu) = options.pins.as_ref().map(|pins| pins.of(share.thread)) {
        pacing::pin(cpu).map_err(|source| Error::Pin { cpu, source })?;
    }
    let pacer = Pacer::new(options.pacing);
    let sockets = Sockets::new(address, options.sources.clone(), clock, pacer);
    let mut worker = Worker::new(plan, share, sockets.map_err(Error::Poll)?);
    worker.connect_all()?;
    Ok(worker)
}
