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
mod cores;
mod drain;
mod handoff;
pub mod listener;
mod load;
mod placement;
mod report;
pub mod service_manager;
pub mod stats;
mod thread;
pub mod upgrade;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use accept::AcceptMode;
pub use config::{Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol, ServerConfig};
pub use listener::{ListenAddress, Listener};
pub use placement::Placement;
pub use report::{ServerReport, ShardReport};

use crate::base::EventBase;
use crate::error::Result;
use accept::acceptor::{Acceptor, Link};
use handoff::Handoff;
use report::{AcceptorTally, WorkerTally};
use thread::Thread;
use worker::Worker;

/// A running echo server. [`drain`](Self::drain) ends it; dropped, it ends without draining.
///
/// ```
/// use std::io::{Read, Write};
/// use evshard::server::{Server, ServerConfig};
///
/// let config = ServerConfig { listen: vec!["127.0.0.1:0".parse().unwrap()], ..ServerConfig::default() };
/// let server = Server::start(&config)?;
///
/// let mut client = std::net::TcpStream::connect(server.local_addr()).unwrap();
/// client.write_all(b"hello").unwrap();
/// let mut echo = [0; 5];
/// client.read_exact(&mut echo).unwrap();
/// assert_eq!(&echo, b"hello");
///
/// drop(client);
/// let report = server.drain()?;
/// assert_eq!(report.shards.iter().map(|shard| shard.bytes).sum::<u64>(), 5);
/// # Ok::<(), evshard::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a server that is dropped ends"]
pub struct Server {
    local_addr: SocketAddr,
    acceptor: Thread<Acceptor, AcceptorTally>,
    workers: Vec<Thread<Worker, WorkerTally>>,
    drain_timeout: Duration,
}

impl Server {
    /// Listens, then starts the workers and the acceptor. Connections are served on return.
    ///
    /// Must be called from a thread that still has the affinity the process was started with:
    /// workers are pinned within it.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be listened on; [`Error::Os`] if descriptors or
    /// threads run out. Nothing is left running then.
    pub fn start(config: &ServerConfig) -> Result<Self> {
        let listener = listener::open(config)?.remove(0);
        let ListenAddress::Tcp(local_addr) = listener.address else { unreachable!() };
        let listener = listener.sockets.into_iter().next().expect("one socket").into();
        let mut acceptor_base = EventBase::new(config.base)?;
        let room = acceptor_base.registry().notifier();

        let mut links = Vec::new();
        let mut shards = Vec::new();
        for core in cores::plan(config) {
            let mut base = EventBase::new(config.base)?;
            let handoff = Arc::new(Handoff::new(base.registry().notifier(), room.clone()));
            let worker = Worker::new(handoff.clone(), core, base.registry())?;
            links.push(Link::new(handoff));
            shards.push((base, worker));
        }
        let acceptor = Acceptor::new(listener, links, acceptor_base.registry())?;
        let start = |(number, (base, worker))| {
            Thread::start(format!("worker-{number}"), base, worker, Worker::run)
        };
        let workers = shards.into_iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
        let acceptor = Thread::start("acceptor".into(), acceptor_base, acceptor, Acceptor::run)?;
        Ok(Self { local_addr, acceptor, workers, drain_timeout: config.drain.timeout })
    }

    /// The address listened on; with port 0 asked for, the port that was given.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends the server: stops accepting, lets connections finish for at most the drain timeout,
    /// closes the rest and waits for every thread.
    ///
    /// # Errors
    ///
    /// The first error that a thread ended with, a panic included; the others are ended all the
    /// same.
    pub fn drain(self) -> Result<ServerReport> {
        let timeout = self.drain_timeout;
        self.acceptor.post(Acceptor::stop);
        let accepted = self.acceptor.join();
        for worker in &self.workers {
            worker.post(move |registry, context| drain::begin(registry, context, timeout));
        }
        let tallies: Vec<Result<WorkerTally>> =
            self.workers.into_iter().map(Thread::join).collect();
        let tallies = tallies.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(ServerReport::new(accepted?, tallies))
    }
}
