//! Deferred callbacks. libevent's upper layers use them; no header for programs has them.

use std::ffi::{c_int, c_uint, c_void};

use super::access::base_ptr::BasePtr;
use super::access::event_ptr::CallbackPtr;
use super::access::layout::{CallbackFunction, Closure, Function};

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_deferred_cb_init_(
    callback: CallbackPtr,
    priority: u8,
    function: Option<CallbackFunction>,
    argument: *mut c_void,
) {
    callback.init(Closure::Deferred, Function::of_callback(function), argument);
    callback.set_priority(priority);
}

#[unsafe(no_mangle)]
extern "C" fn event_deferred_cb_set_priority_(callback: CallbackPtr, priority: u8) {
    callback.set_priority(priority);
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_deferred_cb_cancel_(base: BasePtr, callback: CallbackPtr) {
    event_callback_cancel_(base.or_current(), callback);
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn event_deferred_cb_schedule_(
    base: BasePtr,
    callback: CallbackPtr,
) -> c_int {
    base.or_current().get().schedule(callback).into()
}

#[unsafe(no_mangle)]
extern "C" fn event_callback_init_(base: BasePtr, callback: CallbackPtr) {
    callback.init(Closure::Event, Function::of_callback(None), std::ptr::null_mut());
    callback.set_priority(base.get().last_priority());
}

#[unsafe(no_mangle)]
extern "C" fn event_callback_activate_(base: BasePtr, callback: CallbackPtr) -> c_int {
    base.get().activate_callback(callback).into()
}

#[unsafe(no_mangle)]
extern "C" fn event_callback_cancel_(base: BasePtr, callback: CallbackPtr) -> c_int {
    base.get().cancel_deferred(callback)
}

#[unsafe(no_mangle)]
extern "C" fn event_callback_finalize_(
    base: BasePtr,
    _: c_uint,
    callback: CallbackPtr,
    function: Option<CallbackFunction>,
) {
    let function = Function::of_callback(function);
    base.or_current().get().finalize(callback, Closure::FinalizeCallback, function);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn event_callback_finalize_many_(
    base: BasePtr,
    count: c_int,
    callbacks: *const CallbackPtr,
    function: Option<CallbackFunction>,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller passes an array of so many pointers.
    let callbacks = unsafe { std::slice::from_raw_parts(callbacks, count) };
    base.or_current().get().finalize_many(callbacks, Function::of_callback(function));
    0
}
