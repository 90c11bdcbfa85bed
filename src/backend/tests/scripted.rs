//! A backend without a kernel: it replays readiness from a test's script and records all calls. It
//! tests the base's logic without descriptors and without waiting.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::backend::{Backend, Change, FdReady, Features, RefusedChange, Reported};

/// What the backend reports, and the calls it got.
#[derive(Debug)]
pub(crate) struct Script {
    /// The features it claims; all by default.
    pub(crate) features: Features,
    /// One entry per wait, in order; after the last, waits report nothing.
    pub(crate) waits: VecDeque<Vec<FdReady>>,
    /// How each wait of `waits` ends; after the last, waits report all that is ready.
    pub(crate) ends: VecDeque<Result<Reported, i32>>,
    /// Descriptors whose registration is refused.
    pub(crate) refuses: Vec<i32>,
    /// Every change applied.
    pub(crate) changes: Vec<Change>,
    /// The timeout of every wait.
    pub(crate) timeouts: Vec<Option<Duration>>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            features: Features::all(),
            waits: VecDeque::new(),
            ends: VecDeque::new(),
            refuses: Vec::new(),
            changes: Vec::new(),
            timeouts: Vec::new(),
        }
    }
}

/// A [`Script`] shared between a test and the base it drives.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptedBackend(pub(crate) Arc<Mutex<Script>>);

impl Backend for ScriptedBackend {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn features(&self) -> Features {
        self.0.lock().unwrap().features
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
        let mut script = self.0.lock().unwrap();
        for change in changes {
            if script.refuses.contains(&change.fd) && !change.new.is_empty() {
                refused.push(RefusedChange { fd: change.fd, op: "scripted", errno: libc::EPERM });
            } else {
                script.changes.push(*change);
            }
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        let mut script = self.0.lock().unwrap();
        script.timeouts.push(timeout);
        let end = script.ends.pop_front();
        match script.waits.pop_front() {
            Some(reported) => ready.extend(reported),
            None => assert!(
                timeout.is_some() || end.is_some(),
                "the script ended and the base would wait for ever"
            ),
        }
        end.unwrap_or(Ok(Reported::All)).map_err(io::Error::from_raw_os_error)
    }
}
