//! An echo service whose workers a test can block and release.

use std::sync::{Arc, Condvar, Mutex};

use evshard::server::{Connection, Service};

use crate::common::TEST_TIMEOUT;

/// An echo. A worker that receives a `!` blocks until it is released.
#[derive(Clone, Default)]
pub(crate) struct Stoppable {
    stop: Arc<Stop>,
}

#[derive(Default)]
pub(crate) struct Stop {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Stoppable {
    /// Waits until this many workers have stopped.
    pub(crate) fn wait_for(&self, workers: usize) {
        let state = self.stop.state.lock().unwrap();
        let stopped = |state: &mut (usize, bool)| state.0 < workers;
        let (_state, late) =
            self.stop.changed.wait_timeout_while(state, TEST_TIMEOUT, stopped).unwrap();
        assert!(!late.timed_out(), "the workers never stopped");
    }

    /// Releases all workers, also those that would stop later.
    pub(crate) fn release_all(&self) {
        self.stop.state.lock().unwrap().1 = true;
        self.stop.changed.notify_all();
    }
}

impl Service for Stoppable {
    type Session = ();
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) {}

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        if input.contains(&b'!') {
            let mut state = self.stop.state.lock().unwrap();
            state.0 += 1;
            self.stop.changed.notify_all();
            // A test that fails releases no worker.
            let held = |state: &mut (usize, bool)| !state.1;
            let _state =
                self.stop.changed.wait_timeout_while(state, TEST_TIMEOUT * 2, held).unwrap();
        }
        connection.send(input);
        input.len()
    }
}
