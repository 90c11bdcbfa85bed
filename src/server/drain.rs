//! Draining: how a worker ends without cutting short who is still busy.
//!
//! Connections go on as before. One that sent nothing for a tick, with everything it sent before
//! echoed, is closed; those still busy at the deadline are closed then, by a reset where bytes are
//! owed. The worker ends with the last.

use std::time::Duration;

use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventSpec, Fired};

/// How long a connection must be quiet to be closed: longer than a client on this machine or in
/// this building takes between a reply and its next request.
const QUIET: Duration = Duration::from_millis(50);

/// Begins to drain; the acceptor has handed over its last socket before.
pub(super) fn begin(registry: &mut Registry<Worker>, worker: &mut Worker, timeout: Duration) {
    worker.adopt_waiting(registry, usize::MAX);
    worker.ends_when_empty = true;
    if worker.connections.is_empty() {
        registry.loop_exit();
        return;
    }
    for (_, connection) in &mut worker.connections {
        connection.moved = false;
    }
    let tick = registry.create(EventSpec::timer().persist(), on_tick);
    let deadline = registry.create(EventSpec::timer(), on_deadline);
    for (timer, timeout) in [(tick, QUIET), (deadline, timeout)] {
        registry.add(timer, Some(timeout)).expect("a timer needs nothing of the kernel");
    }
}

fn on_tick(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    for key in worker.connection_keys() {
        if is_quiet(registry, worker, key) {
            worker.close(registry, key);
        }
    }
}

fn on_deadline(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    for key in worker.connection_keys() {
        worker.close(registry, key);
    }
}

/// Whether a connection has nothing under way. One that looks so is read once more: its bytes may
/// have come while this shard was busy with others.
fn is_quiet(registry: &mut Registry<Worker>, worker: &mut Worker, key: usize) -> bool {
    let seems_quiet = |worker: &mut Worker| {
        let connection = worker.connections.get_mut(key)?;
        Some(!std::mem::take(&mut connection.moved) && connection.is_even())
    };
    if seems_quiet(worker) != Some(true) {
        return false;
    }
    worker.serve(registry, key);
    seems_quiet(worker) == Some(true)
}
