//! One direction of a bufferevent: whether bytes may move, how many, and for how long to wait.

use std::time::Duration;

use crate::event::EventId;

bitflags::bitflags! {
    /// Why an enabled direction moves nothing for now (libevent: `BEV_SUSPEND_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Suspended: u8 {
        /// The buffer is at its high watermark.
        const HIGH_WATERMARK = 0x01;
        /// The bufferevent's own rate limit has no bytes left.
        const BANDWIDTH = 0x02;
        /// Its group's rate limit has no bytes left.
        const GROUP_BANDWIDTH = 0x04;
        /// Its host name is being resolved, or it connects.
        const CONNECT = 0x08;
        /// The filter above it takes nothing.
        const FILTER = 0x10;
        /// Its TLS handshake is not done.
        const HANDSHAKE = 0x20;
    }
}

/// When the handler of a direction is called, and how far its buffer may grow (libevent:
/// `bufferevent_setwatermark`). Bytes; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Reading: the handler is called when the input has at least so many bytes. Writing: when the
    /// output has at most so many left.
    pub low: usize,
    /// Reading: the input never exceeds it; at it, reading stops until the handler removes some.
    /// Writing: what a filter above and a pair's other end put in stops there. A socket's own
    /// output is not bounded by it, as in libevent.
    pub high: usize,
}

impl Watermarks {
    /// How many bytes a buffer of `length` may take; `usize::MAX` without a high watermark.
    pub(super) fn room(self, length: usize) -> usize {
        if self.high == 0 { usize::MAX } else { self.high.saturating_sub(length) }
    }
}

/// The state of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direction {
    /// Whether the user wants it (libevent: `bufferevent_enable`).
    pub(super) enabled: bool,
    pub(super) suspended: Suspended,
    pub(super) watermarks: Watermarks,
    pub(super) timeout: Option<Duration>,
    /// The most bytes that one system call moves.
    pub(super) max_single: usize,
    /// Waits for the socket; or only for the timeout, if there is no socket.
    pub(super) event: Option<EventId>,
    /// Whether that event is pending.
    pub(super) watched: bool,
}

impl Direction {
    pub(super) fn new(enabled: bool, max_single: usize) -> Self {
        Self {
            enabled,
            suspended: Suspended::empty(),
            watermarks: Watermarks::default(),
            timeout: None,
            max_single,
            event: None,
            watched: false,
        }
    }

    /// Whether bytes may move.
    pub(super) fn is_on(&self) -> bool {
        self.enabled && self.suspended.is_empty()
    }
}
