//! One connection of the plan: its schedule, its traffic, and the stream that carries it now.
//!
//! The worker decides when to serve it, the exchange what the bytes are. A stream can be closed and
//! replaced; schedule and traffic continue.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::ops::Range;

use super::due_requests::DueRequests;
use super::network::Interest;
use super::plan::Plan;
use super::recorder::{Failure, Obstacle, Recorder, Request};
use crate::tls::{Connector, TlsStream, Transport, is_transient};
use crate::wire::{Exchange, SetupExchange};

/// The state of a connection's stream.
#[derive(Debug)]
pub(crate) enum StreamState<S> {
    /// There is none.
    Closed,
    /// There is none; it waits for its turn to connect.
    Queued,
    /// The handshake has begun.
    Connecting { stream: S, begun_ns: u64 },
    /// It has ended, and that of TLS has begun.
    Securing(SecuringStream<S>),
    /// It can be used, and what is said before the first request is not answered yet.
    SettingUp(SettingUpStream<S>),
    /// The handshake has begun, and found the backlog of the unix socket full, so many times. The
    /// kernel repeats a handshake over TCP; over a unix socket the worker does.
    Repeating { begun_ns: u64, times: u32 },
    /// Requests can be sent.
    Open(OpenStream<S>),
}

/// A connected stream whose TLS handshake has begun.
#[derive(Debug)]
pub(crate) struct SecuringStream<S> {
    pub(crate) stream: Box<TlsStream<S>>,
    /// When the connect began.
    pub(crate) begun_ns: u64,
    /// When it had ended.
    pub(crate) connected_ns: u64,
    pub(crate) interest: Interest,
}

/// A stream whose setup has begun: see [`crate::wire::Setup`].
#[derive(Debug)]
pub(crate) struct SettingUpStream<S> {
    pub(crate) transport: Transport<S>,
    pub(crate) exchange: SetupExchange,
    /// When the connect began.
    pub(crate) begun_ns: u64,
    /// When the handshakes had ended.
    pub(crate) connected_ns: u64,
    pub(crate) interest: Interest,
}

/// What kept a stream from being set up.
#[derive(Debug)]
pub(crate) enum SetupFailure {
    /// The server refused a step; its words, and the remedy.
    Refused(String),
    ClosedByServer,
    TimedOut,
    Other(io::Error),
}

impl std::fmt::Display for SetupFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(words) => formatter.write_str(words),
            Self::ClosedByServer => formatter.write_str(
                "the server closed the connection; is it the right --protocol, or its connection \
                 limit?",
            ),
            Self::TimedOut => formatter
                .write_str("no answer within the timeout; is it the right --protocol? (--timeout)"),
            Self::Other(error) => error.fmt(formatter),
        }
    }
}

impl<S: Read + Write> SettingUpStream<S> {
    /// Continues as far as the socket allows, with `buffer` as memory. Once the server has answered
    /// every step, returns where in `buffer` the bytes behind the last answer are.
    pub(crate) fn advance(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Range<usize>>, SetupFailure> {
        loop {
            let written = match self.exchange.unsent() {
                [] => self.transport.flush().map(|()| 0),
                unsent => self.transport.write(unsent),
            };
            match written {
                Ok(taken) => self.exchange.advance_sent(taken),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(SetupFailure::Other(error)),
            }
            match self.transport.read(buffer) {
                Ok(0) => return Err(SetupFailure::ClosedByServer),
                Ok(count) => {
                    let answered = self.exchange.receive(&buffer[..count]);
                    if let Some(taken) = answered.map_err(SetupFailure::Refused)? {
                        return Ok(Some(taken..count));
                    }
                }
                Err(error) if is_transient(&error) => return Ok(None),
                Err(error) => return Err(SetupFailure::Other(error)),
            }
        }
    }

    /// Whether bytes wait for the socket to take them.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.exchange.unsent().is_empty() || self.transport.has_unsent()
    }
}

/// An established stream.
#[derive(Debug)]
pub(crate) struct OpenStream<S> {
    pub(crate) transport: Transport<S>,
    /// When the connect began.
    pub(crate) begun_ns: u64,
    /// Oldest first; replies come in this order.
    outstanding: VecDeque<Request>,
    /// Requests begun on this stream.
    begun: u64,
    /// Replies on this stream.
    replies: u64,
    /// When the last byte was received, or sent while no other reply was outstanding.
    pub(crate) last_progress_ns: u64,
    /// Whether unsent bytes wait for the socket to take them.
    pub(crate) write_armed: bool,
    /// Whether the stream begins no further request and is closed when all are answered.
    pub(crate) closing: bool,
}

