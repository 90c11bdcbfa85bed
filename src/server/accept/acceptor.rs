//! The gate: the accepting half of a server, in whatever base it lives.
//!
//! It takes connections from its listening sockets and offers each to the shards in the order that
//! placement gives; a batch ends in one wake for each worker that got any. What it cannot take it
//! leaves in the kernel's backlog, and is told when it can again:
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
use super::super::connection_limit::Census;
use super::super::handoff::accepted_connection::Arrival;
use super::super::placement::Clue;
use super::super::stats::GateStats;
use super::batch::Batch;
use super::fd_exhaustion::Shortage;
use super::listen_socket::{Entrance, Refusal, reset};
use super::shard_queues::{Links, Visitor};
use super::state::{BatchEnd, Door, Leaving, Queue, State, Stop};
use crate::base::Registry;
use crate::error::Result;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};

/// The context of a base that a gate lives in.
pub(in crate::server) trait Accepts: Sized {
    /// The gate, if there is one.
    fn gate(&mut self) -> Option<&mut Gate>;

    /// The gate did something; how long that took is for the context to know.
    fn gate_has_acted(_context: &mut Self) {}

    /// The gate has handed over its last connection and closed its sockets.
    fn gate_is_done(registry: &mut Registry<Self>, context: &mut Self);
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::server) struct Gate {
    pub(super) doors: Vec<Door>,
    pub(super) state: State,
    pub(super) leaving: Option<Leaving>,
    pub(super) events: Events,
    pub(super) links: Links,
    pub(super) census: Arc<Census>,
    pub(super) shortage: Shortage,
    pub(super) stats: GateStats,
    overload: Overload,
    measures: bool,
}

/// What the gate waits for besides its doors.
#[derive(Debug)]
pub(super) struct Events {
    told: EventId,
    pub(super) pause_over: EventId,
    pub(super) leaving: EventId,
}

/// How one try to accept ended.
enum Step {
    /// One less waits, whether it was placed or not.
    Next,
    Nobody,
    Stop(Stop),
}

impl Gate {
    /// A gate with these entrances, in batches of at most `batch_max`; `registry` is that of its
    /// base.
    pub(super) fn new<C: Accepts>(
        entrances: Vec<Entrance>,
        batch_max: usize,
        links: Links,
        census: Arc<Census>,
        config: &ServerConfig,
        registry: &mut Registry<C>,
    ) -> Result<Self> {
        let told = registry.create(EventSpec::notify(), on_told);
        registry.add(told, None)?;
        let pause_over = registry.create(EventSpec::timer(), on_pause_over);
        let leaving = registry.create(EventSpec::timer(), on_leaving);
        let mut doors = Vec::new();
        for entrance in entrances {
            let spec = EventSpec::io(&entrance, Interest::READ).persist();
            let event = registry.create(spec, on_acceptable);
            registry.add(event, None)?;
            doors.push(Door { entrance, event, batch: Batch::new(batch_max) });
        }
        Ok(Self {
            doors,
            state: State::Accepting,
            leaving: None,
            events: Events { told, pause_over, leaving },
            links,
            census,
            shortage: Shortage::new(),
            stats: GateStats::default(),
            overload: config.overload,
            measures: config.measure.timings,
        })
    }

    /// What it did so far.
    pub(in crate::server) fn stats(&self) -> GateStats {
        let accepts = matches!(self.state, State::Accepting) && self.leaving.is_none();
        let accepting = accepts && !self.doors.is_empty();
        let (wakes_sent, wakes_suppressed) = self.links.wakes();
        GateStats { answered: true, accepting, wakes_sent, wakes_suppressed, ..self.stats.clone() }
    }

    /// Takes what the kernel has queued, if that is ours, closes the sockets, and drops `done` when
    /// that is over.
    pub(in crate::server) fn stop<C: Accepts>(
        registry: &mut Registry<C>,
        context: &mut C,
        queue: Queue,
        done: Sender<Infallible>,
    ) {
        with_gate(registry, context, |gate, registry| gate.leave(registry, queue, done));
    }

    /// Accepts a batch from a door and wakes whom it is for.
    pub(super) fn accept_batch<C>(&mut self, registry: &mut Registry<C>, door: usize) -> BatchEnd {
        let turn = registry.stats().waits;
        let limit = self.doors[door].batch.limit();
        let mut taken = 0;
        let end = loop {
            if taken == limit {
                self.doors[door].batch.filled(turn);
                break BatchEnd::Filled;
            }
            match self.accept_one(door) {
                Step::Next => taken += 1,
                Step::Nobody => {
                    self.doors[door].batch.ran_dry(taken);
                    break BatchEnd::Empty;
                }
                Step::Stop(stop) => {
                    self.links.wake_touched();
                    self.pause(registry, door, stop);
                    break BatchEnd::Stopped;
                }
            }
        };
        self.links.wake_touched();
        self.stats.batches += 1;
        self.stats.batch_max = self.stats.batch_max.max(taken as u64);
        end
    }

