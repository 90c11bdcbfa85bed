//! Descriptors for the first clients: a server that could not accept a single one does not start.

use std::fs::File;
use std::io;

use crate::server::config::ServerConfig;
use crate::server::error::{Error, Result};

/// A worker's first client, the ring that it may open, and the reserve of its acceptor.
const OF_A_WORKER: usize = 3;

/// What the admin and the offer to a successor open later, each with a base, its reserve descriptor
/// and a peer.
const OF_ADMIN_AND_OFFER: usize = 12;

/// Checks that descriptors are left once every base of the workers exists, and before one accepts.
///
/// # Errors
///
/// [`Error::Os`] if there are too few.
pub(super) fn expect_room_for_clients(config: &ServerConfig) -> Result<()> {
    let count = OF_A_WORKER * config.workers.get() + OF_ADMIN_AND_OFFER;
    let files = (0..count).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>();
    files.map(drop).map_err(Error::os("keep a descriptor for a client of each worker"))
}
