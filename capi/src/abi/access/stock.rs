//! A stock library behind ours.
//!
//! A program that uses buffers, HTTP or DNS needs libevent's upper layers. They are in the
//! distribution's library, whose event core ours replaces in front of it (`LD_PRELOAD`). What the
//! program sets for the core, the upper layers must get, too.

use std::ffi::{CStr, c_void};

/// The next function of this name, in a library that was loaded after ours; null if there is none.
fn next(name: &CStr) -> *mut c_void {
    // Miri loads no libraries.
    if cfg!(miri) {
        return std::ptr::null_mut();
    }
    // SAFETY: the name is a C string, and RTLD_NEXT needs no handle.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

/// Calls a function of the stock library that takes no argument, if there is one.
pub(crate) fn call_next<R>(name: &CStr) -> Option<R> {
    let address = next(name);
    if address.is_null() {
        return None;
    }
    // SAFETY: libevent's function of this name takes no argument and returns this type.
    let function =
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> R>(address) };
    // SAFETY: the program may call it at any time.
    Some(unsafe { function() })
}

/// Calls a setter of the stock library with the same value, if there is a stock library.
pub(crate) fn forward<T>(name: &CStr, value: T) {
    let address = next(name);
    if !address.is_null() {
        // SAFETY: libevent's setter of this name takes one argument of this type.
        let setter =
            unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(T)>(address) };
        // SAFETY: the program may call it with this value at any time.
        unsafe { setter(value) }
    }
}
