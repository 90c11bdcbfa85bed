//! Which cores there are for workers, and who gets which.

use std::num::NonZeroUsize;

use core_affinity::CoreId;

use super::{AcceptMode, ServerConfig};

/// How many cores this process may use: its affinity mask, capped by its cgroup's CPU quota,
/// a share of a core counting as one.
pub(super) fn usable() -> NonZeroUsize {
    NonZeroUsize::new(num_cpus::get()).unwrap_or(NonZeroUsize::MIN)
}

/// How many workers suit the machine: one a usable core, less one for an acceptor of its own.
pub(super) fn workers_for(accept: AcceptMode) -> NonZeroUsize {
    let cores = usable().get();
    let workers = if accept == AcceptMode::Acceptor { cores - 1 } else { cores };
    NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN)
}

/// Whether workers are better pinned: not where a CPU quota gives the process less than the cores
/// in its affinity mask. The kernel then decides better than a fixed plan which of them are free.
pub(super) fn suit_pinning() -> bool {
    let allowed = core_affinity::get_core_ids().map_or(0, |cores| cores.len());
    is_unlimited(usable().get(), allowed)
}

fn is_unlimited(usable: usize, allowed: usize) -> bool {
    allowed > 0 && usable >= allowed
}

/// The core of each worker, `None` for "wherever the kernel likes".
///
/// Cores come from the calling thread's affinity mask, so that a server started under `taskset`
/// or in a cpuset never leaves it. With more workers than cores they share.
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
    fn without_allowed_cores_nobody_is_pinned() {
        assert_eq!(ids(assign(2, &[])), [None, None]);
    }

    #[test]
    fn nobody_is_pinned_by_default_under_a_quota_or_where_the_mask_is_not_known() {
        assert!(is_unlimited(4, 4));
        assert!(!is_unlimited(2, 4));
        assert!(!is_unlimited(2, 0));
    }
}
