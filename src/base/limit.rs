//! Dispatch limits: how much of a queue runs before the loop polls for more urgent events again.

use std::time::Duration;

use crate::sys::clock::as_ns;

/// Bounds one pass over the handlers of a priority (libevent:
/// `event_config_set_max_dispatch_interval`).
///
/// Events beyond the limit stay active; the loop polls without waiting and goes on. The limit
/// applies to priorities from `from_priority` on. The default of 1 leaves the most urgent priority
/// unlimited; a base with a single priority needs 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchLimit {
    /// Maximum number of handler calls; `None` is no limit.
    pub calls: Option<u32>,
    /// The pass ends after the handler that exceeds this time; `None` is no limit.
    pub interval: Option<Duration>,
    /// The first priority that is limited.
    pub from_priority: u8,
}

impl Default for DispatchLimit {
    fn default() -> Self {
        Self { calls: None, interval: None, from_priority: 1 }
    }
}

/// The remaining budget of one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    calls_max: u64,
    pub(super) end_ns: Option<u64>,
}

impl DispatchLimit {
    /// The budget of a pass over `priority` that begins at the time `now_ns` returns.
    #[inline]
    pub(super) fn budget(&self, priority: u8, now_ns: impl FnOnce() -> u64) -> Budget {
        if priority < self.from_priority { Budget::UNLIMITED } else { self.limited(now_ns) }
    }

    #[cold]
    fn limited(&self, now_ns: impl FnOnce() -> u64) -> Budget {
        let end_ns = |interval| now_ns().saturating_add(as_ns(interval));
        Budget {
            // At least one call, or the loop would spin.
            calls_max: self.calls.map_or(u64::MAX, |calls| calls.max(1).into()),
            end_ns: self.interval.map(end_ns),
        }
    }
}

impl Budget {
    pub(super) const UNLIMITED: Self = Self { calls_max: u64::MAX, end_ns: None };

    pub(super) fn allows_another(&self, calls: u64) -> bool {
        calls < self.calls_max
    }
}
