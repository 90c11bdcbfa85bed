//! Handles of bases: what is behind a program's `struct event_base *`.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::access::base_ptr::BasePtr;
use super::access::log::{self, ABORT};
use super::access::memory;
use crate::base::Base;
use crate::check;

/// What the pointer points to. Programs have no access to its fields.
#[repr(C)]
struct Handle {
    magic: u64,
    base: Base,
}

/// The first word of a handle. libevent's own has a pointer here, which never has this value.
const MAGIC: u64 = 0xe5e4_7ba5_eafe_0021;

/// The base of `event_init`, which functions of libevent 1.x use (`event_global_current_base_`).
/// libevent's upper layers read it by this name.
#[unsafe(export_name = "event_global_current_base_")]
static CURRENT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl BasePtr {
    /// A handle, in memory of the program's function if it set one; null if there is none.
    pub(super) fn new(mut base: Base) -> Self {
        let memory = memory::event_mm_malloc_(size_of::<Handle>());
        if !memory.is_null() {
            base.set_address(memory.addr());
            // SAFETY: the memory is new and has the size of a handle.
            unsafe { memory.cast::<Handle>().write(Handle { magic: MAGIC, base }) }
        }
        Self(memory)
    }

    /// The base of `event_init`, or null.
    pub(super) fn current() -> Self {
        Self(CURRENT.load(Ordering::Acquire))
    }

    pub(super) fn make_current(self) {
        CURRENT.store(self.0, Ordering::Release);
    }

    /// This handle, or that of `event_init` if this one is null.
    pub(super) fn or_current(self) -> Self {
        if self.is_null() { Self::current() } else { self }
    }

    /// The base. A handle that is not ours ends the program.
    #[inline]
    pub(super) fn get<'a>(self) -> &'a Base {
        if self.is_null() {
            log::fatal(ABORT, "a function got no event_base; call event_base_new first");
        }
        // SAFETY: the program passed a base, of this library or of another libevent: both begin
        // with a word.
        let magic = unsafe { (*self.handle()).magic };
        if magic != MAGIC {
            self.refuse();
        }
        // SAFETY: our magic word is in front of our base, until `free`.
        unsafe { &(*self.handle()).base }
    }

    fn handle(self) -> *mut Handle {
        self.0.cast()
    }

    #[cold]
    fn refuse(self) -> ! {
        log::fatal(
            ABORT,
            &format!(
                "the event_base {:p} is none of this library: it was freed, or another libevent \
                 made it; load one library only (`grep libevent /proc/PID/maps` lists them)",
                self.0
            ),
        );
    }

    /// Frees the base; the handle must not be used again.
    pub(super) fn free(self) {
        // Of several that free the current base at once, one finds it.
        let _ =
            CURRENT.compare_exchange(self.0, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
        check::on_base_end(self.address());
        // SAFETY: the pointer is of `new`, and the program frees a base once and uses it no more.
        let handle = unsafe { self.handle().read() };
        drop(handle);
        memory::event_mm_free_(self.0);
    }
}
