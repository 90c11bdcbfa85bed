//! The sharded server: one acceptor hands connections to workers, each with its own event base.
//!
//! ```text
//! acceptor ──accept4──▶ placement ──▶ a bounded queue per worker ──wake──▶ workers, one core each
//! ```
//!
//! Nothing is shared between workers. A connection belongs to one worker from its adoption to its
//! end, so serving it takes no lock and no atomic.

mod accept;
mod arrival;
mod backpressure;
mod closing;
mod config;
mod connection;
mod cores;
mod drain;
mod handoff;
mod listener;
mod load;
mod placement;
mod report;
pub mod stats;
mod thread;
mod worker;

#[cfg(all(test, not(loom)))]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

pub use accept::AcceptMode;
pub use config::{Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol, ServerConfig};
pub use listener::ListenAddress;
pub use placement::Placement;
pub use report::{ServerReport, ShardReport};

use crate::base::EventBase;
use crate::error::Result;
use accept::{Acceptor, Gate, Shards};
use listener::Listener;
use report::WorkerTally;
use stats::GateStats;
use thread::Thread;
use worker::Worker;

/// A running echo server. [`drain`](Self::drain) ends it; dropped, it ends without draining.
///
/// ```
/// use std::io::{Read, Write};
/// use evshard::server::{Server, ServerConfig};
///
/// let listen = vec!["127.0.0.1:0".parse().unwrap()];
/// let config = ServerConfig { listen, ..ServerConfig::default() };
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
    /// Where no worker accepts.
    acceptor: Option<Thread<Acceptor, GateStats>>,
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
    /// [`Error::Listen`](crate::Error::Listen) if an address cannot be listened on;
    /// [`Error::Os`](crate::Error::Os) if descriptors or threads run out. Nothing is left
    /// running then.
    pub fn start(config: &ServerConfig) -> Result<Self> {
        Self::start_on(config, listener::open(config)?)
    }

    /// As [`start`](Self::start), on sockets that listen already.
    fn start_on(config: &ServerConfig, listeners: Vec<Listener>) -> Result<Self> {
        let ListenAddress::Tcp(local_addr) = listeners[0].address else { unreachable!() };
        let mut acceptor_base = match config.accept {
            AcceptMode::Acceptor => Some(EventBase::<Acceptor>::new(config.base)?),
            _ => None,
        };
        let cores = cores::plan(config);
        let bases = cores.iter().map(|_| EventBase::<Worker>::new(config.base));
        let mut bases = bases.collect::<Result<Vec<_>>>()?;
        let gates = config.accept.gates(config.workers);
        let to_gates = match &mut acceptor_base {
            Some(base) => vec![base.registry().notifier()],
            None => bases[..gates].iter_mut().map(|base| base.registry().notifier()).collect(),
        };
        let to_workers = bases.iter_mut().map(|base| base.registry().notifier()).collect();
        let core_ids = cores.iter().map(|core| core.map(|core| core.id)).collect();
        let shards = Shards::new(config, to_workers, to_gates, core_ids);
        let mut entrances = accept::distribute(listeners, gates).into_iter();
        let acceptor = acceptor_base.map(|mut base| {
            let entrances = entrances.next().unwrap_or_default();
            let gate = shards.gate(0, entrances, config, base.registry())?;
            Thread::start("acceptor".into(), base, Acceptor { gate }, Acceptor::run)
        });
        let worker = |(shard, (mut base, core)): (usize, (EventBase<Worker>, _))| {
            let mut worker = Worker::new(shards.handoffs[shard].clone(), core, base.registry())?;
            if let Some(entrances) = entrances.next() {
                worker.gate = Some(shards.gate(shard, entrances, config, base.registry())?);
            }
            Thread::start(format!("worker-{shard}"), base, worker, Worker::run)
        };
        let workers =
            bases.into_iter().zip(cores).enumerate().map(worker).collect::<Result<_>>()?;
        let acceptor = acceptor.transpose()?;
        Ok(Self { local_addr, acceptor, workers, drain_timeout: config.drain.timeout })
    }

    /// Has every gate hand over what the kernel has queued, and waits until all have closed their
    /// sockets.
    fn stop_accepting(&self) {
        let (done, all_done) = mpsc::channel::<Infallible>();
        if let Some(acceptor) = &self.acceptor {
            let done = done.clone();
            acceptor.post(move |registry, acceptor| Gate::stop(registry, acceptor, done));
        }
        for worker in &self.workers {
            let done = done.clone();
            worker.post(move |registry, worker| Gate::stop(registry, worker, done));
        }
        drop(done);
        // Nothing is ever sent: it ends when the last of them is dropped, by whatever way.
        let _ = all_done.recv();
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
        self.stop_accepting();
        let accepted = self.acceptor.map(Thread::join).transpose();
        for worker in &self.workers {
            worker.post(move |registry, context| drain::begin(registry, context, timeout));
        }
        let tallies: Vec<Result<WorkerTally>> =
            self.workers.into_iter().map(Thread::join).collect();
        let mut tallies = tallies.into_iter().collect::<Result<Vec<_>>>()?;
        let in_workers = tallies.iter_mut().filter_map(|tally| tally.gate.take());
        let gates: Vec<GateStats> = accepted?.into_iter().chain(in_workers).collect();
        Ok(ServerReport::new(&gates, tallies))
    }
}
