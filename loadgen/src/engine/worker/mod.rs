//! One thread of load: its connections and the loop between them.
//!
//! ```text
//! connect ─▶ report it, wait for the starting signal ─▶ load until the end ─▶ drain
//! ```
//!
//! A request touches no data of another thread, except a progress counter that only this thread
//! writes.

mod connecting;
mod deadlines;

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::engine::connection::{Connection, StreamState, Tools};
use crate::engine::dialer::Dialer;
use crate::engine::due_requests::DueRequests;
use crate::engine::network::{Interest, Network, Ready, Token};
use crate::engine::plan::{Plan, Share};
use crate::engine::recorder::{Recorded, Recorder};
use crate::engine::reporter::Reporter;
use crate::engine::send_queue::SendQueue;
use crate::engine::stalls::HEARTBEAT_NS;
use crate::engine::usage::Usage;
use crate::error::Error;
use crate::schedule::Window;
use crate::wire::SLICE_BYTES_MAX;

/// Maximum number of connections that send their first request between two waits for replies.
/// Without this bound, the first replies of a large run would wait until the last connection has
/// sent its first request.
const FIRST_SENDS_PER_WAKE_MAX: u32 = 32;

/// How often within the timeout all connections are checked for it ...
const SWEEPS_PER_TIMEOUT: u64 = 10;
/// ... but at most this often, so that checking costs nothing,
const SWEEP_INTERVAL_NS_MIN: u64 = 1_000_000;
/// and at least this often: a wait ends at the next sweep, where the thread checks for signals.
const SWEEP_INTERVAL_NS_MAX: u64 = 100_000_000;

/// A sweep that is late by the timeout divided by this means that the thread could not run.
const LATE_SWEEP_TIMEOUT_DIVISOR: u64 = 4;

/// How long an interrupted run waits for outstanding replies.
const INTERRUPTED_DRAIN_NS_MAX: u64 = 500_000_000;

/// Wait before another attempt to connect: doubled with each failure in a row, up to the longest.
const REDIAL_NS_MIN: u64 = 10_000_000;
const REDIAL_NS_MAX: u64 = 1_000_000_000;
/// The first of these waits if a backlog is full: it may be for a moment only.
const REPEAT_NS_MIN: u64 = 1_000_000;

/// Up to so many unsent requests of a thread are counted one by one at the end, which takes some
/// tenths of a second.
pub(crate) const UNSENT_LISTED_MAX: u64 = 1 << 22;

/// Part of the seed that staggers the lifetimes.
const LIFETIMES: u64 = 4 << 40;

/// The results of a thread.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) connections: usize,
    /// How much later than the window the thread began.
    pub(crate) started_late_ns: u64,
    pub(crate) recorded: Recorded,
    /// When the thread stopped sending: the end of the run, an interrupt, or its last connection.
    pub(crate) stopped_ns: u64,
    /// From the first send to `stopped_ns`.
    pub(crate) wall_ns: u64,
    /// What the thread used within `wall_ns`.
    pub(crate) usage: Usage,
}

/// The end of the schedule.
#[derive(Debug, Clone, Copy)]
struct Stop {
    at_ns: u64,
    usage: Usage,
    drain_until_ns: u64,
}

/// The loading thread's state.
pub(crate) struct Worker<'a, 'run, N: Network> {
    plan: &'a Plan<'run>,
    share: Share,
    network: N,
    connections: Vec<Connection<N::Stream>>,
    send_queue: SendQueue,
    dialer: Dialer,
    recorder: Recorder,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    window: Window,
    /// Connections with an established stream.
    live: usize,
    /// Connections that were served for their first request.
    begun: u32,
    /// Whether the load has begun. Before, connections only connect, and a failure ends the run.
    started: bool,
    /// Time of the latest wake-up or reply; requests have time stamps of their own.
    now_ns: u64,
    /// Since when every attempt to connect has failed.
    failing_since_ns: Option<u64>,
    window_opened: bool,
    started_usage: Usage,
    started_late_ns: u64,
    sweep_due_ns: u64,
    /// Since when this thread has run without a long pause. After a pause, replies may be unread,
    /// so the time before it does not count towards the timeout.
    responsive_since_ns: u64,
    stop: Option<Stop>,
}

