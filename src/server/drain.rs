//! Draining: how a worker ends without cutting short who is still busy.
//!
//! Connections go on as before. One that sent nothing for a tick, with everything it sent before
//! echoed, is closed; those still busy at the deadline are closed then, by a reset where bytes are
//! owed. The worker ends with the last.

use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventSpec, Fired};

/// How long a connection must be quiet to be closed: longer than a client on this machine or in
/// this building takes between a reply and its next request.
const QUIET: Duration = Duration::from_millis(50);

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// `None` is never: the timeout is longer than clocks go.
    deadline: Option<Instant>,
}

/// Begins to drain; the acceptor has handed over its last socket before.
pub(super) fn begin(registry: &mut Registry<Worker>, worker: &mut Worker, timeout: Duration) {
    worker.adopt_waiting(registry, usize::MAX);
    if worker.connections.is_empty() {
        registry.loop_exit();
        return;
    }
    for (_, connection) in &mut worker.connections {
        connection.moved = false;
    }
    let deadline = registry.now().checked_add(timeout);
    worker.drain = Some(Drain { deadline });
    let tick = registry.create(EventSpec::timer().persist(), on_tick);
    let interval = QUIET.min(timeout.max(Duration::from_millis(1)));
    registry.add(tick, Some(interval)).expect("a timer needs nothing of the kernel");
}

fn on_tick(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    let deadline = worker.drain.and_then(|drain| drain.deadline);
    let over = deadline.is_some_and(|deadline| registry.now() >= deadline);
    let keys: Vec<usize> = worker.connections.iter().map(|(key, _)| key).collect();
    for key in keys {
        if over || is_quiet(registry, worker, key) {
            worker.close(registry, key);
        }
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
