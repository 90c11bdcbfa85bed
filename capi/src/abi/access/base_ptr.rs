//! What a program has as `struct event_base *`. What is behind it is known to `abi/handle.rs`.

use std::ffi::c_void;
use std::ptr;

/// A `struct event_base *` of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct BasePtr(pub(in crate::abi) *mut c_void);

impl BasePtr {
    pub(crate) const NULL: Self = Self(ptr::null_mut());

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }
}
