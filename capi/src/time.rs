//! `struct timeval`, as the program passes it: durations, common timeouts, moments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libc::timeval;

/// A common timeout is a `timeval` whose microseconds carry this, and its number above 20 bits.
const MAGIC: i64 = 0x5000_0000;
const MAGIC_MASK: i64 = 0xf000_0000;
const NUMBER_MASK: i64 = 0x0ff0_0000;
const NUMBER_SHIFT: u32 = 20;
/// A second.
const MICROSECONDS: u32 = 1_000_000;
const MICROSECONDS_MASK: i64 = 0x000f_ffff;

/// The duration; a negative one counts as zero.
#[inline]
pub(crate) fn duration(time: &timeval) -> Duration {
    let (s, us) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_usec));
    match (s, us) {
        (Ok(s), Ok(us)) if us < MICROSECONDS => Duration::new(s, us * 1000),
        _ => unusual_duration(time),
    }
}

/// The duration of a value with a negative part or more than a second of microseconds.
#[cold]
fn unusual_duration(time: &timeval) -> Duration {
    let us = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec);
    Duration::from_micros(us.max(0).cast_unsigned())
}

pub(crate) fn is_zero(time: &timeval) -> bool {
    time.tv_sec == 0 && time.tv_usec == 0
}

/// The number of a common timeout, if the value is one.
pub(crate) fn common_number(time: &timeval) -> Option<usize> {
    let is_common = time.tv_usec & MAGIC_MASK == MAGIC;
    is_common.then_some(((time.tv_usec & NUMBER_MASK) >> NUMBER_SHIFT) as usize)
}

/// The value of a common timeout; without a number of its own if it is one already.
pub(crate) fn common(duration: Duration, number: usize) -> timeval {
    let time = of_duration(duration);
    timeval { tv_usec: time.tv_usec | MAGIC | (number as i64) << NUMBER_SHIFT, ..time }
}

/// The duration that a common timeout stands for.
pub(crate) fn without_number(time: &timeval) -> timeval {
    timeval { tv_sec: time.tv_sec, tv_usec: time.tv_usec & MICROSECONDS_MASK }
}

pub(crate) fn of_duration(duration: Duration) -> timeval {
    timeval {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_usec: duration.subsec_micros().into(),
    }
}

/// A moment on the wall clock; one before 1970 counts as 1970.
pub(crate) fn of_moment(moment: SystemTime) -> timeval {
    of_duration(moment.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_timeout_has_its_number_and_its_duration() {
        for number in [0, 1, 255] {
            let value = common(Duration::new(3, 999_999_000), number);
            assert_eq!(common_number(&value), Some(number));
            assert_eq!(duration(&without_number(&value)), Duration::new(3, 999_999_000));
        }
        assert_eq!(common_number(&timeval { tv_sec: 1, tv_usec: 999_999 }), None);
    }

    #[test]
    fn any_timeval_is_a_duration() {
        let of = |tv_sec, tv_usec| duration(&timeval { tv_sec, tv_usec });
        assert_eq!(of(1, 2_500_000), Duration::from_millis(3500));
        assert_eq!(of(-1, 0), Duration::ZERO);
        assert_eq!(of(1, -500_000), Duration::from_millis(500));
        assert!(of(i64::MAX, i64::MAX) > Duration::from_secs(1 << 40));
    }
}
