//! The acceptor: accepts connections and hands them to the shards.
//!
//! It runs on any event base: on a thread of its own, or on a worker. It accepts from its listen
//! sockets and offers each connection to the shards in the order of placement. After a batch it
//! wakes each worker that got a connection.
//!
//! ```text
//! on_acceptable ─▶ accept_batch ─▶ accept_one ─▶ call_accept ─▶ ListenSocket::accept (accept4)
//!                                      └▶ ShardQueues::place ─▶ a worker's Handoff
//! ```
//!
//! What it cannot take stays in the kernel's backlog. It never spins and never gives up: `pause.rs`
//! stops and resumes it, `shutdown.rs` ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::accept_rate::AcceptRate;
use super::fd_exhaustion::FdExhaustion;
use super::listen_socket::ListenSocket;
use super::shard_queues::{ShardQueues, UnplacedConnection};
use super::shards::Shards;
use super::state::{
    BacklogOwner, BatchEnd, NO_DESCRIPTOR, NO_MEMORY, NO_QUEUE, NO_SLOT, Paused, Shutdown, State,
    WatchedSocket,
};
use crate::accept::{AcceptError, Batch, PAUSE_MAX, PAUSE_MIN, reset};
use crate::base::Registry;
use crate::base::back_off::BackOff;
use crate::base::log_interval::LogInterval;
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};
use crate::server::config::{Overload, ServerConfig};
use crate::server::connection_limit::ConnectionLimit;
use crate::server::handoff::accepted_connection::AcceptedConnection;
use crate::server::memory::MemoryLimit;
use crate::server::source_limit::SourceLimit;
use crate::server::stats::AcceptorStats;

/// The context of an event base that may run an acceptor.
pub(in crate::server) trait HasAcceptor: Sized {
    /// The acceptor, if this base runs one.
    fn acceptor(&mut self) -> Option<&mut Acceptor>;

    /// Called after each step of the acceptor, so that the context can measure its time.
    fn acceptor_ran(_context: &mut Self) {}

    /// Called once the acceptor has handed over its last connection and closed its sockets.
    fn acceptor_is_done(registry: &mut Registry<Self>, context: &mut Self);
}

/// Accepts connections from its listen sockets, and places them.
#[derive(Debug)]
pub(in crate::server) struct Acceptor {
    pub(super) sockets: Vec<WatchedSocket>,
    pub(super) state: State,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) events: AcceptorEvents,
    pub(super) queues: ShardQueues,
    pub(super) connection_limit: Arc<ConnectionLimit>,
    memory: Arc<MemoryLimit>,
    sources: Option<Arc<SourceLimit>>,
    pub(super) accept_rate: Option<Arc<AcceptRate>>,
    pub(super) exhaustion: FdExhaustion,
    pub(super) back_off: BackOff,
    /// Whether the last call of accept(2) failed with the error of one connection.
    has_aborted: bool,
    pub(super) stats: AcceptorStats,
    shed_log: LogInterval,
    pub(super) overload: Overload,
    measures: bool,
}

/// The events of the acceptor besides its listen sockets.
#[derive(Debug)]
pub(super) struct AcceptorEvents {
    notified: EventId,
    pub(super) pause_over: EventId,
    pub(super) shutdown: EventId,
}

