//! The program's memory functions: `event_set_mem_functions`. Events of `event_new` are allocated
//! with them. What the library itself keeps is in memory of its own.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::set_errno;

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);

/// The addresses of functions of these types, or null.
static MALLOC: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static REALLOC: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static FREE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

#[unsafe(no_mangle)]
extern "C" fn event_set_mem_functions(
    malloc: Option<Malloc>,
    realloc: Option<Realloc>,
    free: Option<Free>,
) {
    let null = ptr::null_mut();
    MALLOC.store(malloc.map_or(null, |function| function as *mut ()), Ordering::Release);
    REALLOC.store(realloc.map_or(null, |function| function as *mut ()), Ordering::Release);
    FREE.store(free.map_or(null, |function| function as *mut ()), Ordering::Release);
}

/// The memory of these sizes; null for none. libevent's upper layers use it.
#[unsafe(no_mangle)]
pub(in crate::abi) extern "C" fn event_mm_malloc_(size: usize) -> *mut c_void {
    if size == 0 {
        return ptr::null_mut();
    }
    let address = MALLOC.load(Ordering::Acquire);
    if address.is_null() {
        // SAFETY: any size is allowed.
        return unsafe { libc::malloc(size) };
    }
    // SAFETY: the address is of a function of this type.
    let function = unsafe { std::mem::transmute::<*mut (), Malloc>(address) };
    // SAFETY: the program passed a function that allocates.
    unsafe { function(size) }
}

#[unsafe(no_mangle)]
extern "C" fn event_mm_calloc_(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        set_errno(libc::ENOMEM);
        return ptr::null_mut();
    };
    let memory = event_mm_malloc_(bytes);
    if !memory.is_null() {
        // SAFETY: the memory has so many bytes.
        unsafe { memory.write_bytes(0, bytes) };
    }
    memory
}

#[unsafe(no_mangle)]
unsafe extern "C" fn event_mm_strdup_(text: *const c_char) -> *mut c_char {
    if text.is_null() {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    }
    // SAFETY: the caller passes a C string.
    let bytes = unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes_with_nul();
    let memory = event_mm_malloc_(bytes.len());
    if !memory.is_null() {
        // SAFETY: the memory is new and has so many bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len()) };
    }
    memory.cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn event_mm_realloc_(memory: *mut c_void, size: usize) -> *mut c_void {
    let address = REALLOC.load(Ordering::Acquire);
    if address.is_null() {
        // SAFETY: the caller passes null or memory of these functions.
        return unsafe { libc::realloc(memory, size) };
    }
    // SAFETY: the address is of a function of this type.
    let function = unsafe { std::mem::transmute::<*mut (), Realloc>(address) };
    // SAFETY: the program passed a function that reallocates what its other one allocated.
    unsafe { function(memory, size) }
}

#[unsafe(no_mangle)]
pub(in crate::abi) extern "C" fn event_mm_free_(memory: *mut c_void) {
    let address = FREE.load(Ordering::Acquire);
    if address.is_null() {
        // SAFETY: the caller passes null or memory of these functions.
        unsafe { libc::free(memory) };
    } else {
        // SAFETY: the address is of a function of this type.
        let function = unsafe { std::mem::transmute::<*mut (), Free>(address) };
        // SAFETY: the program passed a function that frees what its other one allocated.
        unsafe { function(memory) }
    }
}
