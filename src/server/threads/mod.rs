//! The threads of a server: started together, ended in order.

pub(super) mod collect_stats;
mod descriptors;
pub(super) mod question;
mod reconfigure;

use std::convert::Infallible;
use std::sync::{Arc, mpsc};

use crate::base::{EventBase, Notifier, Registry};
use crate::server::accept::{self, Acceptor, AcceptorThread, BacklogOwner, Shards};
use crate::server::config::{AcceptMode, Drain, ServerConfig, cores};
use crate::server::connection_limit::ConnectionLimit;
use crate::server::error::Result;
use crate::server::failure::Failures;
use crate::server::listener::Listener;
use crate::server::memory::MemoryLimit;
use crate::server::placement::load::Loads;
use crate::server::service::{Host, MessageSender, Service};
use crate::server::shard::byte_rates::TotalByteRate;
use crate::server::shard::end_together::EndTogether;
use crate::server::shard::worker::{self, Shared, Worker, WorkerResults};
use crate::server::shard::{adopt, drain};
use crate::server::source_limit::SourceLimit;
use crate::server::stats::{AcceptorStats, ShardStats};
use crate::server::thread::Thread;

/// Dropped when a thread has done its job.
type Done = mpsc::Sender<Infallible>;

/// The running threads.
#[derive(Debug)]
pub(super) struct Threads {
    /// The acceptor thread, in the mode that has one.
    pub(super) acceptor: Option<Thread<AcceptorThread, AcceptorStats>>,
    pub(super) workers: Vec<Thread<Worker, WorkerResults>>,
    /// How many workers accept; they are the first ones.
    pub(super) accepting_workers: usize,
    pub(super) loads: Loads,
    connection_limit: Arc<ConnectionLimit>,
    pub(super) memory: Arc<MemoryLimit>,
    pub(super) sources: Option<Arc<SourceLimit>>,
}

/// Posts messages between the shards of a service.
fn message_sender<S: Service>(_: &S, workers: Vec<Notifier>) -> MessageSender<S::Message> {
    MessageSender::new(S::MESSAGES_MAX, workers)
}

impl Threads {
    /// Creates every base, then what they share, then the threads.
    pub(super) fn start(
        config: &ServerConfig,
        listeners: Vec<Listener>,
        service: &impl Service,
        failures: &Failures,
    ) -> Result<Self> {
        let mut acceptor = match config.accept {
            AcceptMode::Acceptor => Some(EventBase::<AcceptorThread>::new(config.base)?),
            _ => None,
        };
        let cores = cores::plan(config);
        let bases = cores.iter().map(|_| EventBase::<Worker>::new(worker::base_config(config)));
        let mut bases = bases.collect::<crate::error::Result<Vec<_>>>()?;
        descriptors::expect_room_for_clients(config)?;
        let acceptors = config.accept.acceptors(config.workers);
        let to_acceptors = match &mut acceptor {
            Some(base) => vec![base.registry().notifier()],
            None => bases[..acceptors].iter_mut().map(|base| base.registry().notifier()).collect(),
        };
        let to_workers: Vec<_> = bases.iter_mut().map(|base| base.registry().notifier()).collect();
        let sender = message_sender(service, to_workers.clone());
        let core_ids = cores.iter().map(|core| core.map(|core| core.id)).collect();
        let shards = Shards::new(config, to_workers.clone(), to_acceptors, core_ids);
        let accepting_workers = if acceptor.is_some() { 0 } else { acceptors };

        let shared = Shared {
            memory: shards.memory.clone(),
            sources: shards.sources.clone(),
            byte_rate: TotalByteRate::of(config),
            end: EndTogether::new(to_workers.clone()),
        };

        let mut listen_sockets = accept::distribute(listeners, acceptors).into_iter();
        let start_acceptor = |mut base: EventBase<AcceptorThread>| {
            let listen_sockets = listen_sockets.next().unwrap_or_default();
            let acceptor = shards.acceptor(0, listen_sockets, config, base.registry())?;
            let context = AcceptorThread { acceptor };
            Thread::start("acceptor".into(), base, context, AcceptorThread::run, failures)
        };
        let acceptor = acceptor.map(start_acceptor).transpose()?;
        let start_worker = |(shard, (mut base, core)): (usize, (EventBase<Worker>, _))| {
            let host = Box::new(Host::new(service.clone(), sender.clone(), shard));
            let (handoff, shared) = (shards.handoffs[shard].clone(), shared.clone());
            let mut worker = Worker::new(handoff, core, host, shared, config, base.registry())?;
            adopt::start(base.registry())?;
            if let Some(listen_sockets) = listen_sockets.next() {
                worker.acceptor =
                    Some(shards.acceptor(shard, listen_sockets, config, base.registry())?);
            }
            Thread::start(format!("worker-{shard}"), base, worker, Worker::run, failures)
        };
        let workers = bases.into_iter().zip(cores).enumerate().map(start_worker);
        let workers = workers.collect::<Result<_>>()?;
        let Shards { loads, connection_limit, memory, sources, .. } = shards;
        Ok(Self { acceptor, workers, accepting_workers, loads, connection_limit, memory, sources })
    }

