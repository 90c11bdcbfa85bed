//! The admin: HTTP for operators, on an event base and a thread of its own.
//!
//! ```text
//! GET /metrics, /stats, /readyz ─▶ ask every thread ─▶ their copies, or a timeout of one second
//!                                                              └▶ one ServerStats ─▶ the response
//! GET /                         ─▶ a page for browsers, which asks for /stats once a second
//! ```
//!
//! HAProxy's agent check is answered in the same way, with a line instead of HTTP, at an address
//! and on a thread of its own: other machines ask there.
//!
//! It is off the data path: the serving threads only copy their counters for it. By default it is
//! reachable only from its own machine, because a client can end the server.

mod agent;
mod collect;
mod connection;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod hosts;
mod listen;
mod listen_socket;
mod page;
mod parts;
mod reload;
mod request;
mod response;
mod route;
mod server;
mod source;
#[cfg(test)]
mod tests;

use crate::base::{Config, EventBase};
use crate::server::error::Result;
use crate::server::failure::Failures;
use crate::server::listen_address::ListenAddress;
use crate::server::listener::Listener;
use crate::server::thread::Thread;
use hosts::Hosts;
pub(super) use reload::ReloadCallback;
pub use reload::ReloadRequest;
use server::{AdminServer, Protocol, Timeouts};
pub(super) use source::{AdminSource, Source};

/// The configuration of the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// An address of the loopback interface, or a unix socket, which only its owner can open.
    pub address: ListenAddress,
    /// Whether the address may be reachable from other machines. There is no authentication.
    pub allow_remote: bool,
    /// Names that clients may call this machine by (`Host`), besides its addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// A running admin. A dropped one stops answering.
#[derive(Debug)]
pub(super) struct Admin<S: Source> {
    address: ListenAddress,
    _thread: Thread<AdminServer<S>, ()>,
}

impl<S: Source> Admin<S> {
    /// Starts to answer, with the statistics of `source`.
    ///
    /// # Errors
    ///
    /// As [`Server::admin`](crate::server::Server::admin).
    pub(super) fn start(
        config: &AdminConfig,
        base: Config,
        source: S,
        failures: &Failures,
    ) -> Result<Self> {
        let (listener, protocol) = (listen::bind(config)?, Protocol::Http(Hosts::of(config)));
        Self::run(listener, protocol, Timeouts::default(), base, source, failures)
    }

    /// Starts to answer HAProxy's agent checks.
    ///
    /// # Errors
    ///
    /// As [`Server::agent`](crate::server::Server::agent).
    pub(super) fn start_agent(
        address: &ListenAddress,
        base: Config,
        source: S,
        failures: &Failures,
    ) -> Result<Self> {
        let listener = listen::bind_agent(address)?;
        Self::run(listener, Protocol::Agent, Timeouts::default(), base, source, failures)
    }

    fn run(
        listener: Listener,
        protocol: Protocol,
        timeouts: Timeouts,
        base: Config,
        source: S,
        failures: &Failures,
    ) -> Result<Self> {
        let address = listener.address().clone();
        let mut base = EventBase::new(base)?;
        let (name, remote) = (protocol.name(), base.remote());
        let registry = base.registry();
        let server = AdminServer::new(listener, protocol, source, timeouts, remote, registry)?;
        let thread = Thread::start(name.into(), base, server, AdminServer::run, failures)?;
        Ok(Self { address, _thread: thread })
    }

    /// Its address; for port 0 it has the port that the kernel chose.
    pub(super) fn address(&self) -> &ListenAddress {
        &self.address
    }
}
