//! How connections end: in order, or before their time, and then why.

use super::connection::Connection;
use super::stats::ConnectionErrors;
use super::worker::Worker;
use crate::base::Registry;

/// Why a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer reset it, or a call on it failed.
    Broken,
    /// No first byte in time.
    FirstByte,
    /// Idle for too long.
    Idle,
    /// A message that did not become complete in time.
    Message,
    /// A message or a reply beyond the memory it may have.
    TooLarge,
    /// Its PROXY header is missing, wrong or not to be believed.
    Proxy,
    /// Its service panicked.
    Panicked,
    /// Its service wanted it so.
    Aborted,
    /// The kernel refuses to watch it.
    Refused,
    /// The server leaves and waits no longer.
    Cut,
}

impl Ending {
    fn count(self, errors: &mut ConnectionErrors) {
        *match self {
            Self::Broken => &mut errors.broken,
            Self::FirstByte => &mut errors.first_byte,
            Self::Idle => &mut errors.idle,
            Self::Message => &mut errors.message,
            Self::TooLarge => &mut errors.too_large,
            Self::Proxy => &mut errors.proxy,
            Self::Panicked => &mut errors.panicked,
            Self::Aborted => &mut errors.aborted,
            Self::Refused => &mut errors.refused,
            Self::Cut => &mut errors.cut,
        } += 1;
    }

    /// Whether an orderly end of stream tells the peer the truth: it said nothing, and misses
    /// nothing.
    fn is_orderly(self, connection: &Connection) -> bool {
        matches!(self, Self::FirstByte | Self::Idle) && !connection.owes()
    }
}

impl Worker {
    /// Ends a connection whose peer is done and got everything.
    pub(super) fn close(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = self.connections.remove(key);
        for event in
            [Some(connection.readable), connection.writable, connection.timer].into_iter().flatten()
        {
            registry.free(event);
        }
        if self.service.close(key).is_none() {
            Ending::Panicked.count(&mut self.stats.errors);
        }
        // The socket first: who hears that there is room may want its descriptor.
        drop(connection);
        self.handoff.closed();
        if self.ends_when_empty && self.connections.is_empty() {
            registry.loop_exit();
        }
    }

    /// Ends a connection before its time; visibly, if its peer would miss anything.
    pub(super) fn fail(&mut self, registry: &mut Registry<Self>, key: usize, ending: Ending) {
        ending.count(&mut self.stats.errors);
        let connection = &self.connections[key];
        if !ending.is_orderly(connection) {
            connection.reset_on_close();
        }
        self.close(registry, key);
    }
}
