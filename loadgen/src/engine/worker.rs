//! One thread of load: its connections, its epoll set, its recorder, and the loop between them.
//!
//! Nothing on the way of a request is shared with another thread, save a progress counter that
//! only this thread writes.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Clock, nanoseconds};
use crate::engine::connection::{BYTES_PER_WAKE_MAX, Connection};
use crate::engine::connector::{self, Connected, Order};
use crate::engine::poller::{Interest, Poller, Ready};
use crate::engine::progress::Board;
use crate::engine::recorder::{Failure, Recorder};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::Latency;
use crate::options::Options;
use crate::schedule::{ClosedLoop, Phase, Window};
use crate::wire::payload::Payload;

/// Handshakes in flight over all threads: half of the usual backlog of 128.
const HANDSHAKES_MAX: usize = 64;

/// Connections that send their first request between two looks at the replies, so that the first
/// replies of a large run do not wait for the last connection to begin.
const BEGINNERS_PER_WAKE_MAX: usize = 32;

/// The timeout is looked after this many times within its length ...
const SWEEPS_PER_TIMEOUT: u64 = 10;
/// ... but neither so often that it costs anything,
const SWEEP_INTERVAL_NS_MIN: u64 = 1_000_000;
/// nor so rarely that a signal would go unnoticed: a wait ends with the next sweep at the latest.
const SWEEP_INTERVAL_NS_MAX: u64 = 100_000_000;

/// A sweep that comes late by this part of the timeout means that the thread was held up.
const HOLD_UPS_PER_TIMEOUT: u64 = 4;

/// How long an interrupted run waits for outstanding replies.
const INTERRUPTED_DRAIN_NS_MAX: u64 = 1_000_000_000;

/// What all threads of a run share; read-only but for the two flags and the board.
#[derive(Debug)]
pub(crate) struct Context<'run> {
    pub(crate) options: &'run Options,
    pub(crate) address: SocketAddr,
    pub(crate) payload: Payload,
    pub(crate) clock: Clock,
    pub(crate) interrupt: &'run Interrupt,
    /// Raised when the run cannot start after all.
    pub(crate) abandoned: AtomicBool,
    pub(crate) board: Board,
}

/// One thread's part of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) thread: usize,
    pub(crate) first_connection: u32,
    pub(crate) connections: u32,
}

/// What a thread tells the one that started it. The channel closes when all have ended.
#[derive(Debug)]
pub(crate) enum News {
    Connected,
    ConnectFailed,
}

/// What a thread leaves behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) connections: usize,
    pub(crate) connect: Latency,
    pub(crate) recorder: Recorder,
    /// When the thread stopped sending: the end of the run, an interrupt, or its last connection.
    pub(crate) stopped_ns: u64,
    /// From the first send to `stopped_ns`.
    pub(crate) wall_ns: u64,
    /// Processor time of the thread within `wall_ns`.
    pub(crate) cpu_ns: u64,
}

/// Connects, waits for the starting signal, loads the server. `None` if no signal came.
pub(crate) fn work(
    context: &Context<'_>,
    share: Share,
    news: &Sender<News>,
    start: &Receiver<Window>,
) -> Result<Option<Finished>, Error> {
    // Sending fails only when the starter has given up; then no starting signal comes either.
    let connected = match connect(context, share) {
        Ok(connected) => {
            let _ = news.send(News::Connected);
            connected
        }
        Err(error) => {
            let _ = news.send(News::ConnectFailed);
            return Err(error);
        }
    };
    let Ok(window) = start.recv() else {
        return Ok(None);
    };
    Load::new(context, share, connected.streams, window)?.run(connected.latency).map(Some)
}

fn connect(context: &Context<'_>, share: Share) -> Result<Connected, Error> {
    let order = Order {
        address: context.address,
        connections: share.connections as usize,
        in_flight_max: (HANDSHAKES_MAX / context.options.threads as usize).max(1),
        timeout: context.options.timeout,
    };
    connector::connect_all(order, context.clock, |done| {
        context.board.set_connected(share.thread, done);
        !context.interrupt.asked() && !context.abandoned.load(Ordering::Relaxed)
    })
}

/// A connection and what its epoll entry waits for.
#[derive(Debug)]
struct Slot {
    connection: Connection<TcpStream>,
    /// Whether unsent bytes wait for the socket to take them.
    write_armed: bool,
}

/// The end of sending.
#[derive(Debug, Clone, Copy)]
struct Stop {
    at_ns: u64,
    cpu_ns: u64,
    drain_until_ns: u64,
}

