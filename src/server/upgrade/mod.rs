//! Upgrades: a new server takes the listening sockets from a running one, which then drains.
//!
//! The sockets themselves go from process to process (`SCM_RIGHTS`, unix(7)), with all that the
//! kernel has queued on them. Nobody is refused and nothing is lost, because at every moment
//! somebody accepts:
//!
//! ```text
//! successor                                     running server
//!   connects to the upgrade socket ────────────▶ same user? nobody else under way?
//!   {"take_over":{"version":1}} ───────────────▶
//!   ◀─────────── {"listeners":{…}}                what they are, and how many sockets each has
//!   ◀─────────── {"sockets":253}                  with as many descriptors, in that order
//!   ◀─────────── {"sockets":48}
//!   accepts connections
//!   "ready" ───────────────────────────────────▶
//!   ◀─────────── "leaving"                        stops accepting and drains
//!   offers the sockets at the upgrade socket
//! ```
//!
//! A message is a line of JSON. `{"refused":"why"}` can take the place of any of the server's. If
//! the successor goes away, is late or says anything else before it is ready, the running server
//! goes on as if nothing had happened. The upgrade socket is handed over with the others, so that
//! its path is the same, and is somebody's, through any number of upgrades.
//!
//! One moment cannot be covered: a successor that dies after `ready` may leave nobody.
//!
//! ```
//! use evshard::server::upgrade::{Offer, UpgradeSocket, take_over};
//! use evshard::server::{Listener, ServerConfig, listener};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("upgrade");
//! # let listen = vec!["127.0.0.1:0".parse().unwrap()];
//! # let config = ServerConfig { listen, ..ServerConfig::default() };
//! // The running server, before it gives its listeners to the threads that accept.
//! let listeners = listener::open(&config)?;
//! let copies = listeners.iter().map(Listener::duplicate).collect::<Result<_, _>>()?;
//! let (tell, taken_over) = std::sync::mpsc::channel();
//! let tell = move |_process| tell.send(()).expect("the main thread waits for it");
//! let offer = Offer::start(UpgradeSocket::open(&path)?, copies, tell)?;
//!
//! // Its successor, in another process.
//! let (received, handover) = take_over(&path)?;
//! assert_eq!(received[0].address(), listeners[0].address());
//! // … accepts connections, and then:
//! let upgrade_socket = handover.ready()?;
//!
//! // The first one drains.
//! taken_over.recv().unwrap();
//! # Ok::<(), evshard::Error>(())
//! ```

mod channel;
mod listing;
mod message;
mod offer;
mod successor;
mod take_over;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

pub use offer::Offer;
pub use take_over::{TakeOver, take_over};

use super::listener::{self, Listener};
use crate::error::Result;

/// How long a successor may take until it is ready, and how long it waits for each answer: far
/// longer than starting threads takes, and no longer than an operator's timeout.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Only the server's own user, who is asked for besides, can connect.
const MODE: u32 = 0o600;

/// Successors that wait to be answered; there is one at a time, and a few who are refused.
const BACKLOG: i32 = 16;

/// The unix socket at which a server offers its listening sockets; [`Offer::start`] has it
/// answer.
#[derive(Debug)]
pub struct UpgradeSocket(Listener);

impl UpgradeSocket {
    /// Opens it at a path where nobody else offers sockets.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`](crate::Error::Listen).
    pub fn open(path: &Path) -> Result<Self> {
        listener::open_one(&listener::ListenAddress::Unix(path.to_owned()), MODE, BACKLOG).map(Self)
    }
}
