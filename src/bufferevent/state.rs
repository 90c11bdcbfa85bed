//! The state of one bufferevent: what all kinds have.

use std::fmt;
use std::io;

use super::direction::Direction;
use super::filter::FilterState;
use super::handlers::{BuffereventHandlers, Call};
use super::limits::Limits;
use super::socket::SocketState;
use super::table::BuffereventId;
use super::what::{Due, Reason, What};
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::{EventId, Interest, Token};

bitflags::bitflags! {
    /// How a bufferevent behaves (libevent: `enum bufferevent_options`).
    ///
    /// There is no counterpart of `BEV_OPT_CLOSE_ON_FREE`, because a bufferevent owns its socket
    /// or what is below it: see [`take_socket`](crate::BuffereventMut::take_socket). There is none
    /// of `BEV_OPT_THREADSAFE` and `BEV_OPT_UNLOCK_CALLBACKS`, because a context belongs to one
    /// thread.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct BuffereventOptions: u8 {
        /// Calls the handlers from an event of their own, which has the bufferevent's priority, and
        /// not from the one that moved the bytes (libevent: `BEV_OPT_DEFER_CALLBACKS`).
        const DEFER_CALLBACKS = 0x04;
    }
}

/// What moves the bytes.
pub(super) enum Kind {
    Socket(SocketState),
    /// The other end, unless it was freed.
    Pair(Option<BuffereventId>),
    Filter(FilterState),
}

/// One bufferevent.
pub(super) struct Bufferevent<C> {
    pub(super) kind: Kind,
    pub(super) input: Buffer,
    pub(super) output: Buffer,
    pub(super) read: Direction,
    pub(super) write: Direction,
    /// Its rate limits, if it has any.
    pub(super) limits: Option<Box<Limits>>,
    pub(super) handlers: BuffereventHandlers<C>,
    pub(super) token: Token,
    pub(super) due: Due,
    pub(super) error: Option<io::Error>,
    /// The event that calls the handlers, if they are deferred.
    pub(super) deferred: Option<EventId>,
    /// The filter on it, which gets all calls in place of the handlers.
    pub(super) filter: Option<BuffereventId>,
    /// The priority of its events; that of a new event if it is not set.
    pub(super) priority: Option<u8>,
    /// Whether something changed since its bytes were moved and its events agreed with it.
    pub(super) is_unsettled: bool,
    /// Whether it is freed once its output is sent.
    pub(super) is_closing: bool,
    /// Whether TLS is between its bytes and its socket. It is asked for more often than once for
    /// each event, so that it is here, too.
    pub(super) has_tls: bool,
    /// Whether it is in the table's list of changed ones.
    pub(super) is_marked: bool,
}

/// The most bytes that one system call moves in each direction, unless the user sets others.
/// libevent's 16 KiB cost more calls than they save in fairness.
pub(super) const SINGLE_READ_MAX: usize = 64 << 10;
pub(super) const SINGLE_WRITE_MAX: usize = 256 << 10;

