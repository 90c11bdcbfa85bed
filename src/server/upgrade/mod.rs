//! Upgrades: a new server takes the listening sockets from a running one, which then drains.
//!
//! The sockets themselves are passed between the processes (`SCM_RIGHTS`, unix(7)), with all
//! connections that the kernel has queued on them. No connection is refused or lost, because one of
//! the two processes accepts at every moment:
//!
//! ```text
//! successor                                     running server
//!   connects to the upgrade socket ────────────▶ same user? no other successor?
//!   {"take_over":{"version":2}} ───────────────▶
//!   ◀─────────── {"listeners":{…}}                what they are, and how many sockets each has
//!   ◀─────────── {"sockets":253}                  with as many descriptors, in that order
//!   ◀─────────── {"sockets":48}
//!   accepts connections
//!   "ready" ───────────────────────────────────▶
//!   ◀─────────── "leaving"                        stops accepting and drains
//!   offers the sockets at the upgrade socket
//! ```
//!
//! A message is a line of JSON. The server can send `{"refused":"why"}` instead of any of its
//! messages. If the successor closes, is late or breaks the protocol before it is ready, the
//! running server continues unchanged. The upgrade socket is passed with the others, so its path
//! stays the same through any number of upgrades.
//!
//! If one of the two is to end, or dies, the other one serves:
//!
//! - A running server that has sent all sockets and is to end goes on until the successor is ready.
//!   To one that is late it sends `leaving` as well: that one serves when it can.
//! - A running server that goes on never closes without `refused`. So a successor that has all
//!   sockets and finds the connection closed without it serves: the running server was killed.
//!
//! One moment cannot be covered: if a successor dies right after `leaving`, no process may be left.
//!
//! ```
//! use evshard::server::upgrade::{UpgradeSocket, take_over};
//! use evshard::server::{Echo, Server, ServerConfig};
//!
//! # let folder = test_needs::folder();
//! # let path = folder.path().join("upgrade");
//! # let listen = vec!["127.0.0.1:0".parse().unwrap()];
//! # let config = ServerConfig { listen, ..ServerConfig::default() };
//! // The running server.
//! let mut first = Server::start(&config, Echo)?;
//! let (sender, taken_over) = std::sync::mpsc::channel();
//! let notify = move |process| sender.send(process).expect("the main thread waits for it");
//! first.offer(UpgradeSocket::open(&path)?, notify)?;
//!
//! // Its successor, in another process.
//! let (listeners, handover) = take_over(&path)?;
//! let mut second = Server::start_on(&config, listeners, Echo)?;
//! let upgrade_socket = handover.ready()?;
//! second.offer(upgrade_socket, |_process| { /* as above */ })?;
//! assert_eq!(second.addresses(), first.addresses());
//!
//! // The first one drains, and leaves the kernel's backlog to the second.
//! taken_over.recv().unwrap();
//! first.drain()?;
//! # Ok::<(), evshard::server::Error>(())
//! ```

mod channel;
mod decision;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod handover;
mod listing;
mod message;
mod offer;
mod successor_connection;
mod take_over;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

pub(super) use handover::Handover;
pub use take_over::{Abort, TakeOver, take_over};

use crate::server::error::Result;
use crate::server::listener::{self, Listener};

/// How long a successor may take to be ready, and how long it waits for each answer. Far longer
/// than starting threads takes, and no longer than an operator waits.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Only processes of the same user can connect; the server checks the user as well.
const MODE: u32 = 0o600;

/// Successors that wait; one is served at a time, and the others are refused.
const BACKLOG: i32 = 16;

/// The unix socket at which a server [offers](crate::server::Server::offer) its listening sockets.
#[derive(Debug)]
pub struct UpgradeSocket(Listener);

impl UpgradeSocket {
    /// Opens it at a path where no other process offers sockets.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`](crate::server::Error::Listen).
    pub fn open(path: &Path) -> Result<Self> {
        listener::open_one(&listener::ListenAddress::Unix(path.to_owned()), MODE, BACKLOG).map(Self)
    }
}
