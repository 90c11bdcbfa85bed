//! The discard service (RFC 863): bytes are received, and nothing is ever sent.

use super::{Outlet, Peer, Service};

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type Session = ();

    fn open(&mut self, _: &Peer<'_>, _: &mut Outlet<'_>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Outlet<'_>) -> usize {
        input.len()
    }
}