impl<S> OpenStream<S> {
    /// A stream whose connect began at `begun_ns`, and which can be used from now on.
    pub(crate) fn new(transport: Transport<S>, begun_ns: u64, now_ns: u64) -> Self {
        Self {
            transport,
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

    /// Whether any reply was received.
    pub(crate) fn has_worked(&self) -> bool {
        self.replies > 0
    }

    /// The unanswered requests, oldest first.
    pub(crate) fn into_outstanding(self) -> impl Iterator<Item = Request> {
        self.outstanding.into_iter()
    }

    /// How many requests the plan allows this stream to begin now.
    fn allowance(&self, plan: &Plan<'_>) -> usize {
        if self.closing {
            return 0;
        }
        let room = plan.pipeline().saturating_sub(self.outstanding.len());
        let left = plan.requests_per_connection().saturating_sub(self.begun);
        room.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// One connection of the plan, over all its streams.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    /// Its number among all connections of the run.
    pub(crate) number: u32,
    pub(crate) stream: StreamState<S>,
    /// Number of its latest stream.
    pub(crate) generation: u32,
    /// Attempts to connect in a row without a single reply.
    pub(crate) failures: u32,
    /// The requests that are due; nothing in a closed loop, or before the run has started.
    pub(crate) due_requests: Option<DueRequests>,
    exchange: Exchange,
    /// Begins its TLS handshakes; nothing in plain text.
    pub(crate) connector: Option<Connector>,
    /// Since when the server and the plan allow it to send.
    free_ns: u64,
}

/// The parts of the thread that a connection's calls use.
pub(crate) struct Tools<'a, 'run> {
    pub(crate) plan: &'a Plan<'run>,
    pub(crate) recorder: &'a mut Recorder,
    /// Memory for received bytes.
    pub(crate) buffer: &'a mut [u8],
    /// Memory for assembled requests.
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) now_ns: &'a dyn Fn() -> u64,
}

impl<S: Read + Write> Connection<S> {
    /// Connection number `number`, without a stream.
    pub(crate) fn new(number: u32, plan: &Plan<'_>) -> Self {
        Self {
            number,
            stream: StreamState::Closed,
            failures: 0,
            generation: 0,
            due_requests: None,
            exchange: Exchange::new(&plan.traffic, number),
            connector: plan.connector(number),
            free_ns: 0,
        }
    }

    /// Sets an established stream.
    pub(crate) fn set_open(&mut self, stream: OpenStream<S>) {
        self.exchange.restart();
        self.stream = StreamState::Open(stream);
    }

    /// Sets the time since which requests can be sent: the stream is open, its socket takes bytes
    /// again, or, where each request connects, the request before is done.
    pub(crate) fn freed(&mut self, now_ns: u64) {
        self.free_ns = now_ns;
    }

    /// Whether a request that is due now could be begun.
    pub(crate) fn is_free(&self, plan: &Plan<'_>) -> bool {
        match &self.stream {
            StreamState::Open(stream) => {
                let open = !stream.write_armed && !self.exchange.wants_close();
                open && stream.allowance(plan) > 0
            }
            _ => false,
        }
    }

    /// What keeps it from sending a request that is due now.
    pub(crate) fn obstacle(&self, plan: &Plan<'_>) -> Option<Obstacle> {
        match self.stream {
            StreamState::Open(ref stream) if self.failures == 0 || stream.has_worked() => {
                (!self.is_free(plan)).then_some(Obstacle::Blocked)
            }
            _ if self.failures > 0 => Some(Obstacle::Unconnected),
            StreamState::Closed => None,
            _ => Some(Obstacle::Blocked),
        }
    }

    /// Whether no request is partly sent and no reply is outstanding.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.stream {
            StreamState::Open(stream) => {
                stream.outstanding.is_empty() && !self.exchange.is_mid_request()
            }
            _ => true,
        }
    }

    /// Whether its stream has sent its last request, and all replies were received.
    pub(crate) fn is_used_up(&self, plan: &Plan<'_>) -> bool {
        match &self.stream {
            StreamState::Open(stream) => {
                let over = stream.closing
                    || stream.begun >= plan.requests_per_connection()
                    || self.exchange.wants_close();
                over && self.is_idle()
            }
            _ => false,
        }
    }

