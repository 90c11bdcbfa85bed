//! The handoff: a bounded lock-free queue of accepted sockets from the acceptor to one worker.
//!
//! The queue is crossbeam's, a ring of stamped slots. Honestly put: without a lock, but a pop can
//! wait for a push that was preempted halfway, and a push for a pop. Items own their descriptor,
//! so that a socket left behind on any path is closed.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use super::backpressure::Backpressure;
use crate::base::{Notifier, Wake};
use crate::sync::{AtomicBool, Ordering};

/// Sockets a worker may be behind. With 64 adopted a turn it is sixteen turns; what does not fit
/// waits in the kernel's backlog, where it costs nothing.
const CAPACITY: usize = 1024;

/// An accepted socket on its way to a worker.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: OwnedFd,
    pub(super) accepted_at: Option<Instant>,
    pub(super) listener: u16,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Handoff {
    queue: ArrayQueue<Arrival>,
    backpressure: Backpressure,
    worker: Notifier,
    acceptor: Notifier,
    /// The worker adopts no more.
    closed: AtomicBool,
}

/// Held by a worker while it adopts; dropped however its thread ends, it closes the handoff.
#[derive(Debug)]
pub(super) struct Adopting(Arc<Handoff>);

impl Drop for Adopting {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        while self.0.queue.pop().is_some() {}
        self.0.acceptor.notify();
    }
}

impl Handoff {
    pub(super) fn new(worker: Notifier, acceptor: Notifier) -> Self {
        Self::with_capacity(CAPACITY, worker, acceptor)
    }

    pub(super) fn with_capacity(capacity: usize, worker: Notifier, acceptor: Notifier) -> Self {
        let queue = ArrayQueue::new(capacity);
        let (backpressure, closed) = (Backpressure::new(), AtomicBool::new(false));
        Self { queue, backpressure, worker, acceptor, closed }
    }

    /// Worker, when its thread begins.
    pub(super) fn adopting(self: Arc<Self>) -> Adopting {
        Adopting(self)
    }

    /// Acceptor: whether nobody will ever take what is offered.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Acceptor: queues a socket, or gives it back if there is no room; then the acceptor's base
    /// is notified as soon as there is, or as there will never be.
    pub(super) fn offer(&self, socket: OwnedFd) -> Result<(), OwnedFd> {
        if self.is_closed() {
            return Err(socket);
        }
        let a = Arrival { socket, accepted_at: Some(Instant::now()), listener: 0 };
        self.queue
            .push(a)
            .or_else(|socket| {
                self.backpressure.raise();
                self.queue.push(socket)
            })
            .map_err(|a| a.socket)
    }

    /// Whether nothing waits to be adopted.
    #[cfg(all(test, not(loom)))]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Acceptor, after a batch of offers: makes the worker look.
    pub(super) fn wake_worker(&self) -> Wake {
        self.worker.notify()
    }

    /// Worker: takes at most `limit` sockets, then tells an acceptor that waits for room. What is
    /// left is looked at in the worker's next turn.
    pub(super) fn take(&self, limit: usize, mut adopt: impl FnMut(Arrival)) {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::base::{Config, EventBase, LoopFlags, Registry};
    use crate::event::{EventSpec, Fired};
    use crate::sys::fd::is_open;

    /// How long a million handoffs may make no progress, on however loaded a machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn socket() -> OwnedFd {
        std::os::unix::net::UnixStream::pair().unwrap().0.into()
    }

    fn notifiers() -> (EventBase<u64>, EventBase<u64>) {
        let base = || EventBase::new(Config::default()).unwrap();
        (base(), base())
    }