impl<'a, 'run, N: Network> Worker<'a, 'run, N> {
    /// A thread without a stream yet.
    pub(crate) fn new(plan: &'a Plan<'run>, share: Share, network: N) -> Self {
        let options = plan.options;
        let now_ns = network.now_ns();
        // Until the start is known, nothing is measured but connects.
        let window = Window::new(u64::MAX, options.warmup, options.duration);
        Self {
            plan,
            share,
            connections: share.numbers().map(|number| Connection::new(number, plan)).collect(),
            send_queue: SendQueue::new(share.connections as usize),
            dialer: Dialer::new(
                plan.threads_of_all(),
                options.connect_rate,
                plan.connects_per_request(),
            ),
            recorder: Recorder::new(window, options.load.mode(), options.seed),
            buffer: vec![0; SLICE_BYTES_MAX],
            scratch: Vec::new(),
            window,
            live: 0,
            begun: 0,
            started: false,
            now_ns,
            failing_since_ns: None,
            window_opened: false,
            started_usage: Usage::default(),
            started_late_ns: 0,
            sweep_due_ns: now_ns,
            responsive_since_ns: now_ns,
            stop: None,
            network,
        }
    }

    /// The time of the latest wake-up or reply.
    #[cfg(test)]
    pub(crate) fn now_ns(&self) -> u64 {
        self.network.now_ns()
    }

    /// Establishes all connections before the run. Where each request connects, there is nothing to
    /// establish.
    pub(crate) fn connect_all(&mut self) -> Result<(), Error> {
        if self.plan.connects_per_request() {
            return Ok(());
        }
        (0..self.share.connections).for_each(|index| self.dialer.enqueue(index));
        let (mut most, mut since_ns) = (0, self.now_ns);
        while self.live < self.connections.len() && !self.is_called_off() {
            if self.live > most {
                (most, since_ns) = (self.live, self.now_ns);
            }
            self.expect_to_be_complete(since_ns)?;
            self.dial_some()?;
            // A signal need not wake this thread, so it looks for an interrupt by itself. A sweep
            // that is late would take this thread for one that could not run.
            let until_ns = self.sweep_due_ns;
            let due_ns = self.dialer.next_ns().into_iter().chain(self.send_queue.next_ns()).min();
            self.wait_until(due_ns.map_or(until_ns, |due_ns| due_ns.min(until_ns)))?;
            self.serve_send_queue()?;
            self.sweep_when_due()?;
            self.plan.shared_progress.set_connected(self.share.thread, self.live);
        }
        Ok(())
    }

    /// Fails if connections are lost again and again, so that the load cannot begin: since
    /// `since_ns` no more of them were open at once. A lost one and the next must have had time to
    /// connect.
    fn expect_to_be_complete(&self, since_ns: u64) -> Result<(), Error> {
        let options = self.plan.options;
        let threads = f64::from(self.plan.threads_of_all());
        let turn_s = options.connect_rate.map_or(0.0, |rate| threads / rate);
        let patience_ns = self.plan.timeout_ns().saturating_add((3e9 * turn_s) as u64);
        if self.now_ns.saturating_sub(since_ns) < patience_ns {
            return Ok(());
        }
        self.recorder.why_lost().map_or(Ok(()), |reason| {
            Err(Error::LostBeforeLoad {
                address: self.plan.options.target.to_string(),
                reason,
                live: self.live,
                all: self.connections.len(),
            })
        })
    }

    /// Whether the run is interrupted, or cannot start after all.
    fn is_called_off(&self) -> bool {
        self.plan.interrupt.is_requested() || self.plan.abandoned.load(Ordering::Relaxed)
    }