    fn accept_one(&mut self, door: usize) -> Step {
        if self.leaving.as_mut().is_some_and(|leaving| !leaving.may_accept()) {
            return Step::Nobody;
        }
        match self.overload {
            Overload::Wait => self.accept_below_limit(door),
            Overload::Shed => self.accept_or_reset(door),
        }
    }

    /// Reserves a place first: beyond the limit, connections wait in the kernel.
    fn accept_below_limit(&mut self, door: usize) -> Step {
        if !self.census.enter() {
            // A place that came free meanwhile is for the next try.
            let has_place = self.census.has_place_or_wait();
            return if has_place { Step::Next } else { Step::Stop(Stop::AtLimit) };
        }
        match self.take_in(door) {
            Ok(visitor) => self.receive(visitor),
            Err(refusal) => {
                self.census.withdraw();
                self.meet(refusal)
            }
        }
    }

    /// Accepts first: a place that another thread has reserved, and for which no connection comes,
    /// must not have a connection reset.
    fn accept_or_reset(&mut self, door: usize) -> Step {
        match self.take_in(door) {
            Ok(visitor) if self.census.enter() => self.receive(visitor),
            Ok(visitor) => {
                reset(visitor.arrival.socket);
                self.stats.shed += 1;
                Step::Next
            }
            Err(refusal) => self.meet(refusal),
        }
    }

    /// Takes one connection from the kernel.
    fn take_in(&mut self, door: usize) -> std::result::Result<Visitor, Refusal> {
        let (socket, clue) = self.call_accept(door)?;
        let accepted_at = self.measures.then(Instant::now);
        let Entrance { listener, at_home, .. } = self.doors[door].entrance;
        Ok(Visitor { arrival: Arrival { socket, accepted_at, listener }, clue, at_home })
    }

    /// Calls accept(2). Who is refused for want of descriptors first says that it waits for one,
    /// and then tries once more: one may just have come free.
    fn call_accept(&mut self, door: usize) -> std::result::Result<(OwnedFd, Clue), Refusal> {
        self.stats.accept_calls += 1;
        let entrance = &self.doors[door].entrance;
        match entrance.accept(&self.links.placer) {
            Err(Refusal::Shortage(_)) => {
                self.shortage.departures_before = self.census.departures_or_wait();
                self.stats.accept_calls += 1;
                entrance.accept(&self.links.placer)
            }
            result => result,
        }
    }

    /// Hands a connection over, or does what is to be done when nobody has room.
    fn receive(&mut self, visitor: Visitor) -> Step {
        self.stats.accepted += 1;
        self.shortage.is_over();
        match self.links.place(visitor) {
            Ok(()) => Step::Next,
            Err(visitor) if self.overload == Overload::Shed => {
                self.stats.shed += 1;
                self.turn_away(visitor);
                Step::Next
            }
            Err(visitor) => Step::Stop(Stop::Full(visitor)),
        }
    }

    pub(super) fn turn_away(&self, visitor: Visitor) {
        reset(visitor.arrival.socket);
        self.census.leave();
    }

    fn meet(&mut self, refusal: Refusal) -> Step {
        match refusal {
            Refusal::Nobody => Step::Nobody,
            Refusal::Gone => {
                self.stats.aborted += 1;
                Step::Next
            }
            Refusal::Shortage(error) => Step::Stop(Stop::Exhausted(error)),
        }
    }
}

impl Events {
    pub(super) fn free<C>(&self, registry: &mut Registry<C>) {
        for event in [self.told, self.pause_over, self.leaving] {
            registry.free(event);
        }
    }
}

/// Has a gate act, and tells its base if it ended by that.
fn with_gate<C: Accepts>(
    registry: &mut Registry<C>,
    context: &mut C,
    act: impl FnOnce(&mut Gate, &mut Registry<C>),
) {
    let Some(gate) = context.gate() else { return };
    if matches!(gate.state, State::Done) {
        return;
    }
    act(gate, registry);
    let is_done = matches!(gate.state, State::Done);
    C::gate_has_acted(context);
    if is_done {
        C::gate_is_done(registry, context);
    }
}

fn on_acceptable<C: Accepts>(registry: &mut Registry<C>, context: &mut C, fired: Fired) {
    with_gate(registry, context, |gate, registry| {
        let Some(door) = gate.doors.iter().position(|door| door.event == fired.id) else { return };
        if fired.ready.contains(Ready::REFUSED) {
            gate.pause_unwatched(registry, &"the kernel refuses to watch a listening socket");
        } else if matches!(gate.accept_batch(registry, door), BatchEnd::Empty)
            && gate.doors[door].entrance.is_shut
        {
            // Whoever could come has come; it would be reported as readable for ever.
            registry.del(gate.doors[door].event);
        }
    });
}

fn on_told<C: Accepts>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_gate(registry, context, Gate::look_again);
}

fn on_pause_over<C: Accepts>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_gate(registry, context, |gate, registry| {
        if matches!(gate.state, State::Exhausted) {
            gate.resume(registry);
        }
    });
}

fn on_leaving<C: Accepts>(registry: &mut Registry<C>, context: &mut C, _fired: Fired) {
    with_gate(registry, context, Gate::leave_in_time);
}
