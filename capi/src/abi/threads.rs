//! Threads: `evthread_use_pthreads`, `evthread_set_lock_callbacks` and their relatives.
//!
//! A base takes a lock only if the program had enabled threads when it made the base. That lock is
//! the library's own, whatever functions the program set: the library's memory is not to depend on
//! them. Nothing waits with that lock held, and no function of the program is called with it. The
//! program's functions go to the stock library behind this one, whose upper layers lock with them.

use std::ffi::{c_int, c_ulong};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::access::base_ptr::BasePtr;
use super::access::layout::{ConditionCallbacks, LockCallbacks};
use super::access::stock;
use super::access::thread_id::{self, IdFunction};
use crate::abi::access::log;
use crate::debug;

/// What identifies a set of functions: their addresses, with the version.
type Identity = [usize; 6];

impl LockCallbacks {
    /// `None` unless all functions are there.
    fn identity(&self) -> Option<Identity> {
        let addresses =
            [self.alloc? as usize, self.free? as usize, self.lock? as usize, self.unlock? as usize];
        let [a, b, c, d] = addresses;
        Some([self.version as usize, self.types as usize, a, b, c, d])
    }
}

impl ConditionCallbacks {
    /// `None` unless all functions are there.
    fn identity(&self) -> Option<Identity> {
        let addresses =
            [self.alloc? as usize, self.free? as usize, self.signal? as usize, self.wait? as usize];
        let [a, b, c, d] = addresses;
        Some([self.version as usize, 0, a, b, c, d])
    }
}

/// The functions that the program set.
struct Functions {
    kind: &'static str,
    set: Mutex<Option<Identity>>,
}

static LOCK_FUNCTIONS: Functions = Functions { kind: "lock", set: Mutex::new(None) };
static CONDITION_FUNCTIONS: Functions = Functions { kind: "condition", set: Mutex::new(None) };

/// Whether bases are made for several threads.
static ARE_ENABLED: AtomicBool = AtomicBool::new(false);

pub(super) fn are_enabled() -> bool {
    ARE_ENABLED.load(Ordering::Acquire)
}

impl Functions {
    /// Sets the functions once; 0 if they are set now. Without functions it unsets them.
    fn replace(&self, functions: Option<Option<Identity>>) -> c_int {
        if debug::MODE.is_on() && debug::MODE.was_used() {
            log::fatal(1, "evthread initialization must be called BEFORE anything else!");
        }
        let mut set = self.set.lock();
        match (functions, *set) {
            (None, was_set) => {
                *set = None;
                if was_set.is_some() {
                    log::warn(&format!(
                        "Trying to disable {} functions after they have been set up will probaby \
                         not work.",
                        self.kind
                    ));
                }
                0
            }
            (Some(None), _) => -1,
            (Some(new), None) => {
                *set = new;
                0
            }
            (Some(new), was_set) if new == was_set => 0,
            _ => {
                log::warn(&format!(
                    "Can't change {} callbacks once they have been initialized.",
                    self.kind
                ));
                -1
            }
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn evthread_set_lock_callbacks(callbacks: Option<&LockCallbacks>) -> c_int {
    let result = LOCK_FUNCTIONS.replace(callbacks.map(LockCallbacks::identity));
    if result == 0 {
        ARE_ENABLED.store(callbacks.is_some(), Ordering::Release);
        stock::forward(c"evthread_set_lock_callbacks", callbacks);
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn evthread_set_condition_callbacks(callbacks: Option<&ConditionCallbacks>) -> c_int {
    let result = CONDITION_FUNCTIONS.replace(callbacks.map(ConditionCallbacks::identity));
    if result == 0 {
        stock::forward(c"evthread_set_condition_callbacks", callbacks);
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn evthread_set_id_callback(function: Option<IdFunction>) {
    thread_id::set(function);
    stock::forward(c"evthread_set_id_callback", function);
}

/// Enables threads. A stock `libevent_pthreads` behind this library has the locks that libevent's
/// upper layers need; this library needs none of them.
#[unsafe(no_mangle)]
pub(super) extern "C" fn evthread_use_pthreads() -> c_int {
    if let Some(result) = stock::call_next(c"evthread_use_pthreads") {
        return result;
    }
    ARE_ENABLED.store(true, Ordering::Release);
    evthread_set_id_callback(Some(pthread_id));
    0
}

extern "C" fn pthread_id() -> c_ulong {
    // SAFETY: it takes no pointer and cannot fail.
    unsafe { libc::pthread_self() }
}

/// Makes the upper layers check their locks. A base checks its own by its types.
#[unsafe(no_mangle)]
extern "C" fn evthread_enable_lock_debugging() {
    stock::call_next::<()>(c"evthread_enable_lock_debugging");
}

/// The name that libevent 2.0 had.
#[unsafe(no_mangle)]
extern "C" fn evthread_enable_lock_debuging() {
    evthread_enable_lock_debugging();
}

/// A base always has what wakes it.
#[unsafe(no_mangle)]
extern "C" fn evthread_make_base_notifiable(base: BasePtr) -> c_int {
    if base.is_null() { -1 } else { 0 }
}