    /// Loads the server from the start of `window` to the end of the drain.
    pub(crate) fn load(
        mut self,
        window: Window,
        reporter: &mut Reporter,
    ) -> Result<Finished, Error> {
        self.start(window);
        reporter.begin();
        // An interrupt may have come while connecting: then nothing is sent at all.
        self.stop_when_due();
        while !self.is_over() {
            // First what can be sent now; then this thread may sleep.
            self.serve_new_connections()?;
            self.serve_send_queue()?;
            self.dial_some()?;
            let until_ns = self.next_wake_ns().min(reporter.due_ns());
            self.wait_until(until_ns)?;
            self.open_window_when_due();
            self.sweep_when_due()?;
            self.stop_when_due();
            self.report_when_due(reporter);
        }
        Ok(self.finish(reporter))
    }

    fn start(&mut self, window: Window) {
        let plan = self.plan;
        self.window = window;
        self.started = true;
        self.started_usage = Usage::now();
        self.now_ns = self.network.now_ns();
        self.started_late_ns = self.now_ns.saturating_sub(window.start_ns);
        self.recorder.starts(window, self.now_ns);
        self.responsive_since_ns = self.now_ns;
        self.sweep_due_ns = self.now_ns;
        for connection in &mut self.connections {
            connection.freed(window.start_ns);
            if let (Some(arrivals), Some(intensity)) =
                (plan.arrivals(connection.number), &plan.intensity)
            {
                connection.due_requests =
                    Some(DueRequests::new(arrivals, intensity, window.start_ns, window.end_ns));
            }
        }
    }

    /// Whether nothing is left to send or to wait for.
    fn is_over(&self) -> bool {
        let Some(stop) = self.stop else {
            return false;
        };
        let is_done = |connection: &Connection<N::Stream>| {
            connection.is_idle()
                && connection.due_requests.as_ref().is_none_or(|due| due.next_ns().is_none())
        };
        // The count is one comparison. Connections are checked only when it is zero.
        self.now_ns >= stop.drain_until_ns
            || (self.recorder.outstanding() == 0 && self.connections.iter().all(is_done))
    }

    /// Serves the next connections for their first request.
    fn serve_new_connections(&mut self) -> Result<(), Error> {
        let until = self.share.connections.min(self.begun + FIRST_SENDS_PER_WAKE_MAX);
        while self.begun < until {
            self.begun += 1;
            self.send_or_connect(self.begun - 1)?;
        }
        Ok(())
    }

    /// When the next wait ends if nothing is ready.
    fn next_wake_ns(&mut self) -> u64 {
        // Some connections have not sent their first request: poll for replies, do not sleep.
        if self.begun < self.share.connections {
            return self.now_ns;
        }
        let end_ns = match self.stop {
            Some(stop) => stop.drain_until_ns,
            None => self.window.end_ns,
        };
        let due_ns = self.send_queue.next_ns().into_iter().chain(self.dialer.next_ns());
        due_ns.chain([self.sweep_due_ns]).min().map_or(end_ns, |due_ns| due_ns.min(end_ns))
    }

    /// Waits for streams and serves those that are ready.
    fn wait_until(&mut self, until_ns: u64) -> Result<(), Error> {
        let heartbeat_ns = match self.recorder.outstanding() {
            0 => u64::MAX,
            _ => self.now_ns.saturating_add(HEARTBEAT_NS),
        };
        let ready = self.network.wait(until_ns, heartbeat_ns).map_err(Error::Poll)?;
        self.now_ns = self.network.now_ns();
        self.recorder.waited(until_ns.min(heartbeat_ns), self.now_ns);
        for index in 0..ready {
            self.on_ready(self.network.ready(index))?;
            // Many replies at once must not delay requests that are due.
            if self.send_queue.next_ns().is_some_and(|due_ns| due_ns <= self.now_ns) {
                self.serve_send_queue()?;
            }
        }
        Ok(())
    }

    /// Serves every connection whose time has come.
    fn serve_send_queue(&mut self) -> Result<(), Error> {
        self.now_ns = self.network.now_ns();
        self.recorder.worked(self.now_ns);
        while let Some(index) = self.send_queue.pop_due(self.now_ns) {
            self.send_or_connect(index)?;
        }
        Ok(())
    }

