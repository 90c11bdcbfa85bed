//! The discard service.

use super::{Connection, Service};

/// The discard service (RFC 863): receives bytes and never sends any. Useful to measure receiving
/// alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }
}
