//! One connection to the server in memory, and its books.

use std::collections::VecDeque;

use super::super::{Commands, KeyValueSpec};
use super::peer::{Command, Peer};
use crate::wire::tests::spec;
use crate::wire::{Exchange, Mismatch, Outcome, Protocol, Reply, Traffic, TrafficSpec, Verify};

/// The protocols with keys.
pub(super) const PROTOCOLS: [Protocol; 3] =
    [Protocol::Resp2, Protocol::MemcachedText, Protocol::MemcachedMeta];

/// The traffic of a mix on so many keys, drawn by a distribution, for three connections.
pub(super) fn traffic(
    protocol: Protocol,
    mix: &str,
    keys: &str,
    distribution: &str,
    sizes: &str,
) -> Traffic {
    let key_value = KeyValueSpec {
        keys: keys.parse().unwrap(),
        prefix: "k".parse().unwrap(),
        distribution: distribution.parse().unwrap(),
        commands: Commands::Mix(mix.parse().unwrap()),
        preload: false,
        connections: 3,
    };
    let spec = TrafficSpec { key_value: Some(key_value), ..spec(protocol, sizes, Verify::Full) };
    Traffic::new(&spec, 11)
}

/// A connection in memory.
pub(super) struct Client<'a> {
    traffic: &'a Traffic,
    pub(super) exchange: Exchange,
    scratch: Vec<u8>,
    begun: usize,
    pub(super) outstanding: usize,
    /// Bytes on the way to the server.
    arriving: Vec<u8>,
    /// Commands that the server got and has not executed.
    pub(super) waiting: VecDeque<Command>,
    /// Bytes on the way back.
    pub(super) replies: VecDeque<u8>,
    pub(super) outcomes: Vec<Outcome>,
}

impl<'a> Client<'a> {
    pub(super) fn new(traffic: &'a Traffic, connection: u32) -> Self {
        Self {
            traffic,
            exchange: Exchange::new(traffic, connection),
            scratch: Vec::new(),
            begun: 0,
            outstanding: 0,
            arriving: Vec::new(),
            waiting: VecDeque::new(),
            replies: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    /// Offers `new` requests to a socket that takes `write_max` bytes.
    pub(super) fn send(&mut self, new: usize, write_max: usize, peer: &Peer) {
        let bytes = self.exchange.outgoing(self.traffic, new, &mut self.scratch);
        let taken = bytes.len().min(write_max);
        self.arriving.extend_from_slice(&bytes[..taken]);
        let begun = self.exchange.advance_sent(self.traffic, taken);
        assert!(begun <= new);
        self.begun += begun;
        self.outstanding += begun;
        while let Some(command) = peer.take_command(&mut self.arriving) {
            self.waiting.push_back(command);
        }
        assert_eq!(self.exchange.is_mid_request(), !self.arriving.is_empty());
    }

    /// The server executes the next command.
    pub(super) fn execute(&mut self, peer: &mut Peer) {
        if let Some(command) = self.waiting.pop_front() {
            self.replies.extend(peer.execute(command));
        }
    }

    /// Reads up to `read_max` bytes.
    pub(super) fn receive(&mut self, read_max: usize) -> Result<(), Mismatch> {
        let count = self.replies.len().min(read_max);
        let bytes: Vec<u8> = self.replies.drain(..count).collect();
        let outcomes = &mut self.outcomes;
        let before = outcomes.len();
        let on_reply = |reply| match reply {
            Reply::Command { outcome, .. } => outcomes.push(outcome),
            other => panic!("{other:?}"),
        };
        let outstanding = self.outstanding;
        let result = self.exchange.verify_received(self.traffic, &bytes, outstanding, on_reply);
        self.outstanding -= self.outcomes.len() - before;
        result
    }

    /// One request from its send to its reply.
    pub(super) fn ask(&mut self, peer: &mut Peer) -> Outcome {
        self.send(1, usize::MAX, peer);
        self.execute(peer);
        self.receive(usize::MAX).unwrap();
        self.outcomes.pop().unwrap()
    }

    /// The connection is replaced.
    pub(super) fn restart(&mut self) {
        self.exchange.restart();
        self.outstanding = 0;
        self.arriving.clear();
        self.waiting.clear();
        self.replies.clear();
    }
}
