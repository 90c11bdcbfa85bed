//! The admin: HTTP for those who look after the server, on an event base and a thread of its own.
//!
//! ```text
//! GET /metrics, /stats, /readyz ─▶ a question to every thread ─▶ their copies, or a second is up
//!                                                              └▶ one ServerStats ─▶ the answer
//! ```
//!
//! It is off the data path: of all this, the threads that serve run only what copies their
//! counters. It answers its own machine unless told otherwise, for whoever may talk to it may end
//! the server.

mod collect;
mod connection;
mod listen;
mod listen_socket;
mod parts;
mod request;
mod response;
mod route;
mod server;
mod source;
#[cfg(test)]
mod tests;

use super::listener::ListenAddress;
use super::threads::thread::Thread;
use crate::base::{Config, EventBase};
use crate::error::Result;
use server::{AdminServer, Timeouts};
pub(super) use source::{Question, Source};

/// Where the admin answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// An address of the loopback interface, or a unix socket, which is made for its owner only.
    pub address: ListenAddress,
    /// Whether the address may be one that other machines reach. Nothing asks them who they are.
    pub allow_remote: bool,
}

/// A running admin; dropped, it stops answering.
#[derive(Debug)]
pub(super) struct Admin<S: Source> {
    address: ListenAddress,
    _thread: Thread<AdminServer<S>, ()>,
}

impl<S: Source> Admin<S> {
    /// Answers from the return on, by what `source` says.
    ///
    /// # Errors
    ///
    /// [`Error::AdminRemote`](crate::Error::AdminRemote) for an address that others reach,
    /// [`Error::Listen`](crate::Error::Listen) if it cannot be listened on, and
    /// [`Error::Os`](crate::Error::Os) if descriptors or threads run out.
    pub(super) fn start(config: &AdminConfig, base: Config, source: S) -> Result<Self> {
        Self::start_with(Timeouts::default(), config, base, source)
    }

    fn start_with(
        timeouts: Timeouts,
        config: &AdminConfig,
        base: Config,
        source: S,
    ) -> Result<Self> {
        let listener = listen::bind(config)?;
        let address = listener.address().clone();
        let mut base = EventBase::new(base)?;
        let remote = base.remote();
        let server = AdminServer::new(listener, source, timeouts, remote, base.registry())?;
        let thread = Thread::start("admin".into(), base, server, AdminServer::run)?;
        Ok(Self { address, _thread: thread })
    }

    /// Where it answers; with port 0 asked for, the port that was given.
    pub(super) fn address(&self) -> &ListenAddress {
        &self.address
    }
}
