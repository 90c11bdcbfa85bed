//! The atomics and locks of the cross-thread protocols: the real ones, or loom's in models.
//!
//! Protocols take all shared types from here, so that `--cfg loom` replaces them all at once.

#[cfg(not(loom))]
mod imp {
    pub(crate) use parking_lot::Mutex;
    #[cfg(feature = "server")]
    pub(crate) use std::sync::atomic::AtomicBool;
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
    #[cfg(feature = "bufferevent")]
    pub(crate) use std::thread;

    /// `parking_lot`'s condition variable with the shape of loom's: a wait takes the guard.
    #[cfg(feature = "bufferevent")]
    #[derive(Debug)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    #[cfg(feature = "bufferevent")]
    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(
            &self,
            mut guard: parking_lot::MutexGuard<'a, T>,
        ) -> parking_lot::MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[cfg(loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    #[cfg(feature = "bufferevent")]
    pub(crate) use loom::thread;

    /// loom's condition variable; see [`Mutex`].
    #[cfg(feature = "bufferevent")]
    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    #[cfg(feature = "bufferevent")]
    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(
            &self,
            guard: loom::sync::MutexGuard<'a, T>,
        ) -> loom::sync::MutexGuard<'a, T> {
            self.0.wait(guard).expect("a model's thread panicked while it held the lock")
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// loom's mutex with the shape of `parking_lot`'s: a lock cannot be poisoned.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model's thread panicked while it held the lock")
        }
    }
}

pub(crate) use imp::*;

/// An eventfd in a model. Only its own calls take its lock, so that the lock orders nothing else.
#[cfg(all(test, loom))]
#[derive(Default)]
pub(crate) struct ModelEventFd {
    readable: loom::sync::Mutex<bool>,
    changed: loom::sync::Condvar,
}

#[cfg(all(test, loom))]
impl ModelEventFd {
    pub(crate) fn signal(&self) {
        *self.readable.lock().unwrap() = true;
        self.changed.notify_one();
    }

    pub(crate) fn wait(&self) {
        let mut readable = self.readable.lock().unwrap();
        while !*readable {
            readable = self.changed.wait(readable).unwrap();
        }
    }

    pub(crate) fn drain(&self) {
        *self.readable.lock().unwrap() = false;
    }
}

/// Runs ignored tests of this binary, by path prefix, in a process of their own and panics unless
/// they fail there: a mutated protocol may deadlock, which loom ends by aborting.
#[cfg(all(test, loom))]
pub(crate) fn must_fail(path: &str) {
    let test = path.split_once("::").expect("a path starts with its crate").1;
    let program = std::env::current_exe().expect("a test can find its own program");
    let output = std::process::Command::new(program)
        .args(["--ignored", test])
        .output()
        .expect("a test program can be run again");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("running 1 test"), "{test} names {stdout}");
    assert!(!output.status.success(), "{test} is wrong and passed its model");
}
