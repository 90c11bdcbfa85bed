//! The sharded server: connections are handed to workers, each with its own event base.
//!
//! ```text
//! acceptor ──accept4──▶ placement ──▶ a bounded queue per worker ──wake──▶ workers, one core each
//! ```
//!
//! Where the acceptors are is the [`AcceptMode`].
//!
//! Nothing is shared between workers. A connection belongs to one worker from its adoption to its
//! end, so serving it takes no lock and no atomic.

mod accept;
mod admin;
mod config;
mod connection_limit;
mod handoff;
pub mod listener;
mod placement;
mod proxy_protocol;
mod refusals;
mod service;
pub mod service_manager;
mod shard;
pub mod stats;
mod threads;
pub mod upgrade;

#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use admin::AdminConfig;
pub use config::{
    AcceptMode, Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol, ServerConfig,
};
pub use listener::{ListenAddress, Listener};
pub use placement::Placement;
pub use service::{
    Chargen, Discard, Echo, Outlet, Peer, PeerAddress, Service, TimeDistribution, Work, WorkKind,
    in_service_callback,
};

use crate::base::Config;
use crate::error::Result;
use accept::BacklogOwner;
use admin::Admin;
use listener::SocketFile;
use stats::ServerStats;
use threads::Threads;
use threads::collect_stats::{AdminSource, StatsCollector};

/// How long threads are waited for that are asked for their numbers.
const STATS_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server. [`drain`](Self::drain) ends it; dropped, it ends without draining.
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
    addresses: Vec<ListenAddress>,
    /// Of unix sockets; gone before the sockets are.
    files: Vec<Arc<SocketFile>>,
    threads: Threads,
    drain: Drain,
    collector: StatsCollector,
    admin: Option<Admin<AdminSource>>,
}

impl Server {
    /// Listens, then starts the workers and the acceptor. Connections are served on return, each
    /// shard's by a clone of `service`.
    ///
    /// Must be called from a thread that still has the affinity the process was started with:
    /// workers are pinned within it.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`](crate::Error::Listen) if an address cannot be listened on;
    /// [`Error::Os`](crate::Error::Os) if descriptors or threads run out. Nothing is left running
    /// then.
    pub fn start(config: &ServerConfig, service: impl Service) -> Result<Self> {
        Self::start_on(config, listener::open(config)?, service)
    }

    /// As [`start`](Self::start), on sockets that listen already: [inherited](listener::inherited),
    /// [taken over](upgrade::take_over), or opened before. The configuration's addresses count no
    /// more.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_on(
        config: &ServerConfig,
        mut listeners: Vec<Listener>,
        service: impl Service,
    ) -> Result<Self> {
        refusals::log_all(config);
        listener::fit(&mut listeners, config);
        let files = listeners.iter().filter_map(|listener| listener.file.clone()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
        let threads = Threads::start(config, listeners, &service)?;
        let collector =
            StatsCollector::of(&threads, addresses.iter().map(ToString::to_string).collect());
        Ok(Self { addresses, files, threads, drain: config.drain, collector, admin: None })
    }

    /// The addresses listened on, in the configuration's order; where port 0 was asked for, with
    /// the port that was given.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// What it did until now. A thread that does not answer within a second is told as silent.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.collector.collect(STATS_TIMEOUT)
    }

    /// Answers those who look after the server, by HTTP: `/metrics`, `/stats`, `/healthz`,
    /// `/readyz`, and `POST /drain`, which calls `leave` and expects that [`drain`](Self::drain)
    /// follows. Returns where; with port 0 asked for, with the port that was given.
    ///
    /// # Errors
    ///
    /// [`Error::AdminRemote`](crate::Error::AdminRemote) for an address that others reach,
    /// [`Error::Listen`](crate::Error::Listen) if it cannot be listened on, and
    /// [`Error::Os`](crate::Error::Os) if descriptors or threads run out.
    pub fn admin(
        &mut self,
        config: &AdminConfig,
        leave: impl FnMut() + Send + 'static,
    ) -> Result<ListenAddress> {
        let source = AdminSource { collector: self.collector.clone(), leave: Box::new(leave) };
        let admin = Admin::start(config, Config::default(), source)?;
        let address = admin.address().clone();
        self.admin = Some(admin);
        Ok(address)
    }

    /// Ends the server: stops accepting, lets connections finish for at most the drain timeout,
    /// closes the rest and waits for every thread. Connections that the kernel had queued are
    /// served, too.
    ///
    /// # Errors
    ///
    /// The first error that a thread ended with, a panic included; the others are ended all the
    /// same.
    pub fn drain(mut self) -> Result<ServerStats> {
        self.collector.begin_drain();
        std::thread::sleep(self.drain.delay);
        // Nobody who comes by a path from now on would be served.
        self.files.clear();
        self.end(BacklogOwner::ThisProcess)
    }

    /// As [`drain`](Self::drain), of a server that another process succeeds on the same sockets:
    /// what the kernel has queued is left to the successor, and the admin stops answering at once,
    /// because its address may be the successor's, too.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub fn hand_over(mut self) -> Result<ServerStats> {
        self.collector.begin_drain();
        self.admin = None;
        self.end(BacklogOwner::Successor)
    }

    fn end(self, backlog: BacklogOwner) -> Result<ServerStats> {
        self.threads.stop_accepting(backlog);
        let (shards, acceptors) = self.threads.drain(self.drain)?;
        Ok(self.collector.server_stats(shards, acceptors))
    }
}
