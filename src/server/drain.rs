//! Draining: how a worker ends without cutting anybody short.
//!
//! Connections go on as before. One that stayed quiet for a tick, with everything it sent echoed,
//! is closed; those still busy at the deadline are closed then. The worker ends with the last.

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
    deadline: Instant,
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
    let deadline = registry.now() + timeout;
    worker.drain = Some(Drain { deadline });
    let tick = registry.create(EventSpec::timer().persist(), on_tick);
    let interval = QUIET.min(timeout.max(Duration::from_millis(1)));
    registry.add(tick, Some(interval)).expect("a timer needs nothing of the kernel");
}

fn on_tick(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    let over = worker.drain.is_none_or(|drain| registry.now() >= drain.deadline);
    let mut done = Vec::new();
    for (key, connection) in &mut worker.connections {
        let busy = std::mem::take(&mut connection.moved) || !connection.is_even();
        if over || !busy {
            done.push(key);
        }
    }
    for key in done {
        worker.close(registry, key);
    }
}
