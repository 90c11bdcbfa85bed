//! The admin's listening socket, and who may reach it.

use super::super::listener::{self, ListenAddress, Listener};
use super::AdminConfig;
use crate::error::{Error, Result};

/// Connections the kernel holds while as many as may be are open.
const BACKLOG: i32 = 16;
/// The permissions of a unix socket: whoever may connect may end the server.
const UNIX_MODE: u32 = 0o600;

/// Listens where the configuration says, if others do not reach it or may.
pub(super) fn bind(config: &AdminConfig) -> Result<Listener> {
    match &config.address {
        ListenAddress::Tcp(address) if !address.ip().is_loopback() && !config.allow_remote => {
            Err(Error::AdminRemote { address: *address })
        }
        address => listener::open_one(address, UNIX_MODE, BACKLOG),
    }
}