    #[test]
    fn a_full_queue_gives_the_socket_back_and_tells_when_there_is_room() {
        fn told(registry: &mut Registry<u64>, calls: &mut u64, _: Fired) {
            *calls += 1;
            registry.loop_exit();
        }
        let (mut worker, mut acceptor) = notifiers();
        let (to_worker, to_acceptor) =
            (worker.registry().notifier(), acceptor.registry().notifier());
        let handoff = Handoff::with_capacity(2, to_worker, to_acceptor);
        for _ in 0..2 {
            handoff.offer(socket()).unwrap();
        }
        let room = acceptor.registry().create(EventSpec::notify(), told);
        acceptor.registry().add(room, None).unwrap();
        let refused = handoff.offer(socket()).unwrap_err();
        assert!(is_open(refused.as_raw_fd()), "it is still ours");
        handoff.take(1, drop);
        let mut calls = 0;
        acceptor.run_until_exit(&mut calls).unwrap();
        assert_eq!(calls, 1);
        handoff.offer(refused).unwrap();
    }

    /// The context of a worker that only counts what it is handed.
    struct Counting {
        handoff: Arc<Handoff>,
        taken: Arc<AtomicU64>,
        expected: u64,
    }

    fn on_handoff(registry: &mut Registry<Counting>, counting: &mut Counting, _: Fired) {
        let mut taken = 0;
        counting.handoff.take(16, |_socket| taken += 1);
        let before = counting.taken.fetch_add(taken, Ordering::Release);
        if before + taken == counting.expected {
            registry.loop_exit();
        }
    }

    #[test]
    fn one_wake_is_enough_for_more_than_a_turn_adopts() {
        let mut acceptor = EventBase::<u64>::new(Config::default()).unwrap();
        let mut base = EventBase::<Counting>::new(Config::default()).unwrap();
        let (to_worker, room) = (base.registry().notifier(), acceptor.registry().notifier());
        let handoff = Arc::new(Handoff::new(to_worker, room));
        let taken = Arc::new(AtomicU64::new(0));
        let mut counting =
            Counting { handoff: handoff.clone(), taken: taken.clone(), expected: 40 };
        let event = base.registry().create(EventSpec::notify(), on_handoff);
        base.registry().add(event, None).unwrap();
        for _ in 0..40 {
            handoff.offer(socket()).unwrap();
        }
        let _ = handoff.wake_worker();
        base.run_with(&mut counting, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(taken.load(Ordering::Acquire), 40);
    }

    /// Most rounds the worker has just fallen asleep or is about to, and its wait has no timeout:
    /// one lost wake and nothing ever happens again.
    #[test]
    fn a_million_handoffs_lose_no_wake() {
        const HANDOFFS: u64 = 1_000_000;
        let mut base = EventBase::<Counting>::new(Config::default()).unwrap();
        let mut acceptor = EventBase::<u64>::new(Config::default()).unwrap();
        let handoff = Handoff::new(base.registry().notifier(), acceptor.registry().notifier());
        let handoff = Arc::new(handoff);
        let taken = Arc::new(AtomicU64::new(0));
        let mut counting =
            Counting { handoff: handoff.clone(), taken: taken.clone(), expected: HANDOFFS };
        let event = base.registry().create(EventSpec::notify(), on_handoff);
        base.registry().add(event, None).unwrap();
        let (done, ended) = mpsc::channel();
        let progress = taken.clone();
        let worker = thread::spawn(move || {
            base.run_until_exit(&mut counting).unwrap();
            done.send(()).unwrap();
        });
        let producer = thread::spawn(move || {
            let original = socket();
            for sent in 1..=HANDOFFS {
                let socket = original.try_clone().unwrap();
                handoff.offer(socket).expect("fewer in flight than places");
                let _ = handoff.wake_worker();
                // A window of one to three: the worker runs dry again and again.
                while sent - taken.load(Ordering::Acquire) > sent % 3 {
                    thread::yield_now();
                }
            }
        });
        let mut seen = 0;
        while ended.recv_timeout(PATIENCE).is_err() {
            let now = progress.load(Ordering::Acquire);
            assert!(now > seen, "a wake was lost: the worker sleeps for ever after {now}");
            seen = now;
        }
        worker.join().unwrap();
        producer.join().unwrap();
    }
}
