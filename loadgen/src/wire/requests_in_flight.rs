//! The requests of one connection that are made: those to be sent, and those to be answered.
//!
//! No message is stored. A request that was made is a few numbers, from which its bytes are made
//! each time they are needed; and there are no more of them than may be outstanding.

use std::collections::VecDeque;

use super::payload::SLICE_BYTES_MAX;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RequestsInFlight<R> {
    /// Number of the next request to be made.
    next: u64,
    /// Requests that are made and not wholly sent, oldest first. Only the first can be partly sent.
    unsent: VecDeque<R>,
    /// Bytes of the first of them that were sent.
    sent_bytes: u64,
    /// Requests whose first byte was sent, without a reply, oldest first.
    outstanding: VecDeque<R>,
}

impl<R> Default for RequestsInFlight<R> {
    fn default() -> Self {
        let (unsent, outstanding) = (VecDeque::new(), VecDeque::new());
        Self { next: 0, unsent, sent_bytes: 0, outstanding }
    }
}

impl<R: Copy> RequestsInFlight<R> {
    /// Whether a request is partly sent.
    pub(super) fn is_mid_request(&self) -> bool {
        self.sent_bytes > 0
    }

    /// Assembles the bytes to send next: the rest of a request already begun, then up to `new`
    /// further ones. `make` makes the request of a number; `append` appends its bytes from an
    /// offset on, until `out` is full.
    pub(super) fn assemble(
        &mut self,
        new: usize,
        out: &mut Vec<u8>,
        make: impl Fn(u64) -> R,
        append: impl Fn(&R, u64, &mut Vec<u8>),
    ) {
        out.clear();
        let count = new + usize::from(self.is_mid_request());
        let mut skip = self.sent_bytes;
        for index in 0..count {
            if out.len() >= SLICE_BYTES_MAX {
                return;
            }
            if index == self.unsent.len() {
                self.unsent.push_back(make(self.next));
                self.next += 1;
            }
            append(&self.unsent[index], skip, out);
            skip = 0;
        }
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(super) fn advance_sent(&mut self, sent: usize, bytes: impl Fn(&R) -> u64) -> usize {
        let mut left = sent as u64;
        let mut begun = 0;
        while left > 0
            && let Some(request) = self.unsent.front()
        {
            if self.sent_bytes == 0 {
                self.outstanding.push_back(*request);
                begun += 1;
            }
            let rest = bytes(request) - self.sent_bytes;
            if left < rest {
                self.sent_bytes += left;
                break;
            }
            left -= rest;
            self.sent_bytes = 0;
            self.unsent.pop_front();
        }
        begun
    }

    /// The request that the next reply belongs to.
    pub(super) fn awaited(&self) -> Option<R> {
        self.outstanding.front().copied()
    }

    /// The reply to it is complete.
    pub(super) fn answered(&mut self) {
        self.outstanding.pop_front();
    }

    /// The number of the first request that is not begun.
    pub(super) fn unbegun(&self) -> u64 {
        let begun = usize::from(self.is_mid_request());
        self.next - self.unsent.len().saturating_sub(begun) as u64
    }

    /// Drops the unanswered requests: a new connection has replaced the old one.
    pub(super) fn restart(&mut self) {
        if self.is_mid_request() {
            self.unsent.pop_front();
            self.sent_bytes = 0;
        }
        self.outstanding.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Request `number` has so many bytes, all of which are its number.
    fn bytes(number: &u64) -> u64 {
        number % 7 + 1
    }

    fn append(number: &u64, skip: u64, out: &mut Vec<u8>) {
        out.extend((skip..bytes(number)).map(|_| *number as u8));
    }

    proptest! {
        #[test]
        fn every_byte_is_sent_once_whatever_the_socket_takes(
            steps in prop::collection::vec((0_usize..5, 0_usize..40), 1..60),
        ) {
            let mut requests = RequestsInFlight::default();
            let (mut out, mut sent, mut begun) = (Vec::new(), Vec::new(), 0);
            for (new, taken) in steps {
                requests.assemble(new, &mut out, |number| number, append);
                let taken = taken.min(out.len());
                sent.extend_from_slice(&out[..taken]);
                begun += requests.advance_sent(taken, bytes);
                prop_assert_eq!(requests.unbegun(), begun as u64);
            }
            let mut all = Vec::new();
            (0..begun as u64 + 1).for_each(|number| append(&number, 0, &mut all));
            prop_assert!(all.starts_with(&sent));
            for number in 0..begun as u64 {
                prop_assert_eq!(requests.awaited(), Some(number));
                requests.answered();
            }
            prop_assert_eq!(requests.awaited(), None);
        }
    }

    #[test]
    fn a_new_connection_begins_with_the_next_request_that_is_not_begun() {
        let mut requests = RequestsInFlight::default();
        let mut out = Vec::new();
        requests.assemble(9, &mut out, |number| number, append);
        // All of 0 (a byte) and 1 (two), and a byte of 2.
        assert_eq!(requests.advance_sent(4, bytes), 3);
        requests.restart();
        assert!(!requests.is_mid_request());
        assert_eq!((requests.awaited(), requests.unbegun()), (None, 3));
        requests.assemble(1, &mut out, |number| number, append);
        assert_eq!(out, [3; 4]);
    }
}
