//! The acceptor: accepts connections and hands them to the shards.
//!
//! It runs on any event base: on a thread of its own, or on a worker. It accepts from its listen
//! sockets and offers each connection to the shards in the order of placement. After a batch it
//! wakes each worker that got a connection. What it cannot take stays in the kernel's backlog, and
//! a notification makes it go on:
//!
//! | state | ends when |
//! |---|---|
//! | full: no worker has room, one connection is held | a queue is half empty |
//! | at the limit | a connection closes |
//! | exhausted: no descriptor, no memory | a connection closes, or a pause is over |
//!
//! It never spins and never gives up. `pause.rs` stops and resumes it, `shutdown.rs` ends it.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::batch::Batch;
use super::fd_exhaustion::FdExhaustion;
use super::listen_socket::{AcceptError, ListenSocket, reset};
use super::shard_queues::{ShardQueues, UnplacedConnection};
use super::state::{BacklogOwner, BatchEnd, PauseReason, Shutdown, State, WatchedSocket};
use crate::base::Registry;
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};
use crate::server::config::{Overload, ServerConfig};
use crate::server::connection_limit::ConnectionLimit;
use crate::server::handoff::accepted_connection::AcceptedConnection;
use crate::server::placement::PlacementHint;
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
    pub(super) events: Events,
    pub(super) queues: ShardQueues,
    pub(super) connection_limit: Arc<ConnectionLimit>,
    pub(super) exhaustion: FdExhaustion,
    pub(super) stats: AcceptorStats,
    overload: Overload,
    measures: bool,
}

/// The events of the acceptor besides its listen sockets.
#[derive(Debug)]
pub(super) struct Events {
    notified: EventId,
    pub(super) pause_over: EventId,
    pub(super) shutdown: EventId,
}

/// The outcome of one attempt to accept.
enum Step {
    /// A connection was taken from the backlog, placed or not.
    Next,
    NoneWaiting,
    Pause(PauseReason),
}

impl Acceptor {
    /// Creates an acceptor of these listen sockets, in batches of at most `batch_max`. `registry`
    /// is that of its base.
    pub(super) fn new<C: HasAcceptor>(
        listen_sockets: Vec<ListenSocket>,
        batch_max: usize,
        queues: ShardQueues,
        connection_limit: Arc<ConnectionLimit>,
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
            events: Events { notified, pause_over, shutdown },
            queues,
            connection_limit,
            exhaustion: FdExhaustion::new(),
            stats: AcceptorStats::default(),
            overload: config.overload,
            measures: config.measure.timings,
        })
    }

    /// A copy of its counters.
    pub(in crate::server) fn stats(&self) -> AcceptorStats {
        let accepts = matches!(self.state, State::Accepting) && self.shutdown.is_none();
        let accepting = accepts && !self.sockets.is_empty();
        let (wakes_sent, wakes_suppressed) = self.queues.wakes();
        AcceptorStats {
            answered: true,
            accepting,
            wakes_sent,
            wakes_suppressed,
            ..self.stats.clone()
        }
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
                self.sockets[index].batch.filled(turn);
                break BatchEnd::Filled;
            }
            match self.accept_one(index) {
                Step::Next => taken += 1,
                Step::NoneWaiting => {
                    self.sockets[index].batch.ran_dry(taken);
                    break BatchEnd::Empty;
                }
                Step::Pause(reason) => {
                    self.queues.wake_touched();
                    self.pause(registry, index, reason);
                    break BatchEnd::Stopped;
                }
            }
        };
        self.queues.wake_touched();
        self.stats.batches += 1;
        self.stats.batch_max = self.stats.batch_max.max(taken as u64);
        end
    }

    fn accept_one(&mut self, index: usize) -> Step {
        if self.shutdown.as_mut().is_some_and(|shutdown| !shutdown.may_accept()) {
            return Step::NoneWaiting;
        }
        match self.overload {
            Overload::Wait => self.accept_below_limit(index),
            Overload::Shed => self.accept_or_reset(index),
        }
    }

    /// Acquires from the connection limit first: beyond the limit, connections wait in the kernel.
    fn accept_below_limit(&mut self, index: usize) -> Step {
        if !self.connection_limit.try_acquire() {
            // Room that appeared meanwhile is for the next attempt.
            let has_room = self.connection_limit.has_room_or_wait();
            return if has_room { Step::Next } else { Step::Pause(PauseReason::AtLimit) };
        }
        match self.accept_from_kernel(index) {
            Ok(unplaced) => self.place(unplaced),
            Err(error) => {
                self.connection_limit.cancel();
                self.on_accept_error(error)
            }
        }
    }

    /// Accepts first. If another thread acquired the last slot and then found no connection, no
    /// connection must be reset for it.
    fn accept_or_reset(&mut self, index: usize) -> Step {
        match self.accept_from_kernel(index) {
            Ok(unplaced) if self.connection_limit.try_acquire() => self.place(unplaced),
            Ok(unplaced) => {
                reset(unplaced.connection.socket);
                self.stats.shed += 1;
                Step::Next
            }
            Err(error) => self.on_accept_error(error),
        }
    }

    /// Accepts one connection, and notes when and where.
    fn accept_from_kernel(
        &mut self,
        index: usize,
    ) -> std::result::Result<UnplacedConnection, AcceptError> {
        let (socket, hint) = self.call_accept(index)?;
        let accepted_at = self.measures.then(Instant::now);
        let ListenSocket { listener, is_local, .. } = self.sockets[index].listen_socket;
        Ok(UnplacedConnection {
            connection: AcceptedConnection { socket, accepted_at, listener },
            hint,
            is_local,
        })
    }

    /// Calls accept(2). If descriptors are exhausted, it first registers as waiting and then tries
    /// once more, because one may have been closed in between.
    fn call_accept(
        &mut self,
        index: usize,
    ) -> std::result::Result<(OwnedFd, PlacementHint), AcceptError> {
        self.stats.accept_calls += 1;
        let listen_socket = &self.sockets[index].listen_socket;
        match listen_socket.accept(&self.queues.placer) {
            Err(AcceptError::Exhausted(_)) => {
                self.exhaustion.releases_before = self.connection_limit.releases_or_wait();
                self.stats.accept_calls += 1;
                listen_socket.accept(&self.queues.placer)
            }
            result => result,
        }
    }

    /// Places a connection, or resets or holds it if no shard has room.
    fn place(&mut self, unplaced: UnplacedConnection) -> Step {
        self.stats.accepted += 1;
        self.exhaustion.ended();
        match self.queues.place(unplaced) {
            Ok(()) => Step::Next,
            Err(unplaced) if self.overload == Overload::Shed => {
                self.stats.shed += 1;
                self.reject(unplaced);
                Step::Next
            }
            Err(unplaced) => Step::Pause(PauseReason::Full(unplaced)),
        }
    }

    pub(super) fn reject(&self, unplaced: UnplacedConnection) {
        reset(unplaced.connection.socket);
        self.connection_limit.release();
    }

    fn on_accept_error(&mut self, error: AcceptError) -> Step {
        match error {
            AcceptError::NoneWaiting => Step::NoneWaiting,
            AcceptError::Aborted => {
                self.stats.aborted += 1;
                Step::Next
            }
            AcceptError::Exhausted(error) => Step::Pause(PauseReason::Exhausted(error)),
        }
    }
}

impl Events {
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
        if matches!(acceptor.state, State::Exhausted) {
            acceptor.resume(registry);
        }
    });
}

fn on_shutdown_timer<C: HasAcceptor>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_acceptor(registry, context, Acceptor::shutdown_timer_fired);
}
