//! What stands in for `tls.rs` in a build without TLS.

use super::state::Bufferevent;
use super::table::{BuffereventId, HasBufferevents};
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::EventId;

impl<C> Bufferevent<C> {
    pub(super) fn handshake_timer(&self) -> Option<EventId> {
        None
    }
}

impl<C: HasBufferevents> Bufferevent<C> {
    pub(super) fn begin_handshake(&mut self, _: &mut Registry<C>, _: BuffereventId, _: Buffer) {}

    pub(super) fn continue_handshake(&mut self, _: &mut Registry<C>) {}

    pub(super) fn end_handshake(&mut self, _: &mut Registry<C>) {}
}
