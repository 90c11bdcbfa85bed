//! The discard service.

use super::{Outlet, Peer, Service};

/// The discard service (RFC 863): receives bytes and never sends any. Useful to measure receiving
/// alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type Session = ();

    fn open(&mut self, _: &Peer<'_>, _: &mut Outlet<'_>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Outlet<'_>) -> usize {
        input.len()
    }
}
