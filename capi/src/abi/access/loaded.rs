//! Which file of the process has the code at an address.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

/// A program or library that the process has loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// As the loader knows it: for the program itself it is what it was called by.
    pub(crate) path: PathBuf,
    /// Where its first page is.
    pub(crate) start: u64,
    /// The name that it exports for the address.
    pub(crate) exported: Option<String>,
}

/// The file with the code at an address. `None` if no file has it.
pub(crate) fn at(address: u64) -> Option<Loaded> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let pointer: *const c_void = ptr::without_provenance(address as usize);
    // SAFETY: any address may be asked for, and `info` has the room for the answer.
    let found = unsafe { libc::dladdr(pointer, info.as_mut_ptr()) };
    // SAFETY: zeros are null pointers, and what dladdr writes are pointers.
    let info = unsafe { info.assume_init() };
    if found == 0 {
        return None;
    }
    Some(Loaded {
        path: OsStr::from_bytes(&bytes(info.dli_fname)?).into(),
        start: info.dli_fbase.addr() as u64,
        exported: bytes(info.dli_sname).and_then(|name| String::from_utf8(name).ok()),
    })
}

fn bytes(text: *const c_char) -> Option<Vec<u8>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: dladdr returns null or a C string, which lasts as long as the file is loaded. The
    // caller asked for a function that the program calls.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_bytes().to_vec())
}
