//! What the library does in a process that is not its own: a thread, and a function at exit.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread;

/// The address space is enough; the thread calls nothing of the program.
const STACK_BYTES: usize = 512 * 1024;

/// Starts a thread that gets none of the program's signals.
pub(crate) fn spawn_without_signals(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is valid.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    // A new thread begins with the mask of the one that starts it.
    // SAFETY: both pointers are valid, and zeros with bits set are a signal set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let spawned = thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(body);
    // SAFETY: `before` is the mask that the call above returned.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    spawned.map(drop)
}

/// Calls the function when the process ends by `exit(3)`. If the system has no memory for that, it
/// is not called.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function takes nothing and lasts: the library is never unloaded.
    unsafe { libc::atexit(function) };
}
