//! One connection in memory, and a naive reader of what it sends.

use crate::wire::tests::{spec, websocket_head};
use crate::wire::{Exchange, Mismatch, Protocol, Reply, Traffic, TrafficSpec, Verify};

/// A frame of the client, unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentFrame {
    pub(super) first: u8,
    pub(super) payload: Vec<u8>,
}

/// The traffic of a run.
pub(super) fn traffic(sizes: &str, is_text: bool) -> Traffic {
    let spec = TrafficSpec { is_text, ..spec(Protocol::WebSocket, sizes, Verify::Full) };
    Traffic::new(&spec, 11)
}

/// A frame of the server.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&websocket_head(first, payload.len())[..], payload].concat()
}

/// A connection, and what it has sent.
pub(super) struct Client<'a> {
    traffic: &'a Traffic,
    pub(super) exchange: Exchange,
    scratch: Vec<u8>,
    pub(super) outstanding: usize,
    /// Bytes that are no whole frame yet.
    arriving: Vec<u8>,
}

impl<'a> Client<'a> {
    pub(super) fn new(traffic: &'a Traffic) -> Self {
        let exchange = Exchange::new(traffic, 3);
        Self { traffic, exchange, scratch: Vec::new(), outstanding: 0, arriving: Vec::new() }
    }

    /// Offers what waits and `new` requests to a socket that takes `most` bytes. Returns the frames
    /// that are whole at the server.
    pub(super) fn send(&mut self, new: usize, most: usize) -> Vec<SentFrame> {
        let bytes = self.exchange.outgoing(self.traffic, new, &mut self.scratch);
        let taken = bytes.len().min(most);
        self.arriving.extend_from_slice(&bytes[..taken]);
        self.outstanding += self.exchange.advance_sent(self.traffic, taken);
        std::iter::from_fn(|| self.next_frame()).collect()
    }

    /// All that waits, and the frame that ends the connection.
    pub(super) fn end(&mut self) -> Vec<SentFrame> {
        let bytes = self.exchange.ending(self.traffic, &mut self.scratch);
        self.arriving.extend_from_slice(bytes);
        std::iter::from_fn(|| self.next_frame()).collect()
    }

    /// Receives bytes. Returns how many replies are complete, all of which are right.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<usize, Mismatch> {
        let mut replies = 0;
        let count = |reply| {
            assert_eq!(reply, Reply::Right { status: None });
            replies += 1;
        };
        self.exchange.verify_received(self.traffic, bytes, self.outstanding, count)?;
        self.outstanding -= replies;
        Ok(replies)
    }

    /// Whether the server has got the beginning of a frame only.
    pub(super) fn is_mid_frame(&self) -> bool {
        !self.arriving.is_empty()
    }

    fn next_frame(&mut self) -> Option<SentFrame> {
        let &[first, second] = self.arriving.first_chunk()?;
        assert!(second >= 0x80, "a client must mask");
        let (key_at, length) = match second & 0x7f {
            126 => (4, u16::from_be_bytes(*self.arriving[2..].first_chunk()?).into()),
            127 => (10, u64::from_be_bytes(*self.arriving[2..].first_chunk()?) as usize),
            short => (2, short.into()),
        };
        let key: [u8; 4] = *self.arriving[key_at..].first_chunk()?;
        assert!(!key.contains(&0));
        let masked = self.arriving.get(key_at + 4..key_at + 4 + length)?;
        let payload = masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let frame = SentFrame { first, payload: payload.collect() };
        self.arriving.drain(..key_at + 4 + length);
        Some(frame)
    }
}
