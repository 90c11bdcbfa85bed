//! Writes of keys one after the other, before the load.

use super::super::reply::{Outcome, Reply};
use super::super::traffic::Traffic;
use super::exchange::KeyValueExchange;
use super::traffic::KeyValueTraffic;

/// Most writes that are outstanding at once.
const OUTSTANDING_MAX: usize = 256;

/// The writes of a range of keys.
#[derive(Debug)]
pub(crate) struct Preload<'a> {
    traffic: &'a Traffic,
    shared: &'a KeyValueTraffic,
    exchange: KeyValueExchange,
    unsent: usize,
    outstanding: usize,
    bytes: Vec<u8>,
}

impl<'a> Preload<'a> {
    /// Writes `count` keys from `first_key` on; nothing if the traffic has no keys.
    pub(crate) fn new(traffic: &'a Traffic, first_key: u32, count: u32) -> Option<Self> {
        let shared = traffic.key_value.as_ref()?;
        Some(Self {
            traffic,
            shared,
            exchange: KeyValueExchange::preloading(shared, first_key),
            unsent: count as usize,
            outstanding: 0,
            bytes: Vec::new(),
        })
    }

    /// Whether every write was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.unsent == 0 && self.outstanding == 0
    }

    /// The bytes to send next; empty while replies are awaited.
    pub(crate) fn outgoing(&mut self) -> &[u8] {
        let new = self.unsent.min(OUTSTANDING_MAX - self.outstanding);
        self.exchange.assemble(self.traffic, self.shared, new, &mut self.bytes);
        &self.bytes
    }

    /// The socket took so many of them.
    pub(crate) fn advance_sent(&mut self, sent: usize) {
        let begun = self.exchange.advance_sent(self.shared, sent);
        self.unsent -= begun;
        self.outstanding += begun;
    }

    /// Reads replies.
    ///
    /// # Errors
    ///
    /// What the server said instead of an acknowledgement.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut refused = None;
        let outstanding = &mut self.outstanding;
        let read = self.exchange.verify_received(self.traffic, self.shared, bytes, |reply| {
            *outstanding -= 1;
            if let Reply::Command { outcome: Outcome::Error { word, quote }, .. } = reply {
                let words =
                    quote.map_or_else(|| word.as_str().to_owned(), |quote| quote.first_line);
                refused.get_or_insert(format!("the server said '{words}'"));
            }
        });
        read.map_err(|mismatch| mismatch.note.unwrap_or_else(|| "a wrong byte came".to_owned()))?;
        refused.map_or(Ok(()), Err)
    }
}