impl Acceptor {
    /// Creates an acceptor of these listen sockets for `shards`, in batches of at most `batch_max`.
    /// `registry` is that of its base.
    pub(super) fn new<C: HasAcceptor>(
        listen_sockets: Vec<ListenSocket>,
        batch_max: usize,
        queues: ShardQueues,
        shards: &Shards,
        config: &ServerConfig,
        registry: &mut Registry<C>,
    ) -> Result<Self> {
        let notified = registry.create(EventSpec::notify(), on_notified);
        registry.add(notified, None)?;
        let pause_over = registry.create(EventSpec::timer(), on_pause_over);
        let shutdown = registry.create(EventSpec::timer(), on_shutdown_timer);
        let mut sockets = Vec::new();
        for listen_socket in listen_sockets {
            let spec = EventSpec::io(&listen_socket, Interest::READ).persist();
            let event = registry.create(spec, on_acceptable);
            registry.add(event, None)?;
            sockets.push(WatchedSocket { listen_socket, event, batch: Batch::new(batch_max) });
        }
        Ok(Self {
            sockets,
            state: State::Accepting,
            shutdown: None,
            events: AcceptorEvents { notified, pause_over, shutdown },
            queues,
            connection_limit: shards.connection_limit.clone(),
            memory: shards.memory.clone(),
            sources: shards.sources.clone(),
            accept_rate: shards.accept_rate.clone(),
            exhaustion: FdExhaustion::new(),
            back_off: BackOff::new(PAUSE_MIN, PAUSE_MAX),
            has_aborted: false,
            stats: AcceptorStats::default(),
            shed_log: LogInterval::default(),
            overload: config.overload,
            measures: config.measure.timings,
        })
    }

    /// A copy of its counters.
    pub(in crate::server) fn stats(&self) -> AcceptorStats {
        let accepts = matches!(self.state, State::Accepting | State::Paused(Paused::AtRate))
            && self.shutdown.is_none();
        let accepting = accepts && !self.sockets.is_empty();
        let paused = self.state.pause_reason();
        let (wakes_sent, wakes_suppressed) = self.queues.wakes();
        AcceptorStats {
            answered: true,
            accepting,
            paused,
            wakes_sent,
            wakes_suppressed,
            ..self.stats.clone()
        }
    }

    /// Refuses new connections at the sockets of this process alone, and then drops `done`.
    pub(in crate::server) fn refuse<C: HasAcceptor>(
        registry: &mut Registry<C>,
        context: &mut C,
        done: Sender<Infallible>,
    ) {
        with_acceptor(registry, context, |acceptor, _| acceptor.refuse_connections());
        drop(done);
    }

    /// Starts the shutdown. It serves the backlog if this process owns it, closes the sockets, and
    /// then drops `done`.
    pub(in crate::server) fn stop<C: HasAcceptor>(
        registry: &mut Registry<C>,
        context: &mut C,
        backlog: BacklogOwner,
        done: Sender<Infallible>,
    ) {
        with_acceptor(registry, context, |acceptor, registry| {
            acceptor.begin_shutdown(registry, backlog, done);
        });
    }

    /// Accepts a batch from one listen socket, and wakes the workers that got a connection.
    pub(super) fn accept_batch<C>(&mut self, registry: &mut Registry<C>, index: usize) -> BatchEnd {
        let turn = registry.stats().waits;
        let limit = self.sockets[index].batch.limit();
        let mut taken = 0;
        let end = loop {
            if taken == limit {
                break BatchEnd::Filled;
            }
            match self.accept_one(registry, index, taken == 0) {
                Ok(()) => taken += 1,
                Err(end) => break end,
            }
        };
        match end {
            BatchEnd::Filled => self.sockets[index].batch.filled(turn),
            BatchEnd::Empty => self.sockets[index].batch.ran_dry(taken),
            BatchEnd::Paused => {}
        }
        self.queues.wake_touched();
        self.stats.batches += 1;
        self.stats.batch_max = self.stats.batch_max.max(taken as u64);
        end
    }

