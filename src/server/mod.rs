//! The sharded server: connections are handed to workers, each with its own event base.
//!
//! ```text
//! acceptor ──accept4──▶ placement ──▶ a bounded queue per worker ──wake──▶ workers, one core each
//! ```
//!
//! The [`AcceptMode`] says which threads accept.
//!
//! Workers share nothing. A connection belongs to one worker from adoption to close, so serving it
//! needs no lock and no atomic.

mod accept;
mod admin;
mod config;
mod connection_limit;
mod error;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handoff;
mod listen_address;
pub mod listener;
mod memory;
mod peer_address;
mod placement;
mod proxy_protocol;
mod refusals;
mod service;
pub mod service_manager;
mod shard;
mod source_limit;
pub mod stats;
mod thread;
mod threads;
pub mod upgrade;
mod worker_queue;

#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use admin::{AdminConfig, ReloadRequest};
pub use config::{
    AcceptMode, ConnectionsPerSource, Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol,
    ServerConfig, ranges,
};
pub use error::{Error, OutOfRange, Result};
pub use failure::ThreadFailure;
pub use listen_address::{Listen, ListenAddress};
pub use listener::Listener;
pub use memory::prepare_for_address_limit;
pub use peer_address::PeerAddress;
pub use placement::Placement;
pub use service::{
    Background, Chargen, Connection, Discard, Echo, MessageSender, Missed, PostError, Service,
    Shard, TimeDistribution, Work, WorkKind, in_service_callback,
};
pub use shard::call::Closed;
pub use shard::close_reason::CloseReason;
pub use shard::connection_id::ConnectionId;
pub use shard::dialing::{Dial, DialError, DialId};
pub use shard::handles::{Answer, ConnectionHandle};
pub use shard::service_timers::TimerId;
pub use shard::shard_mut::SendError;

pub use crate::connect::ConnectError;

use crate::base::Config;
use accept::BacklogOwner;
use admin::{Admin, AdminSource, ReloadCallback};
use failure::Failures;
use listener::SocketFile;
use stats::ServerStats;
use threads::Threads;
use threads::collect_stats::StatsCollector;
use upgrade::{Handover, UpgradeSocket};

/// How long [`Server::stats`] and [`Server::reconfigure`] wait for the threads.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server. [`drain`](Self::drain) ends it. A dropped server ends without draining.
///
/// ```
/// use std::io::{Read, Write};
/// use evshard::server::{Echo, ListenAddress, Server, ServerConfig};
///
/// let listen = vec!["127.0.0.1:0".parse()?];
/// let server = Server::start(&ServerConfig { listen, ..ServerConfig::default() }, Echo)?;
///
/// let ListenAddress::Tcp(address) = server.addresses()[0] else { unreachable!() };
/// let mut client = std::net::TcpStream::connect(address)?;
/// client.write_all(b"hello")?;
/// let mut echo = [0; 5];
/// client.read_exact(&mut echo)?;
/// assert_eq!(&echo, b"hello");
///
/// drop(client);
/// let report = server.drain()?;
/// assert_eq!(report.shards.iter().map(|shard| shard.bytes_in).sum::<u64>(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a server that is dropped ends"]
pub struct Server {
    handover: Handover,
    addresses: Vec<ListenAddress>,
    listening: Vec<Listen>,
    /// Files of unix sockets; removed before the sockets are closed.
    files: Vec<Arc<SocketFile>>,
    threads: Threads,
    drain: Drain,
    collector: StatsCollector,
    admin: Option<Admin<AdminSource>>,
    agent: Option<Admin<AdminSource>>,
    /// For the admin, until it starts.
    reload: Option<ReloadCallback>,
    failures: Failures,
}

impl Server {
    /// Opens the listen sockets and starts the threads. On return, every thread has waited for
    /// events once, and connections are served, each shard's by a clone of `service`.
    ///
    /// Call it from a thread that still has the process's initial affinity mask: workers are pinned
    /// within it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if a number or a duration of the configuration is out of its
    /// [range](ranges); [`Error::NoCertificate`] for an address with TLS without
    /// [`ServerConfig::tls`]; [`Error::Listen`] if an address cannot be listened on; [`Error::Os`]
    /// or [`Error::Base`] if descriptors or threads run out, also if no descriptor would be left
    /// for a client of each worker; [`Error::Ended`] if the kernel does not let a thread wait for
    /// events. Nothing is left running then.
    pub fn start(config: &ServerConfig, service: impl Service) -> Result<Self> {
        Self::start_on(config, listener::open(config)?, service)
    }

