//! One connection's place in both directions: the next bytes to send, and whether those that came
//! are right.

use super::Sizes;
use super::payload::{Cursor, Payload};
use crate::options::TrafficOptions;
use crate::record::Mismatch;
use crate::schedule::random;

/// Part of a seed that the sizes are made of.
const SIZES: u64 = 2 << 40;

/// What all connections of a run exchange.
#[derive(Debug)]
pub(crate) struct Traffic {
    sizes: Sizes,
    payload: Payload,
    seed: u64,
}

impl Traffic {
    /// The traffic of a run.
    pub(crate) fn new(options: &TrafficOptions, seed: u64) -> Self {
        Self { sizes: options.sizes.clone(), payload: Payload::new(seed), seed }
    }
}

/// One connection's place in the traffic.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: u32,
    sizes_key: u64,
    /// Requests begun so far; the number of the next one.
    begun: u64,
    /// Bytes of the newest request that have not been taken yet.
    unsent_bytes: u64,
    /// Right bytes of the oldest outstanding request's reply.
    partial_reply_bytes: u64,
    /// Replies that have come whole; the number of the request that is answered next.
    replies: u64,
    send_cursor: Cursor,
    receive_cursor: Cursor,
}

impl Exchange {
    /// The beginning of connection number `connection`.
    pub(crate) fn new(traffic: &Traffic, connection: u32) -> Self {
        let start = traffic.payload.start(connection);
        Self {
            connection,
            sizes_key: random::key(traffic.seed, SIZES + u64::from(connection)),
            begun: 0,
            unsent_bytes: 0,
            partial_reply_bytes: 0,
            replies: 0,
            send_cursor: start,
            receive_cursor: start,
        }
    }

    /// Whether a request has been begun but not sent whole.
    pub(crate) fn is_mid_request(&self) -> bool {
        self.unsent_bytes > 0
    }

    /// The bytes to send next: the rest of a request already begun, then up to `new` further ones;
    /// at most [`super::SLICE_BYTES_MAX`].
    pub(crate) fn outgoing<'a>(
        &self,
        traffic: &'a Traffic,
        new: usize,
        _scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let size = traffic.sizes.size_of(self.sizes_key, self.begun);
        traffic.payload.slice(self.send_cursor, self.unsent_bytes + new as u64 * size)
    }

    /// Notes that the first `taken` bytes of [`Self::outgoing`] went; returns how many requests
    /// were begun with them. Those not begun are as if they had never been asked for.
    pub(crate) fn took(&mut self, traffic: &Traffic, taken: usize) -> usize {
        self.send_cursor.advance(taken);
        let mut left = taken as u64;
        let mut begun = 0;
        loop {
            let step = left.min(self.unsent_bytes);
            self.unsent_bytes -= step;
            left -= step;
            if left == 0 {
                return begun;
            }
            self.unsent_bytes = traffic.sizes.size_of(self.sizes_key, self.begun);
            self.begun += 1;
            begun += 1;
        }
    }

    /// Checks the bytes that came, in place, while `outstanding` requests are unanswered. Returns
    /// how many replies they complete, and the first byte that is wrong, if one is.
    pub(crate) fn came(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
    ) -> (usize, Result<(), Mismatch>) {
        let size = traffic.sizes.size_of(self.sizes_key, self.replies);
        let owed = outstanding as u64 * size - self.partial_reply_bytes;
        let expected = traffic.payload.slice(self.receive_cursor, owed.min(bytes.len() as u64));
        let right = if bytes == expected {
            bytes.len()
        } else {
            bytes.iter().zip(expected).take_while(|(came, expected)| came == expected).count()
        };
        self.receive_cursor.advance(right);
        self.partial_reply_bytes += right as u64;
        let completed = self.partial_reply_bytes / size;
        self.partial_reply_bytes %= size;
        self.replies += completed;
        let owed = outstanding as u64 > completed;
        let wrong = bytes.get(right).map(|&got| Mismatch {
            connection: self.connection,
            request: self.replies,
            offset_bytes: self.partial_reply_bytes,
            expected: owed.then(|| traffic.payload.slice(self.receive_cursor, 1)[0]),
            got,
            note: None,
        });
        (completed as usize, wrong.map_or(Ok(()), Err))
    }

    /// Whether the server has said that it will close after its latest reply.
    pub(crate) fn wants_close(&self) -> bool {
        false
    }

    /// Forgets what was outstanding: the connection was replaced by a new one, whose first request
    /// is the next that has not been begun.
    pub(crate) fn restart(&mut self) {
        self.unsent_bytes = 0;
        self.partial_reply_bytes = 0;
        self.replies = self.begun;
        self.receive_cursor = self.send_cursor;
    }
}