    /// Sends the rest of a partly sent request, the answers to pings, and the requests that are due
    /// and allowed, in one write.
    ///
    /// `closed` says whether a connection without a schedule may begin requests. Returns whether
    /// bytes are left that the socket did not take. A request counts as sent, and gets its time
    /// stamp, with the write that takes its first byte.
    pub(crate) fn send(
        &mut self,
        closed: bool,
        tools: &mut Tools<'_, '_>,
    ) -> Result<bool, Failure> {
        let StreamState::Open(stream) = &mut self.stream else {
            return Ok(false);
        };
        let plan = tools.plan;
        let ends = self.exchange.wants_close();
        let allowance = if ends { 0 } else { stream.allowance(plan) };
        // This time decides which requests are due, and is their send time: the write follows at
        // once.
        let now_ns = (tools.now_ns)();
        tools.recorder.worked(now_ns);
        let new = match (&mut self.due_requests, &plan.intensity) {
            (Some(due_requests), Some(intensity)) => {
                due_requests.take(allowance, now_ns, intensity)
            }
            _ if closed => allowance,
            _ => 0,
        };
        if new == 0 && !self.exchange.has_unsent() {
            stream.transport.flush()?;
            return Ok(stream.transport.has_unsent());
        }
        let bytes = self.exchange.outgoing(&plan.traffic, new, tools.scratch);
        let taken = match stream.transport.write(bytes) {
            Ok(0) => return Err(Failure::Other(io::ErrorKind::WriteZero.into())),
            Ok(taken) => taken,
            Err(error) if is_transient(&error) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let begun = self.exchange.advance_sent(&plan.traffic, taken);
        tools.recorder.bytes_sent(taken, now_ns);
        // With more than one reply outstanding, sending is no progress of the oldest request.
        if stream.outstanding.len() <= 1 {
            stream.last_progress_ns = now_ns;
        }
        stream.begun += begun as u64;
        // Where the connect is a part of the request, the request began with it.
        let in_connect = plan.connects_per_request() && stream.replies == 0;
        let sent_ns = if in_connect { stream.begun_ns } else { now_ns };
        for _ in 0..begun {
            let intended_ns =
                self.due_requests.as_mut().and_then(DueRequests::pop).unwrap_or(sent_ns);
            let request = Request {
                intended_ns,
                sent_ns: sent_ns.max(intended_ns),
                stalled_before_ns: tools.recorder.stalled_ns(),
            };
            tools.recorder.sent(request, self.free_ns);
            stream.outstanding.push_back(request);
        }
        Ok(begun < new || self.exchange.has_unsent() || stream.transport.has_unsent())
    }

    /// Whether a read has a result although its socket may not be readable.
    pub(crate) fn has_received(&self) -> bool {
        match &self.stream {
            StreamState::Open(stream) => stream.transport.has_received(),
            _ => false,
        }
    }

    /// Reads once and checks the bytes in place.
    ///
    /// All replies that this read completes share the time stamp taken directly after it.
    pub(crate) fn receive(&mut self, tools: &mut Tools<'_, '_>) -> Result<(), Failure> {
        let StreamState::Open(stream) = &mut self.stream else {
            return Ok(());
        };
        let count = match stream.transport.read(tools.buffer) {
            Ok(count) => count,
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let reply_ns = (tools.now_ns)();
        tools.recorder.worked(reply_ns);
        if count == 0 {
            let ended = self.exchange.end_of_stream(&tools.plan.traffic);
            let answered = ended.and_then(|reply| Some((reply, stream.outstanding.pop_front()?)));
            let (reply, request) = answered.ok_or(Failure::ClosedByServer)?;
            stream.replies += 1;
            tools.recorder.replied(request, reply, reply_ns);
            return Ok(());
        }
        stream.last_progress_ns = reply_ns;
        tools.recorder.bytes_received(count, reply_ns);
        self.check(0..count, reply_ns, tools)
    }

    /// Checks the bytes that were received at `reply_ns` and are in this part of the buffer.
    pub(crate) fn check(
        &mut self,
        received: Range<usize>,
        reply_ns: u64,
        tools: &mut Tools<'_, '_>,
    ) -> Result<(), Failure> {
        let StreamState::Open(stream) = &mut self.stream else {
            return Ok(());
        };
        let full = stream.allowance(tools.plan) == 0;
        let outstanding = stream.outstanding.len();
        let (traffic, bytes) = (&tools.plan.traffic, &tools.buffer[received]);
        let right = self.exchange.verify_received(traffic, bytes, outstanding, |reply| {
            let answered = stream.outstanding.pop_front();
            let request = answered.expect("no more replies than requests are accepted");
            stream.replies += 1;
            tools.recorder.replied(request, reply, reply_ns);
        });
        // Only the full pipeline kept it from sending; this reply has made room.
        if full && stream.outstanding.len() < outstanding {
            self.free_ns = reply_ns;
        }
        right.map_err(Failure::Mismatch)?;
        self.exchange.take_closed().map_or(Ok(()), |words| Err(Failure::ClosedWith(words)))
    }

    /// Announces the end of the stream, as far as the socket takes that at once. The socket is
    /// closed when the stream is dropped.
    pub(crate) fn announce_end(&mut self, plan: &Plan<'_>, scratch: &mut Vec<u8>) {
        if let StreamState::Open(stream) = &mut self.stream {
            let ending = self.exchange.ending(&plan.traffic, scratch);
            if !ending.is_empty() {
                // The end of the stream itself says enough.
                let _ = stream.transport.write(ending);
            }
            stream.transport.end();
        }
    }
}
