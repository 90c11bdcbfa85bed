//! The sharded server: connections are handed to workers, each with its own event base.
//!
//! ```text
//! gate ──accept4──▶ placement ──▶ a bounded queue per worker ──wake──▶ workers, one core each
//! ```
//!
//! Where the gates are is the [`AcceptMode`].
//!
//! Nothing is shared between workers. A connection belongs to one worker from its adoption to its
//! end, so serving it takes no lock and no atomic.

mod accept;
mod admin;
mod arrival;
mod backpressure;
mod closing;
mod config;
mod connection;
mod conversation;
mod cores;
mod deadlines;
mod drain;
mod ending;
mod greeting;
mod handoff;
pub mod listener;
mod load;
mod placement;
mod proxy_protocol;
mod service;
pub mod service_manager;
pub mod stats;
mod stopwatch;
mod survey;
mod thread;
pub mod upgrade;
mod worker;

#[cfg(all(test, not(loom)))]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub use accept::AcceptMode;
pub use admin::AdminConfig;
pub use config::{Drain, Limits, Measure, Overload, ProxyMode, ProxyProtocol, ServerConfig};
pub use listener::{ListenAddress, Listener};
pub use placement::Placement;
pub use service::{
    Chargen, Discard, Echo, Outlet, Peer, PeerAddress, Service, Spread, Toil, Work, runs_here,
};

use crate::base::{Config, EventBase};
use crate::error::Result;
use accept::{Acceptor, Gate, Queue, Shards};
use admin::Admin;
use listener::SocketFile;
use service::Host;
use stats::{GateStats, ServerStats};
use survey::{AdminSurvey, Survey};
use thread::Thread;
use worker::{Worker, WorkerLeft};

/// How long threads are waited for that are asked for their numbers.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// Where no worker accepts.
    acceptor: Option<Thread<Acceptor, GateStats>>,
    workers: Vec<Thread<Worker, WorkerLeft>>,
    drain: Drain,
    survey: Survey,
    admin: Option<Admin<AdminSurvey>>,
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
        listener::fit(&mut listeners, config);
        let files = listeners.iter().filter_map(|listener| listener.file.clone()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
        let mut acceptor_base = match config.accept {
            AcceptMode::Acceptor => Some(EventBase::<Acceptor>::new(config.base)?),
            _ => None,
        };
        let cores = cores::plan(config);
        let bases = cores.iter().map(|_| EventBase::<Worker>::new(worker::base_config(config)));
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
            let host = Box::new(Host::new(service.clone()));
            let handoff = shards.handoffs[shard].clone();
            let mut worker = Worker::new(handoff, core, host, config, base.registry())?;
            if let Some(entrances) = entrances.next() {
                worker.gate = Some(shards.gate(shard, entrances, config, base.registry())?);
            }
            Thread::start(format!("worker-{shard}"), base, worker, Worker::run)
        };
        let workers =
            bases.into_iter().zip(cores).enumerate().map(worker).collect::<Result<Vec<_>>>()?;
        let acceptor = acceptor.transpose()?;
        let survey = Survey {
            acceptor: acceptor.as_ref().map(Thread::remote),
            workers: workers.iter().map(Thread::remote).collect(),
            loads: shards.loads,
            listeners: addresses.iter().map(ToString::to_string).collect(),
            started: Instant::now(),
            draining: Arc::new(AtomicBool::new(false)),
        };
        Ok(Self { addresses, files, acceptor, workers, drain: config.drain, survey, admin: None })
    }

    /// Has every gate end, and waits until all have closed their sockets.
    fn stop_accepting(&self, queue: Queue) {
        let (done, all_done) = mpsc::channel::<Infallible>();
        if let Some(acceptor) = &self.acceptor {
            let done = done.clone();
            acceptor.post(move |registry, acceptor| Gate::stop(registry, acceptor, queue, done));
        }
        for worker in &self.workers {
            let done = done.clone();
            worker.post(move |registry, worker| Gate::stop(registry, worker, queue, done));
        }
        drop(done);
        // Nothing is ever sent: it ends when the last of them is dropped, by whatever way.
        let _ = all_done.recv();
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
        self.survey.take(PATIENCE)
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
        let source = AdminSurvey { survey: self.survey.clone(), leave: Box::new(leave) };
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
        self.survey.draining.store(true, Ordering::Relaxed);
        std::thread::sleep(self.drain.delay);
        // Nobody who comes by a path from now on would be served.
        self.files.clear();
        self.end(Queue::Ours)
    }

    /// As [`drain`](Self::drain), of a server that another process succeeds on the same sockets:
    /// what the kernel has queued is left to the successor, and the admin stops answering at once,
    /// because its address may be the successor's, too.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub fn hand_over(mut self) -> Result<ServerStats> {
        self.survey.draining.store(true, Ordering::Relaxed);
        self.admin = None;
        self.end(Queue::Successors)
    }

    fn end(self, queue: Queue) -> Result<ServerStats> {
        let drain = self.drain;
        self.stop_accepting(queue);
        let accepted = self.acceptor.map(Thread::join).transpose();
        for worker in &self.workers {
            worker.post(move |registry, worker| drain::begin(registry, worker, drain));
        }
        let left: Vec<Result<WorkerLeft>> = self.workers.into_iter().map(Thread::join).collect();
        let left = left.into_iter().collect::<Result<Vec<_>>>()?;
        let (shards, in_workers): (Vec<_>, Vec<_>) =
            left.into_iter().map(|left| (left.shard, left.gate)).unzip();
        let gates: Vec<GateStats> =
            accepted?.into_iter().chain(in_workers.into_iter().flatten()).collect();
        Ok(self.survey.tree(shards, gates))
    }
}
