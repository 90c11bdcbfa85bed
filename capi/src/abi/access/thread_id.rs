//! The identity of threads, as the program's function says it (`evthread_set_id_callback`).

use std::ffi::c_ulong;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) type IdFunction = unsafe extern "C" fn() -> c_ulong;

/// The address of an [`IdFunction`], or null.
static ID_FUNCTION: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn set(function: Option<IdFunction>) {
    let address = function.map_or(ptr::null_mut(), |function| function as *mut ());
    ID_FUNCTION.store(address, Ordering::Release);
}

/// The calling thread's identity; `None` while the program has set no function.
#[inline]
pub(crate) fn current() -> Option<c_ulong> {
    let address = ID_FUNCTION.load(Ordering::Acquire);
    if address.is_null() {
        return None;
    }
    // SAFETY: the address is of a function of this type.
    let function = unsafe { std::mem::transmute::<*mut (), IdFunction>(address) };
    // SAFETY: the program passed a function that any thread may call.
    Some(unsafe { function() })
}