/// The loading thread's state.
struct Load<'run> {
    context: &'run Context<'run>,
    thread: usize,
    schedule: ClosedLoop,
    poller: Poller,
    /// By token; empty when the connection is finished or was given up.
    slots: Vec<Option<Slot>>,
    live: usize,
    /// Connections that have been asked for their first request.
    begun: usize,
    recorder: Recorder,
    buffer: Vec<u8>,
    /// Time of the latest wake-up; requests and replies have their own, finer stamps.
    now_ns: u64,
    started_ns: u64,
    started_cpu_ns: u64,
    timeout_ns: u64,
    sweep_due_ns: u64,
    /// Since when this thread has looked at its connections regularly. After a hold-up of its own,
    /// replies may lie unread, and a server may have waited for requests: no one else is to blame.
    attentive_since_ns: u64,
    stop: Option<Stop>,
}

impl<'run> Load<'run> {
    fn new(
        context: &'run Context<'run>,
        share: Share,
        streams: Vec<TcpStream>,
        window: Window,
    ) -> Result<Self, Error> {
        let poller = Poller::new().map_err(Error::Poll)?;
        let mut slots = Vec::with_capacity(streams.len());
        for (number, stream) in (share.first_connection..).zip(streams) {
            let added = poller.add(&stream, slots.len(), Interest::Read);
            added.map_err(Error::Poll)?;
            let size_bytes = context.options.size_bytes;
            slots.push(Some(Slot {
                connection: Connection::new(stream, number, size_bytes, &context.payload),
                write_armed: false,
            }));
        }
        let now_ns = context.clock.now_ns();
        let mut recorder = Recorder::new(window);
        recorder.connected(slots.len());
        Ok(Self {
            context,
            thread: share.thread,
            schedule: ClosedLoop { pipeline: context.options.pipeline as usize, window },
            poller,
            live: slots.len(),
            slots,
            begun: 0,
            recorder,
            buffer: vec![0; BYTES_PER_WAKE_MAX],
            now_ns,
            started_ns: now_ns,
            started_cpu_ns: thread_cpu_ns(),
            timeout_ns: nanoseconds(context.options.timeout),
            sweep_due_ns: now_ns,
            attentive_since_ns: now_ns,
            stop: None,
        })
    }

    /// The loop. Ends when every connection is finished or lost, or when the drain is over.
    fn run(mut self, connect: Latency) -> Result<Finished, Error> {
        // An interrupt may have come while connecting: then nothing is sent at all.
        self.stop_when_due();
        while self.live > 0 && !self.drain_is_over() {
            self.begin_some()?;
            let ready = self.poller.wait(self.wait_ns()).map_err(Error::Poll)?;
            self.now_ns = self.context.clock.now_ns();
            for index in 0..ready {
                self.serve(self.poller.ready(index))?;
            }
            self.sweep_when_due();
            self.stop_when_due();
            let completed = self.recorder.completed_so_far();
            self.context.board.set_completed(self.thread, completed);
        }
        let stop = self.stop.unwrap_or_else(|| self.stopping(self.now_ns));
        for slot in self.slots.iter().flatten() {
            self.recorder.censored(slot.connection.outstanding());
        }
        Ok(Finished {
            connections: self.slots.len(),
            connect,
            recorder: self.recorder,
            stopped_ns: stop.at_ns,
            wall_ns: stop.at_ns - self.started_ns,
            cpu_ns: stop.cpu_ns - self.started_cpu_ns,
        })
    }

    fn drain_is_over(&self) -> bool {
        self.stop.is_some_and(|stop| self.now_ns >= stop.drain_until_ns)
    }

    /// Lets the next connections send their first requests.
    fn begin_some(&mut self) -> Result<(), Error> {
        let until = self.slots.len().min(self.begun + BEGINNERS_PER_WAKE_MAX);
        while self.begun < until {
            self.send(self.begun)?;
            self.begun += 1;
        }
        Ok(())
    }

    /// How long nothing has to be done unless a connection is ready.
    fn wait_ns(&self) -> u64 {
        if self.begun < self.slots.len() {
            return 0;
        }
        let end_ns = match self.stop {
            Some(stop) => stop.drain_until_ns,
            None => self.schedule.window.end_ns,
        };
        end_ns.min(self.sweep_due_ns).saturating_sub(self.now_ns)
    }

