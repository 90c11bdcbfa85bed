//! The handlers of a bufferevent.

use std::fmt;

use super::table::BuffereventId;
use super::what::What;
use crate::base::Registry;

/// Called because a bufferevent has input, or because it sent its output (libevent:
/// `bufferevent_data_cb`).
pub type DataHandler<C> = fn(&mut Registry<C>, &mut C, BuffereventId);

/// Called because something else happened to a bufferevent (libevent: `bufferevent_event_cb`).
pub type WhatHandler<C> = fn(&mut Registry<C>, &mut C, BuffereventId, What);

/// The handlers of a bufferevent (libevent: the callbacks of `bufferevent_setcb`); `None` is not
/// called.
///
/// A handler may do anything with its bufferevent and with all others, and may free them.
pub struct BuffereventHandlers<C> {
    /// The input has grown, and has at least as many bytes as its low watermark. Input that the
    /// handler leaves is reported again when there is more of it.
    pub read: Option<DataHandler<C>>,
    /// Output was sent, and at most as many bytes as its low watermark are left.
    pub write: Option<DataHandler<C>>,
    /// The peer ended its stream, an operation failed, a timeout elapsed, or a connect succeeded.
    pub event: Option<WhatHandler<C>>,
}

/// One call of a handler.
pub(super) enum Call<C> {
    Data(DataHandler<C>),
    Event(WhatHandler<C>, What),
}

impl<C> Clone for BuffereventHandlers<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for BuffereventHandlers<C> {}

impl<C> Default for BuffereventHandlers<C> {
    fn default() -> Self {
        Self { read: None, write: None, event: None }
    }
}

impl<C> fmt::Debug for BuffereventHandlers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuffereventHandlers")
            .field("read", &self.read.is_some())
            .field("write", &self.write.is_some())
            .field("event", &self.event.is_some())
            .finish()
    }
}
