//! The program's functions for messages and fatal errors.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) type LogFunction = unsafe extern "C" fn(c_int, *const c_char);
pub(crate) type FatalFunction = unsafe extern "C" fn(c_int);

/// The addresses of a [`LogFunction`] and a [`FatalFunction`], or null.
static LOG: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static FATAL: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn set_log(function: Option<LogFunction>) {
    LOG.store(function.map_or(ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
}

pub(crate) fn set_fatal(function: Option<FatalFunction>) {
    FATAL.store(function.map_or(ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
}

/// Calls the program's function for messages; whether it has set one.
pub(crate) fn log(severity: c_int, message: &CStr) -> bool {
    let address = LOG.load(Ordering::Acquire);
    if address.is_null() {
        return false;
    }
    // SAFETY: the address is of a function of this type.
    let function = unsafe { std::mem::transmute::<*mut (), LogFunction>(address) };
    // SAFETY: the program passed a function that any thread may call with a C string.
    unsafe { function(severity, message.as_ptr()) };
    true
}

/// Calls the program's function for fatal errors, if it has set one.
pub(crate) fn fatal(code: c_int) {
    let address = FATAL.load(Ordering::Acquire);
    if !address.is_null() {
        // SAFETY: the address is of a function of this type.
        let function = unsafe { std::mem::transmute::<*mut (), FatalFunction>(address) };
        // SAFETY: the program passed a function that any thread may call.
        unsafe { function(code) }
    }
}
