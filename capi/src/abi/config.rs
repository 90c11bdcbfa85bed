//! The configuration of a base: `event_config_*`, and the methods that a base can use.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use libc::timeval;

use crate::base::config::{BaseFlags, EventConfig};
use crate::time;

#[unsafe(no_mangle)]
extern "C" fn event_config_new() -> Box<EventConfig> {
    Box::default()
}

#[unsafe(no_mangle)]
extern "C" fn event_config_free(config: Option<Box<EventConfig>>) {
    drop(config);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn event_config_avoid_method(
    config: Option<&mut EventConfig>,
    method: *const c_char,
) -> c_int {
    let Some(config) = config.filter(|_| !method.is_null()) else { return -1 };
    // SAFETY: the program passes a C string.
    let method = unsafe { CStr::from_ptr(method) };
    config.avoided.push(method.to_bytes().to_vec());
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_config_require_features(
    config: Option<&mut EventConfig>,
    features: c_int,
) -> c_int {
    let Some(config) = config else { return -1 };
    config.required = features;
    0
}

#[unsafe(no_mangle)]
extern "C" fn event_config_set_flag(config: Option<&mut EventConfig>, flag: c_int) -> c_int {
    let Some(config) = config else { return -1 };
    config.flags |= BaseFlags::from_bits_retain(flag);
    0
}

/// The hint is for Windows.
#[unsafe(no_mangle)]
extern "C" fn event_config_set_num_cpus_hint(config: Option<&EventConfig>, _: c_int) -> c_int {
    if config.is_some() { 0 } else { -1 }
}

#[unsafe(no_mangle)]
extern "C" fn event_config_set_max_dispatch_interval(
    config: Option<&mut EventConfig>,
    interval: Option<&timeval>,
    calls: c_int,
    from_priority: c_int,
) -> c_int {
    let Some(config) = config else { return -1 };
    config.set_limit(interval.map(time::duration), calls, from_priority);
    0
}

/// A list of C strings that ends with null.
struct Methods([*const c_char; 4]);

// SAFETY: the strings are constants.
unsafe impl Sync for Methods {}

static METHODS: Methods =
    Methods([c"epoll".as_ptr(), c"poll".as_ptr(), c"select".as_ptr(), ptr::null()]);

#[unsafe(no_mangle)]
extern "C" fn event_get_supported_methods() -> *const *const c_char {
    METHODS.0.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn event_get_version() -> *const c_char {
    c"2.1.12-stable".as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn event_get_version_number() -> u32 {
    0x0201_0c00
}
