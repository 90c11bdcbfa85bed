//! Load: the connections, queue and busy share of each shard. Exact, and visible to all acceptors.
//!
//! A connection counts from the moment an acceptor places it to the moment its worker closes it.
//! Both threads change the count itself; no message is involved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The window of the busy share: long enough to be steady, short enough to show a shard that has
/// just got a hot connection.
pub(in crate::server) const BUSY_WINDOW: Duration = Duration::from_millis(500);

/// One shard's load, on cache lines of its own: two, because they are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(in crate::server) struct ShardLoad {
    connections: AtomicUsize,
    queued: AtomicUsize,
    queued_max: AtomicUsize,
    /// The busy share that the worker last reported, and when: thousandths, and above them
    /// milliseconds since `began`.
    busy: AtomicU64,
    began: Instant,
}

/// Bits of `busy` that hold thousandths.
const PERMILLE_BITS: u32 = 16;

/// The loads of all shards.
pub(in crate::server) type Loads = Arc<[ShardLoad]>;

/// Loads of shards without connections.
pub(in crate::server) fn loads(shards: usize) -> Loads {
    (0..shards).map(|_| ShardLoad::default()).collect()
}

impl ShardLoad {
    /// A connection is about to be queued for the shard. Returns the queue length with it.
    pub(in crate::server) fn placed(&self) -> usize {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.queued.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The push succeeded, at this queue length.
    pub(in crate::server) fn queued_at_most(&self, queued: usize) {
        self.queued_max.fetch_max(queued, Ordering::Relaxed);
    }

    /// The push failed.
    pub(in crate::server) fn not_placed(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The worker took connections out of the queue.
    pub(in crate::server) fn adopted(&self, connections: usize) {
        self.queued.fetch_sub(connections, Ordering::Relaxed);
    }

    /// The worker closed a connection.
    pub(in crate::server) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections that are placed and not closed.
    pub(in crate::server) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that wait to be adopted.
    pub(in crate::server) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// The highest number that ever waited to be adopted.
    pub(in crate::server) fn queued_max(&self) -> usize {
        self.queued_max.load(Ordering::Relaxed)
    }

    /// Busy share of its recent time, in thousandths. A sleeping worker reports nothing, so its
    /// last report fades.
    pub(in crate::server) fn busy_permille(&self) -> u32 {
        let busy = self.busy.load(Ordering::Relaxed);
        let permille = (busy & ((1 << PERMILLE_BITS) - 1)) as u32;
        if permille == 0 {
            return 0;
        }
        let reported_at = Duration::from_millis(busy >> PERMILLE_BITS);
        let idle = self.began.elapsed().saturating_sub(reported_at);
        (f64::from(permille) * faded(idle)) as u32
    }

    /// The worker reports its recent busy share.
    pub(in crate::server) fn set_busy_permille(&self, permille: u32) {
        let reported_at = self.began.elapsed().as_millis() as u64;
        let permille = u64::from(permille.min(1000));
        self.busy.store(reported_at << PERMILLE_BITS | permille, Ordering::Relaxed);
    }
}

impl Default for ShardLoad {
    fn default() -> Self {
        let zero = AtomicUsize::default;
        Self {
            connections: zero(),
            queued: zero(),
            queued_max: zero(),
            busy: AtomicU64::new(0),
            began: Instant::now(),
        }
    }
}

/// The weight of a report after this much idle time.
pub(in crate::server) fn faded(time: Duration) -> f64 {
    (-time.as_secs_f64() / BUSY_WINDOW.as_secs_f64()).exp()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_connections_placed_and_closed_by_several_threads_leave_nothing() {
        const CONNECTIONS: usize = 10_000;
        let loads = loads(3);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let loads = &loads;
                scope.spawn(move || {
                    for number in 0..CONNECTIONS / 4 {
                        let load = &loads[(number + thread) % loads.len()];
                        load.queued_at_most(load.placed());
                        if number % 7 == 0 {
                            load.not_placed(); // the queue was full
                            continue;
                        }
                        load.adopted(1);
                        load.closed();
                    }
                });
            }
        });
        for load in loads.iter() {
            assert_eq!((load.connections(), load.queued()), (0, 0));
            assert!((1..=4).contains(&load.queued_max()));
        }
    }

    #[test]
    fn the_busy_share_of_a_sleeping_worker_fades() {
        let load = ShardLoad::default();
        assert_eq!(load.busy_permille(), 0);
        load.set_busy_permille(5000);
        let reported = load.busy_permille();
        assert!((1..=1000).contains(&reported), "{reported}");
        while load.busy_permille() >= reported {
            std::thread::yield_now();
        }
        assert!((faded(BUSY_WINDOW) - 0.367_879).abs() < 1e-5);
        assert!((faded(Duration::ZERO) - 1.0).abs() < 1e-9);
    }
}
