//! Which cores the workers may use, and which worker runs on which core.

use std::num::NonZeroUsize;

use core_affinity::CoreId;

use super::ranges::WORKERS;
use super::{AcceptMode, ServerConfig};

/// How many cores this process may use: its affinity mask, capped by its cgroup's CPU quota,
/// a share of a core counting as one.
pub(super) fn usable() -> NonZeroUsize {
    NonZeroUsize::new(num_cpus::get()).unwrap_or(NonZeroUsize::MIN)
}

/// The default number of workers: one per usable core, less one for an acceptor thread, within
/// their range.
pub(super) fn workers_for(accept: AcceptMode) -> NonZeroUsize {
    let cores = usable().get();
    let workers = if accept == AcceptMode::Acceptor { cores - 1 } else { cores };
    NonZeroUsize::new(workers.min(*WORKERS.end())).unwrap_or(NonZeroUsize::MIN)
}

/// Whether pinning is the default. It is not if a CPU quota allows less than the cores in the
/// affinity mask. The kernel then knows better which of them are free.
pub(super) fn suit_pinning() -> bool {
    let allowed = core_affinity::get_core_ids().map_or(0, |cores| cores.len());
    is_unlimited(usable().get(), allowed)
}

fn is_unlimited(usable: usize, allowed: usize) -> bool {
    allowed > 0 && usable >= allowed
}

/// The core of each worker; `None` leaves the choice to the kernel.
///
/// Cores come from the calling thread's affinity mask, so that a server started under `taskset` or
/// in a cpuset never leaves it. If there are more workers than cores, they share cores.
pub(in crate::server) fn plan(config: &ServerConfig) -> Vec<Option<CoreId>> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    assign(config.workers.get(), if config.pin { &allowed } else { &[] })
}

fn assign(workers: usize, allowed: &[CoreId]) -> Vec<Option<CoreId>> {
    (0..workers).map(|worker| allowed.get(worker % allowed.len().max(1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(assigned: Vec<Option<CoreId>>) -> Vec<Option<usize>> {
        assigned.into_iter().map(|core| core.map(|core| core.id)).collect()
    }

    #[test]
    fn workers_take_the_allowed_cores_in_turn() {
        let allowed = [3, 7].map(|id| CoreId { id });
        assert_eq!(ids(assign(3, &allowed)), [Some(3), Some(7), Some(3)]);
        assert_eq!(ids(assign(1, &allowed)), [Some(3)]);
    }

    #[test]
    fn without_allowed_cores_no_worker_is_pinned() {
        assert_eq!(ids(assign(2, &[])), [None, None]);
    }

    #[test]
    fn no_worker_is_pinned_by_default_under_a_quota_or_without_a_known_mask() {
        assert!(is_unlimited(4, 4));
        assert!(!is_unlimited(2, 4));
        assert!(!is_unlimited(2, 0));
    }
}
