//! One connection's place in the load: its schedule, its traffic, and the stream that carries it
//! at the moment.
//!
//! It decides neither when to look (the worker does) nor what the bytes are (the exchange does).
//! Streams come and go; schedule and traffic go on.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use super::plan::Plan;
use super::recorder::{Failure, Recorder, Request};
use super::send_schedule::Due;
use crate::wire::Exchange;

/// What a lane's stream is doing.
#[derive(Debug)]
pub(crate) enum Link<S> {
    /// There is none.
    Down,
    /// There is none, but it has been asked for.
    Queued,
    /// The handshake has begun.
    Dialing { stream: S, begun_ns: u64 },
    /// Requests can be sent.
    Up(Connection<S>),
}

/// An established stream.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    /// When the handshake began.
    pub(crate) begun_ns: u64,
    /// Oldest first; replies come in this order.
    outstanding: VecDeque<Request>,
    /// Requests begun on this stream.
    begun: u64,
    /// Replies on this stream.
    replies: u64,
    /// When the last byte came, or, while no other reply is owed, went.
    pub(crate) last_progress_ns: u64,
    /// Whether unsent bytes wait for the socket to take them.
    pub(crate) write_armed: bool,
    /// No request is begun any more: it is closed when it owes nothing.
    pub(crate) closing: bool,
}

impl<S> Connection<S> {
    /// A stream whose handshake began at `begun_ns` and has just ended.
    pub(crate) fn new(stream: S, begun_ns: u64, now_ns: u64) -> Self {
        Self {
            stream,
            begun_ns,
            outstanding: VecDeque::new(),
            begun: 0,
            replies: 0,
            last_progress_ns: now_ns,
            write_armed: false,
            closing: false,
        }
    }

    /// How many requests are unanswered, a partly sent one included.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether a reply has ever come.
    pub(crate) fn has_worked(&self) -> bool {
        self.replies > 0
    }

    /// The unanswered requests, oldest first.
    pub(crate) fn into_outstanding(self) -> impl Iterator<Item = Request> {
        self.outstanding.into_iter()
    }

    /// How many requests may be begun now, on a stream that the server will go on answering.
    fn allowance(&self, plan: &Plan<'_>) -> usize {
        if self.closing {
            return 0;
        }
        let room = plan.pipeline().saturating_sub(self.outstanding.len());
        let left = plan.requests_per_connection().saturating_sub(self.begun);
        room.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// One connection's place in the load.
#[derive(Debug)]
pub(crate) struct Lane<S> {
    /// Its number among all of the run.
    pub(crate) number: u32,
    pub(crate) link: Link<S>,
    /// Counts its streams.
    pub(crate) generation: u32,
    /// Attempts in a row that did not lead to a single reply.
    pub(crate) failures: u32,
    /// The schedule; nothing in a closed loop, or before the run has started.
    pub(crate) due: Option<Due>,
    exchange: Exchange,
    /// Since when requests can be sent, as far as server and plan are concerned.
    free_ns: u64,
}

/// What every call on a lane needs besides the lane.
pub(crate) struct Tools<'a, 'run> {
    pub(crate) plan: &'a Plan<'run>,
    pub(crate) recorder: &'a mut Recorder,
    /// For what is read.
    pub(crate) buffer: &'a mut [u8],
    /// For assembling what is sent.
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) now_ns: &'a dyn Fn() -> u64,
}

impl<S: Read + Write> Lane<S> {
    /// Lane number `number`, without a stream.
    pub(crate) fn new(number: u32, plan: &Plan<'_>) -> Self {
        Self {
            number,
            link: Link::Down,
            failures: 0,
            generation: 0,
            due: None,
            exchange: Exchange::new(&plan.traffic, number),
            free_ns: 0,
        }
    }

    /// The stream can be used.
    pub(crate) fn up(&mut self, connection: Connection<S>) {
        self.exchange.restart();
        self.link = Link::Up(connection);
    }

    /// Requests could be sent from `now_ns` on: there is a stream, it takes bytes again, or, where
    /// each request connects, the one before is done.
    pub(crate) fn freed(&mut self, now_ns: u64) {
        self.free_ns = now_ns;
    }

    /// Whether a request that is due now could be begun.
    pub(crate) fn is_free(&self, plan: &Plan<'_>) -> bool {
        match &self.link {
            Link::Up(connection) => {
                let open = !connection.write_armed && !self.exchange.wants_close();
                open && connection.allowance(plan) > 0
            }
            Link::Down | Link::Queued | Link::Dialing { .. } => false,
        }
    }

