//! Why a bufferevent calls its handlers, and which calls are still due.

use std::mem;

bitflags::bitflags! {
    /// What happened to a bufferevent besides data (libevent: `BEV_EVENT_*`, the `what` of its
    /// event callback). The values are libevent's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct What: u16 {
        /// It happened while reading.
        const READING = 0x01;
        /// It happened while writing.
        const WRITING = 0x02;
        /// The peer ended its stream.
        const EOF = 0x10;
        /// An operation failed; [`take_error`](crate::BuffereventMut::take_error) returns why.
        const ERROR = 0x20;
        /// A timeout elapsed.
        const TIMEOUT = 0x40;
        /// A connect succeeded.
        const CONNECTED = 0x80;
    }
}

/// The calls that a bufferevent owes to its handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) what: What,
}

/// Why a handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Read,
    Write,
    Event(What),
}

impl Due {
    pub(super) fn is_empty(self) -> bool {
        !self.read && !self.write && self.what.is_empty()
    }

    /// Takes the first reason out, in libevent's order: a connect, input, output, all other events.
    pub(super) fn next(&mut self) -> Option<Reason> {
        if self.is_empty() {
            return None;
        }
        if self.what.contains(What::CONNECTED) {
            self.what -= What::CONNECTED;
            return Some(Reason::Event(What::CONNECTED));
        }
        if mem::take(&mut self.read) {
            return Some(Reason::Read);
        }
        if mem::take(&mut self.write) {
            return Some(Reason::Write);
        }
        let what = mem::take(&mut self.what);
        (!what.is_empty()).then_some(Reason::Event(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_comes_first_then_input_then_output_then_all_else() {
        let mut due = Due { read: true, write: true, what: What::CONNECTED | What::EOF };
        due.what |= What::READING;
        let order: Vec<Reason> = std::iter::from_fn(|| due.next()).collect();
        let last = Reason::Event(What::EOF | What::READING);
        assert_eq!(order, [Reason::Event(What::CONNECTED), Reason::Read, Reason::Write, last]);
        assert!(due.is_empty());
    }
}
