//! The echo service (RFC 862): every byte received is sent back.

use super::{Outlet, Peer, Service};

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    type Session = ();

    fn open(&mut self, _: &Peer<'_>, _: &mut Outlet<'_>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], out: &mut Outlet<'_>) -> usize {
        out.send(input);
        input.len()
    }
}