    /// Sends or connects as far as possible now, and sets the next time.
    fn send_or_connect(&mut self, index: u32) -> Result<(), Error> {
        match self.connections[index as usize].stream {
            StreamState::Open(_) => self.send(index),
            StreamState::Queued
            | StreamState::Connecting { .. }
            | StreamState::Securing(_)
            | StreamState::SettingUp(_) => Ok(()),
            StreamState::Repeating { begun_ns, times } => self.dial(index, begun_ns, times),
            StreamState::Closed => {
                self.dial_when_due(index);
                Ok(())
            }
        }
    }

    fn on_ready(&mut self, ready: Ready) -> Result<(), Error> {
        let connection = &mut self.connections[ready.token.connection as usize];
        // An earlier event of this wait may have closed the stream.
        if connection.generation != ready.token.generation {
            return Ok(());
        }
        match &mut connection.stream {
            StreamState::Closed | StreamState::Queued | StreamState::Repeating { .. } => Ok(()),
            StreamState::Connecting { .. } => self.connect_ended(ready.token.connection),
            StreamState::Securing(_) => self.secure(ready.token.connection),
            StreamState::SettingUp(_) => self.set_up(ready.token.connection),
            StreamState::Open(stream) => {
                let blocked = stream.write_armed && !ready.writable;
                if stream.write_armed && ready.writable {
                    connection.freed(self.now_ns);
                }
                if ready.readable && !self.receive(ready.token.connection) {
                    return Ok(());
                }
                // While the socket is full, only its readiness makes another attempt worth it.
                if blocked { Ok(()) } else { self.send(ready.token.connection) }
            }
        }
    }

    /// Reads from a connection; returns whether it still has its stream.
    fn receive(&mut self, index: u32) -> bool {
        let received = self.with(index, |connection, tools| {
            loop {
                connection.receive(tools)?;
                if !connection.has_received() {
                    return Ok(());
                }
            }
        });
        // The read has taken the time: no second look at the clock.
        if let StreamState::Open(stream) = &self.connections[index as usize].stream {
            self.now_ns = self.now_ns.max(stream.last_progress_ns);
        }
        match received {
            Ok(()) => true,
            Err(failure) => {
                self.lose(index, failure);
                false
            }
        }
    }

    /// Sends what is due and allowed, replaces a stream that is used up, and sets the next time of
    /// the connection.
    fn send(&mut self, index: u32) -> Result<(), Error> {
        if self.connections[index as usize].is_used_up(self.plan) {
            self.retire(index);
            return Ok(());
        }
        // A schedule has an end of its own; a closed loop has no schedule.
        let closed = self.started && self.stop.is_none();
        match self.with(index, |connection, tools| connection.send(closed, tools)) {
            Ok(unsent) => self.arm_write(index, unsent)?,
            Err(failure) => {
                self.lose(index, failure);
                return Ok(());
            }
        }
        let connection = &self.connections[index as usize];
        // A connection that is not free is served by the event that frees it, not by the time.
        match connection.due_requests.as_ref().and_then(DueRequests::next_ns) {
            Some(due_ns) if connection.is_free(self.plan) => self.send_queue.set(index, due_ns),
            _ => self.send_queue.clear(index),
        }
        Ok(())
    }

    /// Calls `act` on a connection with the tools that it needs.
    fn with<T>(
        &mut self,
        index: u32,
        act: impl FnOnce(&mut Connection<N::Stream>, &mut Tools<'_, 'run>) -> T,
    ) -> T {
        let network = &self.network;
        let mut tools = Tools {
            plan: self.plan,
            recorder: &mut self.recorder,
            buffer: &mut self.buffer,
            scratch: &mut self.scratch,
            now_ns: &|| network.now_ns(),
        };
        act(&mut self.connections[index as usize], &mut tools)
    }

    /// Starts or stops waiting for the socket to take bytes.
    fn arm_write(&mut self, index: u32, armed: bool) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        let token = Token { connection: index, generation: connection.generation };
        let StreamState::Open(stream) = &mut connection.stream else {
            return Ok(());
        };
        if stream.write_armed == armed {
            return Ok(());
        }
        stream.write_armed = armed;
        let interest = if armed { Interest::ReadWrite } else { Interest::Read };
        self.network.watch(stream.transport.socket(), token, interest).map_err(Error::Poll)
    }
}
