//! What a bufferevent refuses.

use std::io;

use super::limit_groups::GroupId;
use super::table::BuffereventId;
use crate::accept::listen_advice;
use crate::base::Registry;
use crate::error::Error;
use crate::event::EventId;

/// What can go wrong in a call on a bufferevent. What goes wrong later is an event with
/// [`What::ERROR`](crate::What::ERROR).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuffereventError {
    /// The id is of a bufferevent that was freed.
    #[error("bufferevent {0} was freed; create a new one instead of using its id again")]
    Stale(BuffereventId),

    /// The id is of a group that was removed.
    #[error("rate limit group {0} was removed; add a new one instead of using its id again")]
    StaleGroup(GroupId),

    /// Pairs and filters have no socket of their own.
    #[error(
        "bufferevent {0} has no socket of its own, because it is a pair or a filter; \
         use the socket bufferevent below it"
    )]
    NoSocket(BuffereventId),

    /// It has a socket, or connects already.
    #[error(
        "bufferevent {0} is connected or connects already; \
         take its socket out first, or create another bufferevent"
    )]
    Connected(BuffereventId),

    /// A bufferevent has at most one filter on it.
    #[error("bufferevent {0} has a filter already; put the new filter on that one")]
    HasFilter(BuffereventId),

    /// The other end of the pair, or what is below the filter, was freed.
    #[error("the other side of bufferevent {0} was freed; nothing can be flushed to it")]
    NoOtherSide(BuffereventId),

    /// A filter failed while it was flushed.
    #[error("the filter of bufferevent {0} failed on its input; its event handler has the error")]
    FilterFailed(BuffereventId),

    /// A listener could not listen on its address.
    #[error("cannot listen on {address}: {source}{}", listen_advice(.address, .source))]
    Listen {
        /// The address; that of a unix socket begins with `unix:`.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },

    /// TLS was started on it already.
    #[cfg(feature = "tls")]
    #[error("bufferevent {0} has TLS already; start it once")]
    HasTls(BuffereventId),

    /// It has input that came before TLS.
    #[cfg(feature = "tls")]
    #[error(
        "start TLS on bufferevent {id}: {bytes} bytes of input came before it, which anyone may \
         have sent; read or drain them first, and trust nothing of what follows the request for TLS"
    )]
    PlainInput {
        /// The bufferevent.
        id: BuffereventId,
        /// How many bytes it has.
        bytes: usize,
    },

    /// TLS could not be set up.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),

    /// A system call failed.
    #[error("{op}: {source}")]
    Os {
        /// The operation and its object.
        op: String,
        /// The kernel's reason.
        source: io::Error,
    },

    /// The event base refused one of its events.
    #[error(transparent)]
    Base(#[from] Error),
}

impl BuffereventError {
    pub(super) fn os(op: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { op: op.into(), source }
    }

    pub(super) fn listen(address: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Listen { address: address.to_string(), source }
    }
}

/// Why the base refused an event that got [`Ready::REFUSED`](crate::Ready::REFUSED).
pub(super) fn refusal<C>(registry: &mut Registry<C>, event: EventId) -> io::Error {
    let refusal = registry.take_refusal(event);
    refusal.map_or_else(|| io::Error::other("the event base refused the socket"), io::Error::other)
}
