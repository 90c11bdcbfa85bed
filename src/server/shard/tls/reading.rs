//! Reading a connection with TLS. One read of its socket may bring more than one call takes, and
//! the rest waits in TLS, where the kernel does not report it.

use super::super::call::NextStep;
use super::super::connection_io::READS_PER_TURN_MAX;
use super::super::connection_mut::ConnectionMut;
use super::super::connection_state::Stage;
use super::super::worker::Worker;
use crate::base::Registry;
use crate::event::{Fired, Ready};

pub(in super::super) fn on_tls_readable(
    registry: &mut Registry<Worker>,
    worker: &mut Worker,
    fired: Fired,
) {
    let key = fired.token.0 as usize;
    let mut connection = worker.connection(registry, key);
    connection.readable(fired.ready, ConnectionMut::read);
    connection.count_tls_memory();
    worker.shard.callback_ended(key);
}

impl ConnectionMut<'_> {
    /// Reads within the budget of a turn, and passes the input to the service.
    pub(in super::super) fn read_tls(&mut self) {
        for _ in 0..READS_PER_TURN_MAX {
            if !self.read_once::<true>() {
                break;
            }
        }
        if !self.is_open() || self.stage != Stage::Reading {
            return;
        }
        // An answer of TLS itself, which may be the only thing to send for a long time.
        if self.transport.unsent() > 0 {
            self.hold_unsent();
            self.begin_sending(NextStep::Read);
        } else {
            self.read_received_later();
        }
    }

    /// Reads in the next turn what waits in TLS.
    pub(in super::super) fn read_received_later(&mut self) {
        if self.transport.has_received() {
            let readable = self.readable;
            self.registry.activate_later(readable, Ready::READ).expect("it is ours");
        }
    }
}
