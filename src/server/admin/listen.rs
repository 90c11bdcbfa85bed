//! Opens the listen socket of the admin, and limits who can reach it.

use super::AdminConfig;
use crate::server::error::{Error, Result};
use crate::server::listener::{self, ListenAddress, Listener};

/// Connections in the kernel's backlog while the maximum is open.
const BACKLOG: i32 = 128;
/// The permissions of a unix socket. A client that may connect may end the server.
const UNIX_MODE: u32 = 0o600;

/// Permissions of the agent's. It reports one figure, and changes nothing.
const AGENT_UNIX_MODE: u32 = 0o666;

/// Listens for HAProxy's agent checks, which may come from other machines.
pub(super) fn bind_agent(address: &ListenAddress) -> Result<Listener> {
    listener::open_one(address, AGENT_UNIX_MODE, BACKLOG)
}

/// Listens at the configured address. An address that other machines reach must be allowed.
pub(super) fn bind(config: &AdminConfig) -> Result<Listener> {
    match &config.address {
        ListenAddress::Tcp(address) if !address.ip().is_loopback() && !config.allow_remote => {
            Err(Error::AdminRemote { address: *address })
        }
        address => listener::open_one(address, UNIX_MODE, BACKLOG),
    }
}
