//! Changes limits while the server serves: each thread changes its own in one of its turns.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::Threads;
use crate::server::config::ServerConfig;
use crate::server::error::Result;

impl Threads {
    /// Applies what can change, and waits for all threads until the timeout. Returns how many have
    /// not answered by then. They apply the change later.
    ///
    /// # Errors
    ///
    /// The first of a thread, which then keeps its limits.
    pub(in crate::server) fn reconfigure(
        &self,
        config: &ServerConfig,
        timeout: Duration,
    ) -> Result<usize> {
        // Before the acceptors try once more.
        self.connection_limit.set_max(config.connections_max);
        self.memory.set_max(config.memory_limit);
        let (overload, config) = (config.overload, Arc::new(config.clone()));
        let (sender, results) = mpsc::channel();
        if let Some(acceptor) = &self.acceptor {
            let sender = sender.clone();
            acceptor.post(move |registry, thread| {
                thread.acceptor.reconfigure(registry, overload);
                // After the timeout there is no receiver.
                let _ = sender.send(Ok(()));
            });
        }
        for worker in &self.workers {
            let (sender, config) = (sender.clone(), config.clone());
            worker.post(move |registry, worker| {
                let result = worker.reconfigure(registry, &config);
                if let Some(acceptor) = &mut worker.acceptor {
                    acceptor.reconfigure(registry, overload);
                }
                let _ = sender.send(result);
            });
        }
        // The receiver also ends when no sender is left: a thread that has ended drops its own.
        drop(sender);
        let deadline = Instant::now() + timeout;
        let remaining = || deadline.saturating_duration_since(Instant::now());
        let mut silent = self.workers.len() + usize::from(self.acceptor.is_some());
        while let Ok(result) = results.recv_timeout(remaining()) {
            result?;
            silent -= 1;
        }
        Ok(silent)
    }
}
