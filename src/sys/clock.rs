//! The monotonic clocks (`clock_gettime(2)`) and durations, in nanoseconds.

use std::time::Duration;

use super::check;

/// `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_MONOTONIC_COARSE`: the same clock as of the last tick.
pub(crate) fn monotonic_coarse_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC_COARSE)
}

/// The length of a tick of the coarse clock.
pub(crate) fn coarse_tick_ns() -> u64 {
    // Miri does not have this function.
    if cfg!(miri) {
        return 4_000_000;
    }
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the timespec lives across the call, which fills it.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
    check(result).expect("Linux has had the coarse clock since 2.6.32");
    timespec_ns(tick)
}

/// Nanoseconds of a duration, saturated at `u64::MAX` (five centuries).
#[inline]
pub(crate) fn as_ns(duration: Duration) -> u64 {
    let whole_ns = duration.as_secs().saturating_mul(1_000_000_000);
    whole_ns.saturating_add(duration.subsec_nanos().into())
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the timespec lives across the call, which fills it.
    check(unsafe { libc::clock_gettime(clock, &raw mut now) }).expect("a monotonic clock exists");
    timespec_ns(now)
}

fn timespec_ns(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_lags_behind_the_precise_one_by_no_more_than_ticks() {
        let coarse = monotonic_coarse_ns();
        assert!(coarse <= monotonic_ns());
        let tick = coarse_tick_ns();
        // A virtual machine may lose its processor for many ticks; the clock still moves on.
        while monotonic_coarse_ns() == coarse {}
        assert!(monotonic_coarse_ns() - coarse >= tick / 2);
    }
}