    /// As [`start`](Self::start), on sockets that already listen: [inherited](listener::inherited),
    /// [taken over](upgrade::take_over), or opened before. The addresses of the configuration are
    /// ignored.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_on(
        config: &ServerConfig,
        mut listeners: Vec<Listener>,
        service: impl Service,
    ) -> Result<Self> {
        config.check()?;
        ranges::expect_listeners(listeners.len())?;
        expect_certificate(config, &listeners)?;
        prepare_for_address_limit();
        refusals::log_all(config);
        listener::fit(&mut listeners, config);
        let files = listeners.iter().filter_map(|listener| listener.file.clone()).collect();
        let listening: Vec<_> = listeners.iter().map(Listener::listen).collect();
        let addresses = listening.iter().map(|listen| listen.address.clone()).collect();
        // After sockets were added for the workers: a successor gets these, too.
        let handover = Handover::of(&listeners)?;
        let failures = Failures::none();
        let threads = Threads::start(config, listeners, &service, &failures)?;
        let shown = listening.iter().map(ToString::to_string).collect();
        let collector = StatsCollector::of(&threads, shown, failures.clone());
        let drain = config.drain;
        let (admin, agent, reload) = (None, None, None);
        Ok(Self {
            handover,
            addresses,
            listening,
            files,
            threads,
            drain,
            collector,
            admin,
            agent,
            reload,
            failures,
        })
    }

    /// Calls `callback` when a thread of the server ends before its time: a worker, the acceptor,
    /// the admin or the offer. Only the first failure is reported, at once if there was one
    /// already. The call comes from the thread that ends. It should lead to [`drain`](Self::drain),
    /// because a part of the server no longer serves.
    ///
    /// A wait that fails for a transient reason ends no thread.
    pub fn on_failure(&self, callback: impl FnOnce(ThreadFailure) + Send + 'static) {
        self.failures.notify(Box::new(callback));
    }

    /// The listening addresses, in the configuration's order. For port 0 the address has the port
    /// that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The same addresses, each with whether its connections begin with TLS.
    #[must_use]
    pub fn listening(&self) -> &[Listen] {
        &self.listening
    }

    /// The statistics so far. A thread that does not answer within a second has `answered: false`.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.collector.collect(ANSWER_TIMEOUT)
    }

    /// Calls `callback` when an operator asks the admin to reload the configuration, by a POST
    /// request for `/reload`. The call comes from the thread of the admin, and must not wait for
    /// the reload. Call this before [`admin`](Self::admin). Without it, the admin answers that
    /// there is nothing to reload.
    pub fn on_reload(&mut self, callback: impl FnMut(ReloadRequest) + Send + 'static) {
        self.reload = Some(ReloadCallback(Box::new(callback)));
    }

    /// Starts the admin, which answers operators over HTTP: `/metrics`, `/stats`, `/healthz`,
    /// `/readyz`, `POST /drain` and `POST /reload`, and `/` with a page for browsers. A drain calls
    /// `start_drain`, which must lead to [`drain`](Self::drain). Returns the address; for port 0 it
    /// has the chosen port.
    ///
    /// # Errors
    ///
    /// [`Error::AdminRemote`] for an address that other machines reach, [`Error::Listen`] if it
    /// cannot be listened on, and [`Error::Os`] or [`Error::Base`] if descriptors or threads run
    /// out.
    pub fn admin(
        &mut self,
        config: &AdminConfig,
        start_drain: impl FnMut() + Send + 'static,
    ) -> Result<ListenAddress> {
        let source = AdminSource {
            collector: self.collector.clone(),
            start_drain: Box::new(start_drain),
            reload: self.reload.take(),
        };
        let admin = Admin::start(config, Config::default(), source, &self.failures)?;
        let address = admin.address().clone();
        self.admin = Some(admin);
        Ok(address)
    }

    /// Starts to answer HAProxy's agent checks (`agent-check`), one line for each connection:
    /// `up NN%` with the share of time in which the shards were not busy, `drain` once the server
    /// drains, or `down` with the reason why it cannot serve. A new process adds `ready` for a
    /// minute, which ends the drain state that HAProxy has of the process before it. Returns the
    /// address; for port 0 it has the chosen port.
    ///
    /// Without [`Measure::timings`] the share is always 100 %. Other machines may ask: the answers
    /// reveal the share, and change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be listened on, and [`Error::Os`] or [`Error::Base`]
    /// if descriptors or threads run out.
    pub fn agent(&mut self, address: &ListenAddress) -> Result<ListenAddress> {
        let collector = self.collector.clone();
        let source = AdminSource { collector, start_drain: Box::new(|| {}), reload: None };
        let agent = Admin::start_agent(address, Config::default(), source, &self.failures)?;
        let address = agent.address().clone();
        self.agent = Some(agent);
        Ok(address)
    }

    /// Changes what can change while the server serves: [`connections_max`], [`memory_limit`],
    /// [`overload`], [`drain`], [`slow_callback`], [`tls`], and of the [`limits`] the deadlines and
    /// the memory. Other fields have no effect. A server keeps its certificates if there are none.
    ///
    /// Open connections stay, also if they are more than the new maximum, and keep their idle
    /// deadline. The new ones count from the next connection or message on, and the limits of
    /// memory for all connections.
    ///
    /// Waits until each thread has applied its part, for at most a second. Returns how many threads
    /// have not answered by then. They apply the change later.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if a number or a duration is out of its [range](ranges). Nothing is
    /// changed then. [`Error::Base`] if a server got its 256th duration of messages: a shard then
    /// keeps its timeouts and the memory of a connection.
    ///
    /// [`connections_max`]: ServerConfig::connections_max
    /// [`memory_limit`]: ServerConfig::memory_limit
    /// [`overload`]: ServerConfig::overload
    /// [`limits`]: ServerConfig::limits
    /// [`drain`]: ServerConfig::drain
    /// [`slow_callback`]: Measure::slow_callback
    /// [`tls`]: ServerConfig::tls
    pub fn reconfigure(&mut self, config: &ServerConfig) -> Result<usize> {
        config.check()?;
        self.drain = config.drain;
        self.threads.reconfigure(config, ANSWER_TIMEOUT)
    }

    /// Offers the listening sockets to a successor process, at the upgrade socket. Once it has them
    /// and is ready, it serves the kernel's backlog, and `taken_over` is called with its process
    /// id. The call comes from a thread of the offer. It must lead to [`drain`](Self::drain) and
    /// should do no more. A second offer has no effect. See [`upgrade`].
    ///
    /// # Errors
    ///
    /// [`Error::Os`] or [`Error::Base`] if there is no thread or descriptor left, or if the path of
    /// a unix socket is no Unicode text.
    pub fn offer(
        &mut self,
        socket: UpgradeSocket,
        taken_over: impl FnOnce(u32) + Send + 'static,
    ) -> Result<()> {
        self.handover.offer(socket, Box::new(taken_over), &self.failures)
    }

    /// Begins the drain: reports it at `/readyz`, and still accepts and offers the sockets for the
    /// drain delay. Returns the process id of the successor, if one has the sockets by then.
    /// [`drain`](Self::drain) does this first if it was not called.
    pub fn begin_drain(&mut self) -> Option<u32> {
        self.collector.begin_drain();
        self.handover.decide(self.drain.delay)
    }

    /// Ends the server. It stops accepting, lets connections finish for at most the drain timeout,
    /// closes the others and waits for every thread.
    ///
    /// If a successor has the listening sockets, it also has the connections that the kernel has
    /// queued, and admin and agent stop answering at once: the successor may use their addresses.
    /// Otherwise the server serves these connections before it ends.
    ///
    /// # Errors
    ///
    /// The first error of a thread, a panic included. All other threads are ended, too.
    pub fn drain(mut self) -> Result<ServerStats> {
        match self.begin_drain() {
            Some(_) => self.end(BacklogOwner::OtherProcess),
            None => {
                // A client that connected by path from now on would not be served.
                self.files.clear();
                self.end(BacklogOwner::ThisProcess)
            }
        }
    }

    /// As [`drain`](Self::drain), for a server on sockets of which another process goes on
    /// accepting, such as one that could not take over. It leaves the kernel's backlog to that
    /// process, without a delay.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub fn withdraw(mut self) -> Result<ServerStats> {
        self.collector.begin_drain();
        self.handover.decide(Duration::ZERO);
        self.end(BacklogOwner::OtherProcess)
    }

    fn end(mut self, backlog: BacklogOwner) -> Result<ServerStats> {
        if backlog == BacklogOwner::OtherProcess {
            (self.admin, self.agent) = (None, None);
        }
        self.threads.stop_accepting(backlog);
        let (shards, acceptors) = self.threads.drain(self.drain)?;
        // The admin and the offer have no result.
        if let Some(failure) = self.failures.first() {
            return Err(Error::Ended(failure));
        }
        Ok(self.collector.server_stats(shards, acceptors))
    }
}

/// Checks that there is a certificate if a listener has TLS.
fn expect_certificate(config: &ServerConfig, listeners: &[Listener]) -> Result<()> {
    match listeners.iter().find(|listener| listener.tls && config.tls.is_none()) {
        Some(Listener { address, .. }) => {
            Err(Error::NoCertificate { address: address.to_string() })
        }
        None => Ok(()),
    }
}
