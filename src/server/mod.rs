//! The sharded server: one acceptor hands connections to workers, each with its own event base.
//!
//! ```text
//! acceptor ──accept4──▶ placement ──▶ a bounded queue per worker ──wake──▶ workers, one core each
//! ```
//!
//! Nothing is shared between workers. A connection belongs to one worker from its adoption to its
//! end, so serving it takes no lock and no atomic.

mod accept;
mod backpressure;
mod config;
mod connection;
mod conversation;
mod cores;
mod deadlines;
mod drain;
mod ending;
mod greeting;
mod handoff;
mod listener;
mod load;
mod placement;
mod proxy_protocol;
mod report;
mod service;
pub mod stats;
mod stopwatch;
mod thread;
mod worker;

use std::sync::Arc;

pub use accept::AcceptMode;
pub use config::{Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol, ServerConfig};
pub use listener::ListenAddress;
pub use placement::Placement;
pub use report::{ServerReport, ShardReport};
pub use service::{
    Chargen, Discard, Echo, Outlet, Peer, PeerAddress, Service, Spread, Toil, Work, runs_here,
};

use crate::base::EventBase;
use crate::error::Result;
use accept::acceptor::{Acceptor, Link};
use handoff::Handoff;
use report::AcceptorTally;
use service::Host;
use stats::ShardStats;
use thread::Thread;
use worker::{Place, Worker};

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
/// assert_eq!(report.shards.iter().map(|shard| shard.bytes).sum::<u64>(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a server that is dropped ends"]
pub struct Server {
    addresses: Vec<ListenAddress>,
    acceptor: Thread<Acceptor, AcceptorTally>,
    workers: Vec<Thread<Worker, ShardStats>>,
    drain: Drain,
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
        let listeners = listener::open(config)?;
        let addresses = listeners.iter().map(|listener| listener.address.clone()).collect();
        let listener = listeners.into_iter().next().expect("one").sockets.remove(0).into();
        let mut acceptor_base = EventBase::new(config.base)?;
        let room = acceptor_base.registry().notifier();

        let loads = load::loads(config.workers.get());
        let mut links = Vec::new();
        let mut shards = Vec::new();
        for (shard, core) in cores::plan(config).into_iter().enumerate() {
            let mut base = EventBase::new(worker::base_config(config))?;
            let handoff = Arc::new(Handoff::new(base.registry().notifier(), room.clone()));
            let place = Place { shard, core, handoff: handoff.clone(), loads: loads.clone() };
            let host = Box::new(Host::new(service.clone()));
            let worker = Worker::new(place, host, config, base.registry())?;
            links.push(Link::new(handoff));
            shards.push((base, worker));
        }
        let acceptor = Acceptor::new(listener, links, acceptor_base.registry())?;
        let start = |(number, (base, worker))| {
            Thread::start(format!("worker-{number}"), base, worker, Worker::run)
        };
        let workers = shards.into_iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
        let acceptor = Thread::start("acceptor".into(), acceptor_base, acceptor, Acceptor::run)?;
        Ok(Self { addresses, acceptor, workers, drain: config.drain })
    }

    /// The addresses listened on, in the configuration's order; where port 0 was asked for, with
    /// the port that was given.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Ends the server: stops accepting, lets connections finish for at most the drain timeout,
    /// closes the rest and waits for every thread.
    ///
    /// # Errors
    ///
    /// The first error that a thread ended with, a panic included; the others are ended all the
    /// same.
    pub fn drain(self) -> Result<ServerReport> {
        let drain = self.drain;
        self.acceptor.post(Acceptor::stop);
        let accepted = self.acceptor.join();
        for worker in &self.workers {
            worker.post(move |registry, context| drain::begin(registry, context, drain));
        }
        let shards: Vec<Result<ShardStats>> = self.workers.into_iter().map(Thread::join).collect();
        let shards = shards.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(ServerReport::new(accepted?, shards))
    }
}
