//! How a connection that reads nothing notices that its peer has reset it.
//!
//! While its service pauses it, an event waits for the peer's close instead of its bytes
//! (`EPOLLRDHUP`). With deferred changes this is one change of interest, as without it. If the
//! socket has an error then, the connection is closed. Otherwise the peer has only ended its
//! stream, which is read after the pause. The kernel reports that again and again, so the
//! connection waits for it once. With select it never does, and the next send notices a reset.

use super::close_reason::CloseReason;
use super::connection_mut::ConnectionMut;
use super::connection_state::Stage;
use super::shard_mut::ShardMut;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventSpec, Fired, Interest, Ready, Token};

fn on_hang_up(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    worker.connection(registry, key).hung_up(fired.ready);
    worker.shard.callback_ended(key);
}

impl ShardMut<'_> {
    /// Waits for the peer's close if the connection pauses, and else no more.
    pub(super) fn watch_hang_up(&mut self, key: usize) {
        let connection = &mut self.state.connections[key];
        let pauses = matches!(connection.stage, Stage::Paused | Stage::AwaitingAnswers(_));
        if !pauses || connection.ended || connection.has_hung_up {
            return self.free_hang_up(key);
        }
        if connection.hang_up.is_none() {
            let spec = EventSpec::io(&connection.transport, Interest::CLOSED);
            let event = self.registry.create(spec.token(Token(key as u64)), on_hang_up);
            connection.hang_up = Some(event);
            if self.registry.add(event, None).is_err() {
                self.free_hang_up(key);
            }
        }
    }

    pub(super) fn free_hang_up(&mut self, key: usize) {
        if let Some(event) = self.state.connections[key].hang_up.take() {
            self.registry.free(event);
        }
    }
}

impl ConnectionMut<'_> {
    fn hung_up(&mut self, ready: Ready) {
        if ready.contains(Ready::REFUSED) {
            return self.fail(CloseReason::Refused);
        }
        let key = self.key;
        self.shard().free_hang_up(key);
        self.has_hung_up = true;
        if !matches!(self.transport.socket().take_error(), Ok(None)) {
            self.fail(CloseReason::Broken);
        }
    }
}
