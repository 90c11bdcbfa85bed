//! What a connection says before its first request, whatever the protocol.

use std::sync::Arc;

use super::key_value::{CommandExchange, CommandSetup};
use super::websocket::{Upgrade, UpgradeExchange};

/// What each connection of a run says before its first request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Setup {
    #[default]
    Nothing,
    /// Commands of Redis or memcached, at least one.
    Commands(Arc<CommandSetup>),
    /// The upgrade to WebSocket.
    Upgrade(Arc<Upgrade>),
}

/// The setup of one stream.
#[derive(Debug)]
pub(crate) enum SetupExchange {
    Commands(CommandExchange),
    Upgrade(UpgradeExchange),
}

impl SetupExchange {
    /// That of stream number `stream` of a connection, before its first byte; `None` if there is
    /// nothing to say.
    pub(crate) fn new(setup: &Setup, seed: u64, connection: u32, stream: u32) -> Option<Self> {
        match setup {
            Setup::Nothing => None,
            Setup::Commands(setup) => Some(Self::Commands(CommandExchange::new(setup))),
            Setup::Upgrade(upgrade) => {
                let exchange = UpgradeExchange::new(upgrade, seed, connection, stream);
                Some(Self::Upgrade(exchange))
            }
        }
    }

    /// The bytes that are still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        match self {
            Self::Commands(exchange) => exchange.unsent(),
            Self::Upgrade(exchange) => exchange.unsent(),
        }
    }

    /// The socket took so many of them.
    pub(crate) fn advance_sent(&mut self, sent: usize) {
        match self {
            Self::Commands(exchange) => exchange.advance_sent(sent),
            Self::Upgrade(exchange) => exchange.advance_sent(sent),
        }
    }

    /// Reads replies. Once all have come, returns how many of these bytes belong to them. The rest
    /// are the first that belong to the traffic.
    ///
    /// # Errors
    ///
    /// What the server said instead, and the remedy.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        match self {
            Self::Commands(exchange) => exchange.receive(bytes),
            Self::Upgrade(exchange) => exchange.receive(bytes),
        }
    }
}
