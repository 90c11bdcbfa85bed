//! What `libevshard_check.so` (`preload/check.c`) calls in the checked mode.

use std::ffi::c_void;

use crate::check;

/// The program frees memory.
#[unsafe(no_mangle)]
extern "C" fn evshard_check_free_(memory: *const c_void, size: usize) {
    check::on_free(memory.addr(), size);
}
