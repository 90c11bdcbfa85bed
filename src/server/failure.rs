//! Threads of a server that ended before their time, and who is notified of it.

use std::fmt;
use std::sync::Arc;

use crate::sync::Mutex;

/// A thread of a server that ended with an error or a panic, while it should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadFailure {
    /// The thread's name, such as `worker-0`, `acceptor`, `admin` or `upgrade`.
    pub thread: String,
    /// Its error.
    pub reason: String,
}

impl fmt::Display for ThreadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} ended: {}", self.thread, self.reason)
    }
}

type Callback = Box<dyn FnOnce(ThreadFailure) + Send>;

/// The first failure of a server's threads. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(in crate::server) struct Failures(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    first: Option<ThreadFailure>,
    callback: Option<Callback>,
}

impl Failures {
    /// No thread has failed, and no one is notified.
    pub(in crate::server) fn none() -> Self {
        Self(Arc::new(Mutex::new(State::default())))
    }

    /// The first failure, if there is one.
    pub(in crate::server) fn first(&self) -> Option<ThreadFailure> {
        self.0.lock().first.clone()
    }

    /// Records a failure, and calls back if it is the first.
    pub(in crate::server) fn report(&self, failure: ThreadFailure) {
        let mut state = self.0.lock();
        if state.first.is_some() {
            return;
        }
        state.first = Some(failure.clone());
        let callback = state.callback.take();
        drop(state);
        if let Some(callback) = callback {
            callback(failure);
        }
    }

    /// Calls `callback` at the first failure, at once if there was one.
    pub(in crate::server) fn notify(&self, callback: Callback) {
        let mut state = self.0.lock();
        let Some(failure) = state.first.clone() else {
            state.callback = Some(callback);
            return;
        };
        drop(state);
        callback(failure);
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failures").field(&self.first()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn failure(thread: &str) -> ThreadFailure {
        ThreadFailure { thread: thread.to_owned(), reason: "no memory".to_owned() }
    }

    #[test]
    fn the_first_failure_is_reported_once_before_or_after_the_callback_is_set() {
        for is_late in [false, true] {
            let (failures, (sender, reported)) = (Failures::none(), channel());
            let notify = || failures.notify(Box::new(move |failure| sender.send(failure).unwrap()));
            let report = || ["worker-1", "worker-0"].map(|name| failures.report(failure(name)));
            if is_late {
                report();
                notify();
            } else {
                notify();
                report();
            }
            assert_eq!(reported.iter().collect::<Vec<_>>(), [failure("worker-1")]);
            assert_eq!(failures.first(), Some(failure("worker-1")));
        }
    }
}
