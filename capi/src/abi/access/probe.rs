//! What the checked mode looks at: memory that the program may have freed, descriptors that it may
//! have closed.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use evshard::EventId;

use super::event_ptr::CallbackPtr;
use super::layout::{EventCallback, ListFlags};

/// Which file a descriptor is: its device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

/// The file of a descriptor; `None` if it is not open.
pub(crate) fn file_id(fd: c_int) -> Option<FileId> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the pointer is to such a structure.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: zeros are a valid value, and fstat has filled it.
    let stat = unsafe { stat.assume_init() };
    Some(FileId(stat.st_dev, stat.st_ino))
}

/// What an event's memory must hold while it is pending: what no function of libevent's changes
/// then, other than through this library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) slot: Option<EventId>,
    pub(crate) is_event: bool,
    pub(crate) function: usize,
}

impl Memory {
    pub(super) fn of(callback: &EventCallback) -> Self {
        Self {
            slot: callback.slot,
            is_event: callback.flags.contains(ListFlags::INIT),
            function: callback.function.address(),
        }
    }
}

impl CallbackPtr {
    /// What is in the callback's memory; `None` if there is no memory any more. The kernel reads
    /// it, because a read of our own would end the program then.
    pub(crate) fn copy_memory(self) -> Option<Memory> {
        let mut copy = MaybeUninit::<EventCallback>::zeroed();
        let length = size_of::<EventCallback>();
        let to = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len: length };
        let start = ptr::with_exposed_provenance_mut(self.address());
        let from = libc::iovec { iov_base: start, iov_len: length };
        let process = std::process::id().cast_signed();
        // SAFETY: the kernel writes to the copy only, and checks the address that it reads.
        let read =
            unsafe { libc::process_vm_readv(process, &raw const to, 1, &raw const from, 1, 0) };
        if read < 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT) {
            // A container may refuse the call.
            return Some(self.memory());
        }
        // SAFETY: any bytes are a valid value.
        let copy = unsafe { copy.assume_init() };
        usize::try_from(read).is_ok_and(|read| read == length).then(|| Memory::of(&copy))
    }
}
