//! Begins the handshakes of one connection. Some of them may resume an earlier session.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::failure::HandshakeFailure;
use super::sessions::Sessions;
use super::stream::TlsStream;
use crate::schedule::random;

/// Part of the seed that chooses which connects resume.
const RESUMING: u64 = 5 << 40;

/// What one connection needs for its handshakes. It resumes its own sessions only, as one client
/// does: its first handshake is a full one.
#[derive(Debug)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    sessions: Arc<Sessions>,
    share: f64,
    connection: u32,
    key: u64,
}

impl Connector {
    pub(super) fn new(
        config: &ClientConfig,
        server_name: ServerName<'static>,
        share: f64,
        connection: u32,
        seed: u64,
    ) -> Self {
        let sessions = Arc::new(Sessions::default());
        let mut config = config.clone();
        // Whether a handshake may resume is decided before each: see `Sessions::offer`.
        config.resumption = Resumption::store(Arc::clone(&sessions) as _);
        let key = random::key(seed, RESUMING);
        Self { config: Arc::new(config), server_name, sessions, share, connection, key }
    }

    /// Whether stream number `generation` of this connection may resume. It depends on nothing but
    /// the seed and these numbers.
    fn may_resume(&self, generation: u32) -> bool {
        let index = u64::from(self.connection) << 32 | u64::from(generation);
        random::unit(random::at(self.key, index)) < self.share
    }

    /// Begins the handshake of stream number `generation` over a connected socket.
    pub(crate) fn begin<S>(
        &self,
        socket: S,
        generation: u32,
    ) -> Result<TlsStream<S>, HandshakeFailure> {
        self.sessions.offer(self.may_resume(generation));
        let client = ClientConnection::new(Arc::clone(&self.config), self.server_name.clone());
        client.map(|client| TlsStream::new(socket, client)).map_err(HandshakeFailure::from)
    }
}