    /// Stops every acceptor, and waits until all have closed their sockets.
    ///
    /// If this process owns the backlog, all sockets refuse connections before the first one is
    /// emptied. Of sockets at one address (`SO_REUSEPORT`), the kernel may choose one that refuses
    /// as long as another does not.
    pub(super) fn stop_accepting(&self, backlog: BacklogOwner) {
        if backlog == BacklogOwner::ThisProcess {
            self.wait_for_each(Acceptor::refuse, Acceptor::refuse);
        }
        self.wait_for_each(
            move |registry, acceptor, done| Acceptor::stop(registry, acceptor, backlog, done),
            move |registry, worker, done| Acceptor::stop(registry, worker, backlog, done),
        );
    }

    /// Runs a job on every thread that may accept, and waits until each has dropped its sender.
    fn wait_for_each(
        &self,
        on_acceptor: impl FnOnce(&mut Registry<AcceptorThread>, &mut AcceptorThread, Done)
        + Copy
        + Send
        + 'static,
        on_worker: impl FnOnce(&mut Registry<Worker>, &mut Worker, Done) + Copy + Send + 'static,
    ) {
        let (done, all_done) = mpsc::channel();
        if let Some(acceptor) = &self.acceptor {
            let done = done.clone();
            acceptor.post(move |registry, acceptor| on_acceptor(registry, acceptor, done));
        }
        for worker in &self.workers {
            let done = done.clone();
            worker.post(move |registry, worker| on_worker(registry, worker, done));
        }
        drop(done);
        // Nothing is ever sent. The receiver ends when the last sender is dropped, in any way.
        let _ = all_done.recv();
    }

    /// Drains every worker, after accepting has stopped, and waits for all threads. Returns their
    /// counters, or the first error of a thread.
    pub(super) fn drain(self, drain: Drain) -> Result<(Vec<ShardStats>, Vec<AcceptorStats>)> {
        let accepted = self.acceptor.map(Thread::join).transpose();
        for worker in &self.workers {
            worker.post(move |registry, worker| drain::begin(registry, worker, drain));
        }
        // Join all of them before an error is returned.
        let results: Vec<Result<WorkerResults>> =
            self.workers.into_iter().map(Thread::join).collect();
        let results = results.into_iter().collect::<Result<Vec<_>>>()?;
        let (shards, in_workers): (Vec<_>, Vec<_>) =
            results.into_iter().map(|worker| (worker.shard, worker.acceptor)).unzip();
        let acceptors = accepted?.into_iter().chain(in_workers.into_iter().flatten()).collect();
        Ok((shards, acceptors))
    }
}
