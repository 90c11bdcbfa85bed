//! TLS of a shard's connections.
//!
//! A PROXY header comes first, if one is expected. Then the handshake (`handshake.rs`), of which
//! each turn does a limited part (`turn_share.rs`). From then on a connection differs in one thing
//! alone: decrypted bytes may wait where the kernel does not report them (`reading.rs`).

mod failure;
mod handshake;
mod reading;
#[cfg(all(test, not(loom)))]
mod tests;
mod turn_share;

use std::sync::Arc;

use super::close_reason::CloseReason;
use super::connection_mut::ConnectionMut;
use super::worker::Worker;
use crate::base::Registry;
use crate::base::log_interval::LogInterval;
use crate::server::memory::{CountedMemory, HeldBuffer, MemoryLimit, NoMemory};
use crate::server::peer_address::PeerAddress;
use crate::sys::clock::monotonic_ns;
use crate::tls::TlsServer;
pub(super) use reading::on_tls_readable;
use turn_share::TurnShare;

/// The TLS of a shard.
#[derive(Debug)]
pub(super) struct ShardTls {
    /// For connections that begin from now on.
    /// `None` if the server has no certificate, and only dials with TLS.
    pub(super) server: Option<TlsServer>,
    /// By key.
    connections: Vec<Option<TlsConnection>>,
    turn_share: TurnShare,
    failures_log: LogInterval,
}

#[derive(Debug)]
struct TlsConnection {
    began_ns: u64,
    /// For the log: the kernel forgets it when the peer resets the connection.
    peer: PeerAddress,
    /// That of the bytes which wait in TLS.
    memory: CountedMemory,
}

impl ShardTls {
    pub(super) fn new(server: Option<TlsServer>, registry: &mut Registry<Worker>) -> Self {
        Self {
            server,
            connections: Vec::new(),
            turn_share: TurnShare::new(handshake::next_turn_event(registry)),
            failures_log: LogInterval::default(),
        }
    }

    /// Called right after each wait.
    pub(super) fn turn_began(&mut self) {
        self.turn_share.renew();
    }

    /// A connection begins its handshake.
    fn begin(&mut self, key: usize, peer: PeerAddress, limit: &Arc<MemoryLimit>) {
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        let (began_ns, memory) = (monotonic_ns(), CountedMemory::new(limit));
        self.connections[key] = Some(TlsConnection { began_ns, peer, memory });
    }

    /// Called after the socket of a connection is closed.
    pub(super) fn end(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            *connection = None;
        }
    }

    /// Counts the memory of the bytes that wait in the TLS of a connection.
    fn count_memory(&mut self, key: usize, bytes: usize) -> Result<(), NoMemory> {
        match self.connections.get_mut(key) {
            Some(Some(connection)) => connection.memory.set(bytes),
            _ => Ok(()),
        }
    }
}

impl ConnectionMut<'_> {
    /// Makes pending output of what TLS has not sent, so that nothing else happens before.
    pub(super) fn hold_unsent(&mut self) {
        if self.transport.unsent() > 0 && self.pending.is_none() {
            let memory = &self.worker.shard.limits.memory;
            self.pending = Some(Box::new(HeldBuffer::new(memory)));
        }
    }

    /// Called after each callback of a connection that may have TLS: counts the bytes that wait in
    /// it, and closes the connection if they are too many.
    pub(super) fn count_tls_memory(&mut self) {
        if self.worker.shard.tls.is_none() || !self.is_open() {
            return;
        }
        let (key, bytes) = (self.key, self.transport.waiting_memory());
        let tls = self.worker.shard.tls.as_mut();
        if tls.is_some_and(|tls| tls.count_memory(key, bytes) == Err(NoMemory)) {
            self.fail(CloseReason::NoMemory);
        }
    }
}
