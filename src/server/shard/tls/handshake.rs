//! The handshake of a connection, before its service is called.

use std::fmt::Display;
use std::io;
use std::time::Instant;

use super::super::close_reason::CloseReason;
use super::super::connection_mut::ConnectionMut;
use super::super::connection_state::Stage;
use super::super::shard_state::ShardState;
use super::super::worker::Worker;
use super::ShardTls;
use super::failure::HandshakeFailure;
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::{EventId, EventSpec, Fired, Ready};
use crate::server::peer_address::PeerAddress;
use crate::sys::clock::monotonic_ns;
use crate::tls::{TlsError, TlsServer};

/// An event whose handler goes on with the handshakes that a turn had no time for.
pub(super) fn next_turn_event(registry: &mut Registry<Worker>) -> EventId {
    registry.create(EventSpec::timer(), on_next_turn)
}

fn on_next_turn(registry: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    while let Some((key, readable)) =
        worker.shard.tls.as_mut().and_then(|tls| tls.turn_share.next())
    {
        let waits = worker.shard.connections.get(key).is_some_and(|one| one.readable == readable);
        // Another connection may have the key by now.
        if waits {
            let mut connection = worker.connection(registry, key);
            connection.stage = Stage::Handshake { deferred: false };
            if connection.watch(readable, None) {
                connection.do_handshake_step();
                connection.count_tls_memory();
            }
            worker.shard.callback_ended(key);
        }
    }
    if let Some(tls) = &worker.shard.tls
        && tls.turn_share.has_deferred()
    {
        go_on_next_turn(registry, tls);
    }
}

fn go_on_next_turn(registry: &mut Registry<Worker>, tls: &ShardTls) {
    let event = tls.turn_share.next_turn;
    registry.activate_later(event, Ready::TIMEOUT).expect("it lives as long as the worker");
}

impl ConnectionMut<'_> {
    fn tls(&mut self) -> &mut ShardTls {
        let Self { worker, registry, .. } = self;
        worker.shard.tls.get_or_insert_with(|| Box::new(ShardTls::new(None, registry)))
    }

    fn server(&mut self) -> &TlsServer {
        self.tls().server.as_ref().expect("a server with a TLS listener has a certificate")
    }

    /// Begins TLS. Unconsumed input is the beginning of the peer's part.
    pub(in super::super) fn begin_handshake(&mut self) {
        let connection = match self.server().connection() {
            Ok(connection) => connection,
            Err(error) => return self.fail_handshake(HandshakeFailure::Closed, &error),
        };
        // The deadline of the first byte begins with the service.
        self.received_any = false;
        self.start_handshake(connection, None);
        if let Some(timeout) = self.worker.shard.deadlines.handshake {
            self.start_deadline(timeout);
        }
        if self.unconsumed.is_some() {
            self.handshake();
        }
    }

    /// Puts TLS on the connection. `requested` is the name of the server that a client asks for.
    pub(in super::super) fn start_handshake(
        &mut self,
        connection: rustls::Connection,
        requested: Option<String>,
    ) {
        let (key, memory) = (self.key, self.worker.shard.limits.memory.clone());
        let peer = self.peer_address();
        self.tls().begin(key, peer, &memory);
        self.stage = Stage::Handshake { deferred: false };
        self.registry.remove_timeout(self.worker.shard.connections[key].readable);
        self.transport.start_tls(connection, requested, Buffer::new());
    }

    /// Goes on with the handshake, in the next turn if this one has no time for it.
    pub(in super::super) fn handshake(&mut self) {
        if !self.tls().turn_share.must_defer() {
            return self.do_handshake_step();
        }
        self.worker.shard.stats.handshakes.deferred += 1;
        self.stage = Stage::Handshake { deferred: true };
        self.free_writable();
        let (key, readable) = (self.key, self.readable);
        self.registry.del(readable);
        self.tls().turn_share.defer(key, readable);
        let Self { worker, registry, .. } = self;
        if let Some(tls) = &worker.shard.tls {
            go_on_next_turn(registry, tls);
        }
    }

    fn do_handshake_step(&mut self) {
        let start_ns = monotonic_ns();
        // To decode it is a part of the step that must wait for its turn.
        if let Some(early) = self.unconsumed.take() {
            self.transport.take_early(&early);
        }
        let done = self.transport.handshake();
        self.tls().turn_share.spend(monotonic_ns() - start_ns);
        // A drain also comes here, to look whether anything has come.
        self.active_since_tick |= self.transport.has_peer_begun_tls();
        match done {
            Ok(true) => self.handshake_done(),
            Ok(false) if self.transport.unsent() > 0 => {
                self.watch_writable();
            }
            Ok(false) => self.free_writable(),
            Err(error) if self.is_dialed() => self.fail_dialed(error),
            // As a health check does that only tests whether the port is open.
            Err(_) if !self.transport.has_peer_begun_tls() => self.close(CloseReason::Closed),
            Err(error) if TlsError::inside(&error).is_none() => {
                let what = format!("TLS handshake: {error}; check the peer's log");
                self.fail_handshake(HandshakeFailure::Closed, &what);
            }
            Err(error) => self.fail_handshake(HandshakeFailure::of(&error), &error),
        }
    }

    fn handshake_done(&mut self) {
        self.free_timer();
        self.free_writable();
        let key = self.key;
        if self.is_dialed() {
            return self.client_handshake_done();
        }
        let is_resumed = self.transport.is_tls_resumed();
        let ShardState { tls, timings, stats, .. } = &mut self.worker.shard;
        stats.handshakes.done += 1;
        stats.handshakes.resumed += u64::from(is_resumed);
        let of_this = tls.as_ref().and_then(|tls| tls.connections[key].as_ref());
        if let (Some(timings), Some(connection)) = (timings, of_this) {
            timings.handshake_done(connection.began_ns);
        }
        if !self.watch(self.readable, self.worker.shard.deadlines.before_first_byte()) {
            return;
        }
        self.begin_encrypted_service();
    }

    /// The same for the connection of a dial. Clients' handshakes are counted, and it is none.
    fn client_handshake_done(&mut self) {
        if self.watch(self.readable, self.worker.shard.deadlines.idle) {
            self.begin_encrypted_service();
        }
    }

    fn begin_encrypted_service(&mut self) {
        self.hold_unsent();
        if self.begin_service() && self.transport.has_received() {
            self.read_tls();
        }
    }

    /// The handshake took longer than its deadline.
    pub(in super::super) fn handshake_timed_out(&mut self) {
        let timeout = self.server().handshake_timeout().unwrap_or_default();
        let error = io::Error::from(TlsError::HandshakeTimedOut { timeout });
        self.fail_handshake(HandshakeFailure::Timeout, &error);
    }

    fn fail_handshake(&mut self, failure: HandshakeFailure, error: &dyn Display) {
        failure.count(&mut self.worker.shard.stats.handshakes.errors);
        if let Some(suppressed) = self.tls().failures_log.next(Instant::now()) {
            let (shard, key) = (self.worker.shard.handoff.shard(), self.key);
            let of_this = self.tls().connections.get(key).and_then(Option::as_ref);
            let peer = of_this.map_or(PeerAddress::Unknown, |connection| connection.peer);
            log::info!(
                target: "shard", shard, peer:%, error:%, suppressed; "a TLS handshake failed"
            );
        }
        self.fail(CloseReason::Handshake);
    }
}
