//! The echo service.

use super::{Connection, Service};

/// The echo service (RFC 862): sends back every byte that it receives.
///
/// ```
/// use evshard::server::{Echo, Server, ServerConfig};
///
/// let listen = vec!["127.0.0.1:0".parse()?];
/// let server = Server::start(&ServerConfig { listen, ..ServerConfig::default() }, Echo)?;
/// # server.drain()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        connection.send(input);
        input.len()
    }
}
