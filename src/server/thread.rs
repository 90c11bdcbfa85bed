//! A thread that runs an event base: started with a context, reached by a remote, joined for its
//! result.

use std::thread::{Builder, JoinHandle};

use crate::base::{EventBase, Registry, Remote};
use crate::error as base;
use crate::server::error::{Error, Result};

/// Runs a base with context `C` and returns a `T`. If it is dropped without being joined, it exits
/// its loop and is waited for.
#[derive(Debug)]
pub(in crate::server) struct Thread<C, T> {
    name: String,
    remote: Remote<C>,
    handle: Option<JoinHandle<base::Result<T>>>,
}

impl<C: Send + 'static, T: Send + 'static> Thread<C, T> {
    pub(in crate::server) fn start(
        name: String,
        base: EventBase<C>,
        context: C,
        run: fn(EventBase<C>, C) -> base::Result<T>,
    ) -> Result<Self> {
        let remote = base.remote();
        let handle = Builder::new()
            .name(name.clone())
            .spawn(move || run(base, context))
            .map_err(Error::os("start a thread"))?;
        Ok(Self { name, remote, handle: Some(handle) })
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
        Ok(result?)
    }
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
