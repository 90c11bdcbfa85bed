//! The handoff: a bounded lock-free queue of accepted sockets from the acceptor to one worker.
//!
//! The queue is crossbeam's, a ring of stamped slots. Honestly put: a push never waits, but a pop
//! can wait for a push that was preempted halfway. Items own their descriptor, so that a socket
//! left behind on any path is closed.

use std::os::fd::OwnedFd;

use crossbeam_queue::ArrayQueue;

use super::backpressure::Backpressure;
use crate::base::{Notifier, Wake};

/// Sockets a worker may be behind. With 64 adopted a turn it is sixteen turns; what does not fit
/// waits in the kernel's backlog, where it costs nothing.
const CAPACITY: usize = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Handoff {
    queue: ArrayQueue<OwnedFd>,
    backpressure: Backpressure,
    worker: Notifier,
    acceptor: Notifier,
}

impl Handoff {
    pub(super) fn new(worker: Notifier, acceptor: Notifier) -> Self {
        Self::with_capacity(CAPACITY, worker, acceptor)
    }

    fn with_capacity(capacity: usize, worker: Notifier, acceptor: Notifier) -> Self {
        let queue = ArrayQueue::new(capacity);
        Self { queue, backpressure: Backpressure::new(), worker, acceptor }
    }

    /// Acceptor: queues a socket, or gives it back if there is no room; then the acceptor's base
    /// is notified as soon as there is.
    pub(super) fn offer(&self, socket: OwnedFd) -> Result<(), OwnedFd> {
        self.queue.push(socket).or_else(|socket| {
            self.backpressure.raise();
            self.queue.push(socket)
        })
    }

    /// Acceptor, after a batch of offers: makes the worker look.
    pub(super) fn wake_worker(&self) -> Wake {
        self.worker.notify()
    }

    /// Worker: takes at most `limit` sockets, then tells an acceptor that waits for room. What is
    /// left is looked at in the worker's next turn.
    pub(super) fn take(&self, limit: usize, mut adopt: impl FnMut(OwnedFd)) {
        let mut taken = 0;
        while taken < limit
            && let Some(socket) = self.queue.pop()
        {
            taken += 1;
            adopt(socket);
        }
        if taken > 0 && self.backpressure.relieve() {
            self.acceptor.notify();
        }
        if taken == limit {
            self.worker.notify();
        }
    }
}