    /// Reads from and writes to a ready connection, once each.
    fn serve(&mut self, ready: Ready) -> Result<(), Error> {
        let Some(slot) = &mut self.slots[ready.token] else {
            return Ok(());
        };
        if ready.readable {
            let clock = self.context.clock;
            let payload = &self.context.payload;
            let now_ns = || clock.now_ns();
            let received =
                slot.connection.receive(&mut self.buffer, payload, &mut self.recorder, now_ns);
            if let Err(failure) = received {
                self.give_up(ready.token, failure);
                return Ok(());
            }
        }
        // While the socket is full, only its readiness makes another attempt worth a system call.
        if ready.writable || !slot.write_armed {
            self.send(ready.token)?;
        }
        if self.stop.is_some() {
            self.retire_if_idle(ready.token);
        }
        Ok(())
    }

    /// Sends what the schedule allows.
    fn send(&mut self, token: usize) -> Result<(), Error> {
        let Some(slot) = &mut self.slots[token] else {
            return Ok(());
        };
        let outstanding = slot.connection.outstanding();
        let allowance = match self.stop {
            Some(_) => 0,
            None => self.schedule.allowance(self.now_ns, outstanding),
        };
        let clock = self.context.clock;
        let payload = &self.context.payload;
        let now_ns = || clock.now_ns();
        match slot.connection.send(allowance, payload, &mut self.recorder, now_ns) {
            Ok(unsent) => self.arm_write(token, unsent),
            Err(failure) => {
                self.give_up(token, failure);
                Ok(())
            }
        }
    }

    /// Makes the epoll entry wait for room in the socket, or no longer.
    fn arm_write(&mut self, token: usize, armed: bool) -> Result<(), Error> {
        let Some(slot) = &mut self.slots[token] else {
            return Ok(());
        };
        if slot.write_armed == armed {
            return Ok(());
        }
        slot.write_armed = armed;
        let interest = if armed { Interest::ReadWrite } else { Interest::Read };
        let stream = slot.connection.transport();
        self.poller.modify(stream, token, interest).map_err(Error::Poll)
    }

    /// Closes a connection that can do no more; its outstanding requests have failed.
    fn give_up(&mut self, token: usize, failure: Failure) {
        if let Some(slot) = self.slots[token].take() {
            self.live -= 1;
            self.recorder.failed(failure, slot.connection.outstanding());
        }
    }

    /// Closes a connection that owes nothing.
    fn retire_if_idle(&mut self, token: usize) {
        let idle = |slot: &mut Slot| slot.connection.outstanding() == 0;
        if self.slots[token].take_if(idle).is_some() {
            self.live -= 1;
        }
    }

    /// Gives up the connections that have been silent for too long.
    fn sweep_when_due(&mut self) {
        if self.now_ns < self.sweep_due_ns {
            return;
        }
        if self.now_ns - self.sweep_due_ns >= self.timeout_ns / HOLD_UPS_PER_TIMEOUT {
            self.attentive_since_ns = self.now_ns;
        }
        let interval_ns = (self.timeout_ns / SWEEPS_PER_TIMEOUT)
            .clamp(SWEEP_INTERVAL_NS_MIN, SWEEP_INTERVAL_NS_MAX);
        self.sweep_due_ns = self.now_ns + interval_ns;
        for token in 0..self.slots.len() {
            if self.is_overdue(token) {
                self.give_up(token, Failure::TimedOut);
            }
        }
    }

    fn is_overdue(&self, token: usize) -> bool {
        self.slots[token].as_ref().is_some_and(|slot| {
            let silent_since_ns = slot.connection.last_progress_ns().max(self.attentive_since_ns);
            let silent_ns = self.now_ns.saturating_sub(silent_since_ns);
            slot.connection.outstanding() > 0 && silent_ns >= self.timeout_ns
        })
    }

    /// Stops sending at the end of the window or when asked to, and shortens the drain when asked.
    fn stop_when_due(&mut self) {
        let interrupted = self.context.interrupt.asked();
        let over = self.schedule.window.phase(self.now_ns) == Phase::Over;
        if self.stop.is_none() && (interrupted || over) {
            self.stop = Some(self.stopping(self.now_ns + self.timeout_ns));
            self.begun = self.slots.len();
            for token in 0..self.slots.len() {
                self.retire_if_idle(token);
            }
        }
        if interrupted && let Some(stop) = &mut self.stop {
            // Each wake-up would move this limit on, were it not a minimum.
            let limit_ns = self.now_ns + INTERRUPTED_DRAIN_NS_MAX;
            stop.drain_until_ns = stop.drain_until_ns.min(limit_ns);
        }
    }

    fn stopping(&self, drain_until_ns: u64) -> Stop {
        Stop { at_ns: self.now_ns, cpu_ns: thread_cpu_ns(), drain_until_ns }
    }
}

/// Processor time this thread has used.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest
}