impl<C> Bufferevent<C> {
    /// A new one writes, and reads only once it is enabled, as in libevent.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            input: Buffer::new(),
            output: Buffer::new(),
            read: Direction::new(false, SINGLE_READ_MAX),
            write: Direction::new(true, SINGLE_WRITE_MAX),
            limits: None,
            handlers: BuffereventHandlers::default(),
            token: Token::default(),
            due: Due::default(),
            error: None,
            deferred: None,
            filter: None,
            priority: None,
            is_unsettled: true,
            is_closing: false,
            has_tls: false,
            is_marked: false,
        }
    }

    /// Takes out the first call that is due and that has a handler.
    pub(super) fn next_call(&mut self) -> Option<Call<C>> {
        while let Some(reason) = self.due.next() {
            let call = match reason {
                Reason::Read => self.handlers.read.map(Call::Data),
                Reason::Write => self.handlers.write.map(Call::Data),
                Reason::Event(what) => self.handlers.event.map(|event| Call::Event(event, what)),
            };
            if call.is_some() {
                return call;
            }
        }
        None
    }

    /// Ends the direction that `what` names, and reports it.
    #[cold]
    pub(super) fn report(&mut self, what: What) {
        self.is_unsettled = true;
        if what.contains(What::READING) {
            self.read.enabled = false;
        }
        if what.contains(What::WRITING) {
            self.write.enabled = false;
        }
        self.due.what |= what;
    }

    pub(super) fn report_error(&mut self, error: io::Error, what: What) {
        self.error = Some(error);
        self.report(What::ERROR | what);
    }

    /// Reports input to the handler if there is enough of it.
    pub(super) fn report_input(&mut self) {
        self.due.read |= self.input.len() >= self.read.watermarks.low;
        // Reading may have to stop.
        self.is_unsettled |= self.read.watermarks.high > 0;
    }

    /// Reports output that went out to the handler if little enough is left.
    pub(super) fn report_output(&mut self) {
        self.due.write |= self.output.len() + self.unsent() <= self.write.watermarks.low;
    }

    /// Suspends reading at the high watermark, and resumes it below.
    pub(super) fn check_high_watermark(&mut self) {
        let is_full = self.read.watermarks.room(self.input.len()) == 0;
        self.read.suspended.set(super::direction::Suspended::HIGH_WATERMARK, is_full);
    }

    /// Whether it is to be freed, and nothing is left to send or nothing can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closing && (self.is_sent() || !self.write.enabled || !self.has_destination())
    }

    /// Whether nothing is left to send, nor an end of the stream that TLS marks.
    #[cold]
    fn is_sent(&self) -> bool {
        if self.has_output() {
            return false;
        }
        match &self.kind {
            Kind::Socket(socket) => !(socket.ends && socket.is_tls()),
            _ => true,
        }
    }

    /// Whether it has output that was not sent.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.unsent() > 0
    }

    /// How many bytes of its output TLS has encrypted, and the socket has not taken.
    #[inline(always)]
    pub(super) fn unsent(&self) -> usize {
        if self.has_tls { self.unsent_by_tls() } else { 0 }
    }

    #[inline(never)]
    fn unsent_by_tls(&self) -> usize {
        match &self.kind {
            Kind::Socket(SocketState { transport: Some(transport), .. }) => transport.unsent(),
            _ => 0,
        }
    }

    /// Whether there is, or will be, something that takes its output.
    fn has_destination(&self) -> bool {
        match &self.kind {
            Kind::Socket(socket) => socket.transport.is_some() || socket.connecting.is_some(),
            Kind::Pair(partner) => partner.is_some(),
            Kind::Filter(filter) => filter.underlying.is_some(),
        }
    }

    pub(super) fn enabled(&self) -> Interest {
        let mut enabled = Interest::empty();
        enabled.set(Interest::READ, self.read.enabled);
        enabled.set(Interest::WRITE, self.write.enabled);
        enabled
    }

    /// All its events.
    pub(super) fn events(&self) -> impl Iterator<Item = EventId> {
        let refill = self.limits.as_ref().and_then(|limits| limits.timer);
        let all =
            [self.read.event, self.write.event, self.deferred, refill, self.handshake_timer()];
        all.into_iter().flatten()
    }

    /// Frees the events of both directions, because their socket goes.
    pub(super) fn free_io_events(&mut self, registry: &mut Registry<C>) {
        for direction in [&mut self.read, &mut self.write] {
            direction.watched = false;
            if let Some(event) = direction.event.take() {
                registry.free(event);
            }
        }
    }
}

impl<C> fmt::Debug for Bufferevent<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Socket(_) => "socket",
            Kind::Pair(_) => "pair",
            Kind::Filter(_) => "filter",
        };
        f.debug_struct("Bufferevent")
            .field("kind", &kind)
            .field("input", &self.input.len())
            .field("output", &self.output.len())
            .field("read", &self.read)
            .field("write", &self.write)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
