//! Time: the cached clock, common timeouts.

use std::ffi::c_int;
use std::ptr;
use std::time::SystemTime;

use libc::timeval;

use super::access::base_ptr::BasePtr;
use crate::time;

#[unsafe(no_mangle)]
extern "C" fn event_base_gettimeofday_cached(base: BasePtr, out: &mut timeval) -> c_int {
    let base = base.or_current();
    *out = match base.is_null() {
        true => time::of_moment(SystemTime::now()),
        false => base.get().time_of_day(),
    };
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_base_update_cache_time(base: BasePtr) -> c_int {
    let base = base.or_current();
    if base.is_null() {
        return -1;
    }
    base.get().update_time();
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_base_init_common_timeout(
    base: BasePtr,
    duration: &timeval,
) -> *const timeval {
    base.get().common_timeout(duration).unwrap_or(ptr::null())
}

/// The monotonic clock.
#[unsafe(no_mangle)]
extern "C" fn event_gettime_monotonic(base: BasePtr, out: Option<&mut timeval>) -> c_int {
    let Some(out) = out.filter(|_| !base.is_null()) else { return -1 };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local variable.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    *out = timeval { tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1000 };
    result
}
