//! The deadlines of a shard's connections.
//!
//! The deadlines of activity begin again at each read and each write. They are intervals of the
//! connection's own events. The timer heap is lazy about a deadline that moves away, so an activity
//! only stores a time. The other kinds begin once, and have one duration for all connections: they
//! are common timeouts of the base.

use std::time::Duration;

use crate::base::{CommonTimeout, Registry};
use crate::error::Result;
use crate::event::EventId;
use crate::server::config::Limits;
use crate::tls::TlsServer;

/// The deadline for a PROXY header: a proxy sends it first, and has it ready.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The deadlines of a shard. `None` is no deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionDeadlines {
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) message: Option<CommonTimeout>,
    pub(super) proxy_header: CommonTimeout,
    pub(super) handshake: Option<CommonTimeout>,
}

impl ConnectionDeadlines {
    pub(super) fn new<C>(
        limits: &Limits,
        tls: Option<&TlsServer>,
        registry: &mut Registry<C>,
    ) -> Result<Self> {
        let handshake = tls.and_then(TlsServer::handshake_timeout);
        let handshake = handshake.map(|duration| registry.common_timeout(duration)).transpose()?;
        let message = limits.message.map(|duration| registry.common_timeout(duration));
        Ok(Self {
            first_byte: limits.first_byte,
            idle: limits.idle,
            message: message.transpose()?,
            proxy_header: registry.common_timeout(PROXY_HEADER_TIMEOUT)?,
            handshake,
        })
    }

    /// The deadline of a connection that has sent nothing.
    pub(super) fn before_first_byte(&self) -> Option<Duration> {
        self.first_byte.or(self.idle)
    }

    /// Replaces the first-byte deadline of a connection's event by the idle deadline.
    #[cold]
    pub(super) fn first_byte_arrived<C>(&self, registry: &mut Registry<C>, readable: EventId) {
        if let Some(idle) = self.idle {
            registry.add(readable, Some(idle)).expect("it is pending, and ours");
        } else {
            // The connection may have had one before the limits were changed.
            registry.remove_timeout(readable);
        }
    }
}
