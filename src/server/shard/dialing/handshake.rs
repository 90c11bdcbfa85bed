//! The connection of a dial until its service gets it: its TLS handshake, if it has TLS.

use std::io;
use std::time::Duration;

use super::super::close_reason::CloseReason;
use super::super::connection_mut::ConnectionMut;
use super::DialError;
use crate::tls::TlsError;

impl ConnectionMut<'_> {
    /// Starts the connection of a dial.
    pub(super) fn begin_dialed(&mut self, dial: usize, time_left: Duration) {
        if !self.watch(self.readable, self.worker.shard.deadlines.idle) {
            return;
        }
        let Some((client, name)) = self.worker.shard.dials.dials[dial].dial.tls.clone() else {
            self.open();
            return;
        };
        match client.connection(&name) {
            Ok(connection) => {
                self.start_handshake(connection, Some(name));
                self.start_timer(time_left);
                self.handshake();
            }
            Err(error) => self.fail_dialed(error.into()),
        }
    }

    /// Whether it is the connection of a dial that has not ended.
    pub(in super::super) fn is_dialed(&self) -> bool {
        self.worker.shard.dials.of_connection(self.key).is_some()
    }

    /// The handshake of a dial failed: closes its connection, and calls the service for the dial.
    pub(in super::super) fn fail_dialed(&mut self, source: io::Error) {
        if let Some(dial) = self.worker.shard.dials.of_connection(self.key) {
            let dialing = &mut self.worker.shard.dials.dials[dial];
            dialing.error = Some(DialError::Tls { peer: dialing.dial.to_string(), source });
        }
        // An alert says what went wrong.
        self.transport.send_close_notify();
        self.close(CloseReason::Handshake);
    }

    /// The deadline of a dial is over during its handshake.
    pub(in super::super) fn dialed_timed_out(&mut self) {
        let Some(dial) = self.worker.shard.dials.of_connection(self.key) else { return };
        let timeout = self.worker.shard.dials.dials[dial].dial.deadline;
        self.fail_dialed(TlsError::HandshakeTimedOut { timeout }.into());
    }
}