    /// Accepts one connection and places it, or resets it. `Err` ends the batch. For the first one
    /// of a batch, the socket has just been reported as readable.
    fn accept_one<C>(
        &mut self,
        registry: &mut Registry<C>,
        index: usize,
        is_first: bool,
    ) -> std::result::Result<(), BatchEnd> {
        if self.shutdown.as_mut().is_some_and(|shutdown| !shutdown.may_accept()) {
            return Err(BatchEnd::Empty);
        }
        let sheds = self.overload == Overload::Shed;
        // Without shedding, connections beyond the limit wait in the kernel. With it, the limit
        // comes after accept(2): another thread may hold the last slot and then find no connection,
        // and none must be reset for that.
        if !sheds && self.memory.is_freeing() {
            return Err(self.pause_without_memory(registry));
        }
        if !sheds && !self.connection_limit.try_acquire() {
            if self.connection_limit.has_room_or_wait() {
                return Ok(()); // the next attempt may acquire it
            }
            return Err(self.pause(registry, Paused::AtLimit));
        }
        if let Err(wait) = self.accept_rate().map_or(Ok(()), |rate| rate.try_take(Instant::now())) {
            if !sheds {
                self.connection_limit.cancel();
            }
            // After others of the batch, only the next turn shows whether a connection waits.
            let waits = is_first.then(|| self.pause_at_rate(registry, wait));
            return Err(waits.unwrap_or(BatchEnd::Filled));
        }
        let unplaced = match self.call_accept(index) {
            Ok(unplaced) => unplaced,
            Err(error) => {
                if let Some(rate) = self.accept_rate() {
                    rate.put_back();
                }
                if !sheds {
                    self.connection_limit.cancel();
                }
                return self.on_accept_error(registry, index, error);
            }
        };
        let Some(unplaced) = self.admit(unplaced) else { return Ok(()) };
        self.stats.accepted += 1;
        self.exhaustion.ended();
        self.back_off.reset();
        self.has_aborted = false;
        match self.queues.place(unplaced) {
            Ok(()) => Ok(()),
            Err(unplaced) if sheds => {
                self.reject(unplaced);
                self.count_shed(NO_QUEUE);
                Ok(())
            }
            Err(unplaced) => Err(self.pause(registry, Paused::QueueFull(unplaced))),
        }
    }

    /// The accept rate. A shutdown does not wait for it.
    fn accept_rate(&self) -> Option<&AcceptRate> {
        self.accept_rate.as_deref().filter(|_| self.shutdown.is_none())
    }

    /// Calls accept(2), and notes when and where. If descriptors are exhausted, it first registers
    /// as waiting and then tries once more, because one may have been closed in between.
    fn call_accept(
        &mut self,
        index: usize,
    ) -> std::result::Result<UnplacedConnection, AcceptError> {
        let listen_socket = &self.sockets[index].listen_socket;
        self.stats.accept_calls += 1;
        let wants_address = self.sources.is_some();
        let mut accepted = listen_socket.accept(&self.queues.placer, wants_address);
        if matches!(accepted, Err(AcceptError::Exhausted(_))) {
            self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
            self.stats.accept_calls += 1;
            accepted = listen_socket.accept(&self.queues.placer, wants_address);
        }
        let (socket, hint) = accepted?;
        let accepted_at = self.measures.then(Instant::now);
        let ListenSocket { listener, tls, is_local, .. } = *listen_socket;
        let connection = AcceptedConnection { socket, accepted_at, listener, tls, source: None };
        Ok(UnplacedConnection { connection, hint, is_local })
    }

    /// Counts a new connection for its source, and with shedding against the limits of the server.
    /// It is reset if there is no room.
    fn admit(&mut self, mut unplaced: UnplacedConnection) -> Option<UnplacedConnection> {
        let sheds = self.overload == Overload::Shed;
        if let (Some(sources), Some(address)) = (&self.sources, unplaced.hint.address)
            && !sources.awaits_header(address)
        {
            unplaced.connection.source = sources.try_acquire(address);
            if unplaced.connection.source.is_none() {
                self.stats.source_limit += 1;
                if sheds {
                    reset(unplaced.connection.socket);
                } else {
                    self.reject(unplaced);
                }
                return None;
            }
        }
        if !sheds {
            return Some(unplaced);
        }
        let lack = if self.memory.is_freeing() {
            NO_MEMORY
        } else if !self.connection_limit.try_acquire() {
            NO_SLOT
        } else {
            return Some(unplaced);
        };
        reset(unplaced.connection.socket);
        self.count_shed(lack);
        None
    }