    /// Whether it owes the server nothing and the server owes it nothing.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.link {
            Link::Up(connection) => {
                connection.outstanding.is_empty() && !self.exchange.is_mid_request()
            }
            Link::Down | Link::Queued | Link::Dialing { .. } => true,
        }
    }

    /// Whether its stream has done what it was for, and owes nothing.
    pub(crate) fn is_used_up(&self, plan: &Plan<'_>) -> bool {
        match &self.link {
            Link::Up(connection) => {
                let over = connection.closing
                    || connection.begun >= plan.requests_per_connection()
                    || self.exchange.wants_close();
                over && self.is_idle()
            }
            Link::Down | Link::Queued | Link::Dialing { .. } => false,
        }
    }

    /// Finishes a partly sent request and begins those that are due and allowed, in one write.
    ///
    /// `closed` says whether a lane without a schedule may begin requests. Returns whether bytes
    /// are left that the socket did not take. A request counts as sent, and is stamped, with the
    /// write that takes its first byte.
    pub(crate) fn send(
        &mut self,
        closed: bool,
        tools: &mut Tools<'_, '_>,
    ) -> Result<bool, Failure> {
        let Link::Up(connection) = &mut self.link else {
            return Ok(false);
        };
        let plan = tools.plan;
        let ends = self.exchange.wants_close();
        let allowance = if ends { 0 } else { connection.allowance(plan) };
        let now_ns = (tools.now_ns)();
        let new = match (&mut self.due, &plan.intensity) {
            (Some(due), Some(intensity)) => due.take(allowance, now_ns, intensity),
            _ if closed => allowance,
            _ => 0,
        };
        if new == 0 && !self.exchange.is_mid_request() {
            return Ok(false);
        }
        let bytes = self.exchange.outgoing(&plan.traffic, new, tools.scratch);
        let taken = match connection.stream.write(bytes) {
            Ok(0) => return Err(Failure::Other(io::ErrorKind::WriteZero.into())),
            Ok(taken) => taken,
            Err(error) if is_transient(&error) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let begun = self.exchange.took(&plan.traffic, taken);
        tools.recorder.bytes_sent(taken);
        // To send more to a server that owes more than one reply is no progress of the oldest.
        if connection.outstanding.len() <= 1 {
            connection.last_progress_ns = now_ns;
        }
        connection.begun += begun as u64;
        // Where the connect is a part of the request, the request began with it.
        let in_connect = plan.connects_per_request() && connection.replies == 0;
        let sent_ns = if in_connect { connection.begun_ns } else { now_ns };
        for _ in 0..begun {
            let intended_ns = self.due.as_mut().and_then(Due::pop).unwrap_or(sent_ns);
            let request = Request { intended_ns, sent_ns: sent_ns.max(intended_ns) };
            tools.recorder.sent(request, self.free_ns);
            connection.outstanding.push_back(request);
        }
        Ok(begun < new || self.exchange.is_mid_request())
    }

    /// Reads once and checks what came, in place.
    ///
    /// All replies that this read completes share the stamp taken directly after it.
    pub(crate) fn receive(&mut self, tools: &mut Tools<'_, '_>) -> Result<(), Failure> {
        let Link::Up(connection) = &mut self.link else {
            return Ok(());
        };
        let count = match connection.stream.read(tools.buffer) {
            Ok(0) => return Err(Failure::ClosedByServer),
            Ok(count) => count,
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let reply_ns = (tools.now_ns)();
        connection.last_progress_ns = reply_ns;
        tools.recorder.bytes_received(count);
        let full = connection.allowance(tools.plan) == 0;
        let outstanding = connection.outstanding.len();
        let (completed, right) =
            self.exchange.came(&tools.plan.traffic, &tools.buffer[..count], outstanding);
        for _ in 0..completed {
            let answered = connection.outstanding.pop_front();
            let request = answered.expect("no more replies than requests are accepted");
            connection.replies += 1;
            tools.recorder.completed(request, reply_ns);
        }
        if full && completed > 0 {
            self.free_ns = reply_ns;
        }
        right.map_err(Failure::Mismatch)
    }
}

/// Whether the operation is merely to be tried again when the socket is ready.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
