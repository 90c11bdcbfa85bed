//! A thread that runs an event base: started with a context, reached by a remote, joined for its
//! result.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::{EventBase, Registry, Remote};
use crate::error as base;
use crate::server::error::{Error, Result};
use crate::server::failure::{Failures, ThreadFailure};

/// How long a thread may take to its first wait that succeeds. A busy machine needs much less.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a thread is asked for it meanwhile.
const START_INTERVAL: Duration = Duration::from_millis(1);

/// Runs a base with context `C` and returns a `T`. If it is dropped without being joined, it exits
/// its loop and is waited for.
#[derive(Debug)]
pub(in crate::server) struct Thread<C, T> {
    name: String,
    remote: Remote<C>,
    handle: Option<JoinHandle<base::Result<T>>>,
}

impl<C: Send + 'static, T: Send + 'static> Thread<C, T> {
    /// Starts the thread. On return, its loop has waited for events once, so the kernel allows it
    /// to. Later, its error or panic is reported to `failures` at once.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is no thread left, and [`Error::Ended`] if the loop cannot wait.
    pub(in crate::server) fn start(
        name: String,
        base: EventBase<C>,
        context: C,
        run: fn(EventBase<C>, C) -> base::Result<T>,
        failures: &Failures,
    ) -> Result<Self> {
        let remote = base.remote();
        let end = End { name: name.clone(), failures: failures.clone() };
        let handle = Builder::new()
            .name(name.clone())
            .spawn(move || {
                let result = run(base, context);
                if let Err(error) = &result {
                    end.report(error.to_string());
                }
                result
            })
            .map_err(Error::os("start a thread"))?;
        Self { name, remote, handle: Some(handle) }.after_its_first_wait()
    }

    fn after_its_first_wait(self) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let (sender, has_waited) = mpsc::channel();
            self.post(move |registry, _| {
                // After the timeout there is no receiver.
                let _ = sender.send(registry.stats().waits > 0);
            });
            let remaining = deadline.saturating_duration_since(Instant::now());
            let reason = match has_waited.recv_timeout(remaining) {
                Ok(true) => return Ok(self),
                // Its waits fail for a transient reason.
                Ok(false) if !remaining.is_zero() => {
                    std::thread::sleep(START_INTERVAL);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let name = self.name.clone();
                    self.join()?;
                    return Err(ended(&name, "its event loop ended before its first wait"));
                }
                Ok(false) | Err(RecvTimeoutError::Timeout) => {
                    format!("its event loop has not waited within {START_TIMEOUT:?}")
                }
            };
            return Err(ended(&self.name, &reason));
        }
    }

    /// A handle to its base.
    pub(in crate::server) fn remote(&self) -> Remote<C> {
        self.remote.clone()
    }

    /// Runs `job` on the thread. If the thread has ended, nothing happens, and `join` returns why.
    pub(in crate::server) fn post(
        &self,
        job: impl FnOnce(&mut Registry<C>, &mut C) + Send + 'static,
    ) {
        let _ = self.remote.post(job);
    }

    /// Waits for the thread to end, and returns its result.
    pub(in crate::server) fn join(mut self) -> Result<T> {
        let handle = self.handle.take().expect("only join takes the handle");
        let result = handle.join().map_err(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Error::Panicked { thread: self.name.clone(), message: message.to_owned() }
        })?;
        result.map_err(|error| ended(&self.name, &error.to_string()))
    }
}

fn ended(thread: &str, reason: &str) -> Error {
    Error::Ended(ThreadFailure { thread: thread.to_owned(), reason: reason.to_owned() })
}

impl<C, T> Drop for Thread<C, T> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = self.remote.post(|registry, _| registry.loop_exit());
            // No caller is left for its result.
            let _ = handle.join();
        }
    }
}

/// Reports how a thread ends, on the thread itself. Its drop reports a panic.
struct End {
    name: String,
    failures: Failures,
}

impl End {
    fn report(&self, reason: String) {
        self.failures.report(ThreadFailure { thread: self.name.clone(), reason });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.report("it panicked".to_owned());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::backend::BackendKind;
    use crate::base::Config;
    use crate::sys::seccomp;

    fn run(mut base: EventBase<i32>, errno: i32) -> base::Result<()> {
        for call in seccomp::WAITS {
            seccomp::refuse(call, errno).expect("the test has checked it");
        }
        base.run_until_exit(&mut { errno }).map(drop)
    }

    fn start(kind: BackendKind, errno: i32, failures: &Failures) -> Result<Thread<i32, ()>> {
        let base = EventBase::new(Config::default().backend(kind)).unwrap();
        Thread::start("worker-7".to_owned(), base, errno, run, failures)
    }

    #[test]
    fn a_thread_that_the_kernel_does_not_let_wait_was_started_and_ended_in_silence() {
        if seccomp::is_missing() {
            return;
        }
        for kind in BackendKind::usable() {
            let failures = Failures::none();
            let started = start(kind, libc::EPERM, &failures);
            let error = started.expect_err(kind.name()).to_string();
            let expected = "thread worker-7 ended: wait for events: Operation not permitted";
            assert!(error.starts_with(expected), "{kind:?}: {error}");
            assert_eq!(failures.first().expect("it is reported").thread, "worker-7");
        }
    }

    #[test]
    fn a_panic_of_a_thread_is_reported_at_once() {
        let failures = Failures::none();
        let (sender, reported) = mpsc::channel();
        failures.notify(Box::new(move |failure| sender.send(failure).unwrap()));
        let base = EventBase::<()>::new(Config::default()).unwrap();
        let run = |mut base: EventBase<()>, ()| base.run_until_exit(&mut ()).map(drop);
        let thread = Thread::start("worker-7".to_owned(), base, (), run, &failures).unwrap();
        thread.post(|_, ()| panic!("a bug"));
        assert_eq!(reported.recv().unwrap().to_string(), "thread worker-7 ended: it panicked");
        let error = thread.join().unwrap_err().to_string();
        assert!(error.contains("a bug"), "{error}");
    }
}
