//! The acceptor: the accepting half of a server, in whatever base it lives.
//!
//! It takes connections from its listening sockets and offers each to the shards in the order that
//! placement gives; a batch ends in one wake for each worker that got any. What it cannot take it
//! leaves in the kernel's backlog, and is notified when it can again:
//!
//! | state | ends when |
//! |---|---|
//! | full: no worker has room, one connection is held | a queue is half empty |
//! | at the limit | a connection closes |
//! | exhausted: no descriptor, no memory | a connection closes, or a pause is over |
//!
//! It never spins and never gives up. How it stops and goes on is in `pause.rs`, how it ends in
//! `shutdown.rs`.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::super::config::{Overload, ServerConfig};
use super::super::connection_limit::ConnectionLimit;
use super::super::handoff::accepted_connection::AcceptedConnection;
use super::super::placement::PlacementHint;
use super::super::stats::AcceptorStats;
use super::batch::Batch;
use super::fd_exhaustion::FdExhaustion;
use super::listen_socket::{AcceptError, ListenSocket, reset};
use super::shard_queues::{ShardQueues, UnplacedConnection};
use super::state::{BacklogOwner, BatchEnd, PauseReason, Shutdown, State, WatchedSocket};
use crate::base::Registry;
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};

/// The context of a base that an acceptor lives in.
pub(in crate::server) trait HasAcceptor: Sized {
    /// The acceptor, if there is one.
    fn acceptor(&mut self) -> Option<&mut Acceptor>;

    /// The acceptor did something; how long that took is for the context to know.
    fn acceptor_ran(_context: &mut Self) {}

    /// The acceptor has handed over its last connection and closed its sockets.
    fn acceptor_is_done(registry: &mut Registry<Self>, context: &mut Self);
}

/// See the module's documentation.
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

/// What the acceptor waits for besides its sockets.
#[derive(Debug)]
pub(super) struct Events {
    notified: EventId,
    pub(super) pause_over: EventId,
    pub(super) shutdown: EventId,
}

/// How one try to accept ended.
enum Step {
    /// One less waits, whether it was placed or not.
    Next,
    NoneWaiting,
    Pause(PauseReason),
}

impl Acceptor {
    /// An acceptor with these listen_sockets, in batches of at most `batch_max`; `registry` is that
    /// of its base.
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

    /// What it did so far.
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

    /// Takes what the kernel has queued, if that is ours, closes the sockets, and drops `done` when
    /// that is over.
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

    /// Accepts a batch from a watched and wakes whom it is for.
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

    /// Reserves a place first: beyond the limit, connections wait in the kernel.
    fn accept_below_limit(&mut self, index: usize) -> Step {
        if !self.connection_limit.try_acquire() {
            // A place that came free meanwhile is for the next try.
            let has_place = self.connection_limit.has_room_or_wait();
            return if has_place { Step::Next } else { Step::Pause(PauseReason::AtLimit) };
        }
        match self.accept_from_kernel(index) {
            Ok(unplaced) => self.place(unplaced),
            Err(error) => {
                self.connection_limit.cancel();
                self.on_accept_error(error)
            }
        }
    }

    /// Accepts first: a place that another thread has reserved, and for which no connection comes,
    /// must not have a connection reset.
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

    /// Takes one connection from the kernel.
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

    /// Calls accept(2). Who is refused for want of descriptors first says that it waits for one,
    /// and then tries once more: one may just have come free.
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

    /// Hands a connection over, or does what is to be done when nobody has room.
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

/// Has an acceptor act, and tells its base if it ended by that.
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
            // Whoever could come has come; it would be reported as readable for ever.
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
