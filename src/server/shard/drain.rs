//! Draining: how a worker ends without cutting short who is still busy.
//!
//! Services are told, and connections go on. One that sent nothing for a tick, with everything it
//! sent before answered, is closed when its turn has come: turns are spread over a window, so that
//! clients do not all come back at once. Those still busy at the deadline are cut. The worker ends
//! with the last.

use std::time::Duration;

use super::super::config::Drain;
use super::super::service::NextStep;
use super::close::CloseReason;
use super::connection::Stage;
use super::drain_spread::DrainSpread;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventSpec, Fired};

/// How long a connection must be quiet to be closed: longer than a client on this machine or in
/// this building takes between a reply and its next request.
const QUIET: Duration = Duration::from_millis(50);

/// Begins to drain; nobody hands over any more.
pub(in crate::server) fn begin(registry: &mut Registry<Worker>, worker: &mut Worker, drain: Drain) {
    worker.adopt_waiting(registry, usize::MAX);
    if worker.connections.is_empty() {
        registry.loop_exit();
        return;
    }
    let window = drain.spread.min(drain.timeout);
    worker.draining = Some(DrainSpread::new(registry.now(), window));
    for key in worker.connection_keys() {
        worker.begin_draining(registry, key);
    }
    let tick = registry.create(EventSpec::timer().persist(), on_tick);
    let deadline = registry.create(EventSpec::timer(), on_deadline);
    for (timer, timeout) in [(tick, QUIET), (deadline, drain.timeout)] {
        registry.add(timer, Some(timeout)).expect("a timer needs nothing of the kernel");
    }
}

fn on_tick(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    let Some(spread) = worker.draining else { return };
    let now = registry.now();
    for key in worker.connection_keys() {
        // In this order: to find out whether one is quiet is a system call.
        if spread.is_due(key, now) && is_quiet(registry, worker, key) {
            worker.close(registry, key);
        }
    }
    worker.mark();
}

fn on_deadline(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    for key in worker.connection_keys() {
        if worker.connections[key].has_pending_output() {
            worker.fail(registry, key, CloseReason::Cut);
        } else {
            worker.close(registry, key);
        }
    }
}

/// Whether a connection has nothing under way. One that looks so is read once more: its bytes may
/// have come while this shard was busy with others.
fn is_quiet(registry: &mut Registry<Worker>, worker: &mut Worker, key: usize) -> bool {
    let seems_quiet = |worker: &mut Worker| {
        let connection = worker.connections.get_mut(key)?;
        Some(!std::mem::take(&mut connection.active_since_tick) && connection.is_drained())
    };
    if seems_quiet(worker) != Some(true) {
        return false;
    }
    worker.read(registry, key);
    seems_quiet(worker) == Some(true)
}

impl Worker {
    fn begin_draining(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        connection.active_since_tick = false;
        if connection.stage == Stage::ProxyHeader {
            return;
        }
        let sends_or_pauses = connection.stage != Stage::Reading;
        let drained = self.call(key, |service, _, out| service.drain(key, out));
        let Some(((), next_step)) = self.or_fail(registry, key, drained) else { return };
        // What it wished for before goes on, unless it wishes for something now.
        if next_step != NextStep::Read || !sends_or_pauses {
            self.apply(registry, key, next_step);
        }
    }
}