    fn on_accept_error<C>(
        &mut self,
        registry: &mut Registry<C>,
        index: usize,
        error: AcceptError,
    ) -> std::result::Result<(), BatchEnd> {
        match error {
            AcceptError::NoneWaiting => {
                self.has_aborted = false;
                Err(BatchEnd::Empty)
            }
            AcceptError::Aborted(error) => {
                self.stats.aborted += 1;
                // The next connection may be fine. If it is not, this may repeat without end.
                let repeats = std::mem::replace(&mut self.has_aborted, true);
                if repeats { Err(self.pause_failing(registry, &error)) } else { Ok(()) }
            }
            AcceptError::Exhausted(error) => {
                let listen_socket = &self.sockets[index].listen_socket;
                let shed = self.overload == Overload::Shed
                    && self.exhaustion.shed_one(&error, listen_socket, &self.queues.placer);
                if shed {
                    self.count_shed(NO_DESCRIPTOR);
                }
                Err(self.pause_exhausted(registry, &error))
            }
        }
    }

    /// Counts a connection that was reset for lack of room, and logs it at most once a second.
    fn count_shed(&mut self, lack: &str) {
        self.stats.shed += 1;
        if let Some(suppressed) = self.shed_log.next(Instant::now()) {
            log::warn!(
                target: "accept", shed = self.stats.shed, suppressed;
                "a new connection was reset: {lack}"
            );
        }
    }

    pub(super) fn reject(&self, unplaced: UnplacedConnection) {
        reset(unplaced.connection.socket);
        self.connection_limit.release();
    }
}

impl AcceptorEvents {
    pub(super) fn free<C>(&self, registry: &mut Registry<C>) {
        for event in [self.notified, self.pause_over, self.shutdown] {
            registry.free(event);
        }
    }
}

/// Runs a step of the acceptor, and reports to its base if the acceptor is done.
fn with_acceptor<C: HasAcceptor>(
    registry: &mut Registry<C>,
    context: &mut C,
    act: impl FnOnce(&mut Acceptor, &mut Registry<C>),
) {
    let Some(acceptor) = context.acceptor() else { return };
    if matches!(acceptor.state, State::Done) {
        return;
    }
    act(acceptor, registry);
    let is_done = matches!(acceptor.state, State::Done);
    C::acceptor_ran(context);
    if is_done {
        C::acceptor_is_done(registry, context);
    }
}

fn on_acceptable<C: HasAcceptor>(registry: &mut Registry<C>, context: &mut C, fired: Fired) {
    with_acceptor(registry, context, |acceptor, registry| {
        let Some(index) = acceptor.sockets.iter().position(|watched| watched.event == fired.id)
        else {
            return;
        };
        if fired.ready.contains(Ready::REFUSED) {
            acceptor.pause_unwatched(registry, &"the kernel refuses to watch a listening socket");
        } else if matches!(acceptor.accept_batch(registry, index), BatchEnd::Empty)
            && acceptor.sockets[index].listen_socket.is_shut
        {
            // The queue of a shut socket is empty now, but it stays readable for ever.
            registry.del(acceptor.sockets[index].event);
        }
    });
}

fn on_notified<C: HasAcceptor>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_acceptor(registry, context, Acceptor::resume_if_possible);
}

fn on_pause_over<C: HasAcceptor>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_acceptor(registry, context, |acceptor, registry| {
        if matches!(
            acceptor.state,
            State::Paused(
                Paused::Exhausted | Paused::MemoryLimit | Paused::Failing | Paused::AtRate
            )
        ) {
            acceptor.resume(registry);
        }
    });
}

fn on_shutdown_timer<C: HasAcceptor>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_acceptor(registry, context, Acceptor::shutdown_timer_fired);
}
