//! How a thread waits until the next request is due.

use std::io;
use std::num::NonZeroU64;

use rustix::thread::{self, CpuSet};

use super::poller::Poller;
use crate::clock::Clock;
use crate::environment::{Environment, Sharing};
use crate::options::{Options, Pacing};

/// A hybrid wait sleeps until this long before the time, and then spins. The time has to cover a
/// wake-up on a machine whose processors go idle.
const GUARD_NS: u64 = 80_000;

/// Waits with the pacing of the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pacer {
    /// How long before the time it spins instead of sleeping.
    spin_from_ns: u64,
}

impl Pacer {
    /// A pacer for this thread, with the smallest timer slack that the kernel allows.
    ///
    /// By default a thread is woken up to 50 µs late, so that the kernel can wake several at once.
    pub(crate) fn new(pacing: Pacing) -> Self {
        // If the kernel refuses, timers are less precise. `limits::provide` reports that before
        // the run.
        let _ = set_timer_slack();
        Self {
            spin_from_ns: match pacing {
                Pacing::Spin => u64::MAX,
                Pacing::Hybrid => GUARD_NS,
                Pacing::Sleep | Pacing::Auto => 0,
            },
        }
    }

    /// Waits until something is ready or one of the times has come; returns how many are ready. It
    /// spins only before `until_ns`.
    pub(crate) fn wait(
        &self,
        poller: &mut Poller,
        clock: &Clock,
        until_ns: u64,
        heartbeat_ns: u64,
    ) -> io::Result<usize> {
        loop {
            let now_ns = clock.now_ns();
            // Shortly before the time the timeout is 0: the wait only polls, and the loop spins.
            let sleep_ns = until_ns.saturating_sub(now_ns).saturating_sub(self.spin_from_ns);
            let ready = poller.wait(sleep_ns.min(heartbeat_ns.saturating_sub(now_ns)))?;
            let over = clock.now_ns() >= until_ns.min(heartbeat_ns);
            if ready > 0 || over || self.spin_from_ns == 0 {
                return Ok(ready);
            }
        }
    }
}

/// Makes timers of this thread, and of threads that it starts, expire on time instead of together
/// with others (`PR_SET_TIMERSLACK`).
pub(crate) fn set_timer_slack() -> io::Result<()> {
    Ok(thread::set_current_timer_slack(NonZeroU64::new(1))?)
}

/// What [`Pacing::Auto`] means here. Threads with processors of their own may spin a little;
/// threads that share them would take them from the server. If sharing is possible, it is assumed.
pub(crate) fn choose(options: &Options, env: &Environment) -> Pacing {
    let shared = env.sharing.is_none_or(Sharing::is_co_located);
    match options.pacing {
        Pacing::Auto if shared => Pacing::Sleep,
        Pacing::Auto => Pacing::Hybrid,
        chosen => chosen,
    }
}

/// Binds this thread to one processor.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(thread::sched_setaffinity(None, &cpus)?)
}
