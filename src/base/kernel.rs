//! The base's side of the kernel: the backend, and the changes of interest for it.
//!
//! A wait borrows nothing from the base. [`Kernel::lend`] moves the backend out, together with
//! what one wait needs, and [`Kernel::take_back`] moves it back in. Changes of interest in between
//! are recorded, whatever the policy is.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::changelist::{Changelist, ChangelistPolicy};
use super::events::fd_map::FdMap;
use super::leniency::Leniency;
use super::setup::config::Config;
use super::setup::selection::{PassedOver, Selected};
use super::stats::LoopStats;
use crate::backend::{
    Backend, BackendKind, Change, ChangelistFlush, FdReady, Features, RefusedChange, Reported,
};
use crate::error::{Error, Result};
use crate::event::Interest;

/// The backend, and the changes of interest that it has not got yet.
///
/// The calls of each change and each wait are inlined into the generic registry, whose code is
/// compiled in the user's crate.
pub(super) struct Kernel {
    kind: BackendKind,
    flush: ChangelistFlush,
    /// What the backend supports, also while it is lent.
    traits: Traits,
    /// `None` while the backend is lent to a wait.
    wait: Option<Box<Wait>>,
    pub(super) passed_over: Vec<PassedOver>,
    policy: ChangelistPolicy,
    leniency: Leniency,
    changelist: Changelist,
    /// Net changes passed to the backend.
    changes: u64,
}

/// What a backend answers about itself.
#[derive(Clone, Copy)]
struct Traits {
    name: &'static str,
    features: Features,
    forgets_closed: bool,
    event_capacity: usize,
}

impl Traits {
    fn of(backend: &dyn Backend) -> Self {
        Self {
            name: backend.name(),
            features: backend.features(),
            forgets_closed: backend.forgets_closed(),
            event_capacity: backend.event_capacity(),
        }
    }
}

/// One wait for readiness: the backend, the changes to make first, and the reports. It holds no
/// reference to its base, so another thread may use the base meanwhile, under a lock.
///
/// [`EventBase::begin_wait`](crate::EventBase::begin_wait) makes it. Call [`run`](Self::run) once,
/// and return it with [`EventBase::end_wait`](crate::EventBase::end_wait).
pub struct Wait {
    backend: Box<dyn Backend>,
    changes: Vec<Change>,
    /// How long to sleep before the wait, because waits fail.
    pause: Option<Duration>,
    timeout: Option<Duration>,
    /// How it ended.
    pub(super) result: io::Result<Reported>,
    pub(super) ready: Vec<FdReady>,
    /// Refused changes whose events do not have the error yet.
    refused: Vec<RefusedChange>,
}

impl Wait {
    fn new(backend: Box<dyn Backend>) -> Box<Self> {
        Box::new(Self {
            backend,
            changes: Vec::new(),
            pause: None,
            timeout: Some(Duration::ZERO),
            result: Ok(Reported::All),
            ready: Vec::new(),
            refused: Vec::new(),
        })
    }

    /// Makes the changes and waits. It ends at a report, at the base's next timeout, or when the
    /// base is notified.
    #[inline]
    pub fn run(&mut self) {
        if let Some(pause) = self.pause.take() {
            std::thread::sleep(pause);
        }
        let Self { backend, changes, refused, timeout, ready, .. } = self;
        self.result = backend.apply_and_wait(changes, refused, *timeout, ready);
    }

    /// Sleeps before it waits, as long as it would wait at most.
    pub(super) fn pause_first(&mut self, pause: Duration) {
        let pause = self.timeout.map_or(pause, |timeout| timeout.min(pause));
        self.pause = Some(pause);
        self.timeout = self.timeout.map(|timeout| timeout - pause);
    }

    /// Takes a change that the kernel refused.
    #[inline]
    pub(super) fn take_refused(&mut self) -> Option<RefusedChange> {
        self.refused.pop()
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("backend", &self.backend.name())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Takes the refusal of a descriptor. A ring may also report that of another one's earlier change,
/// which the next wait takes.
#[cold]
fn take_refusal_of(
    fd: i32,
    refused: &mut Vec<RefusedChange>,
) -> std::result::Result<(), RefusedChange> {
    let own = refused.iter().position(|refusal| refusal.fd == fd);
    own.map_or(Ok(()), |index| Err(refused.swap_remove(index)))
}

impl Kernel {
    pub(super) fn new(config: &Config, selected: Selected) -> Self {
        let mut kernel = Self {
            kind: selected.kind,
            flush: config.flush,
            traits: Traits::of(&*selected.backend),
            wait: None,
            passed_over: selected.passed_over,
            policy: config.changelist,
            leniency: config.leniency,
            changelist: Changelist::default(),
            changes: 0,
        };
        kernel.put(selected.backend);
        kernel
    }

    fn put(&mut self, mut backend: Box<dyn Backend>) {
        if self.leniency.contains(Leniency::CLOSED_IS_READY) {
            backend.report_closed();
        }
        self.wait = Some(Wait::new(backend));
    }

    pub(super) fn backend_name(&self) -> &'static str {
        self.traits.name
    }

    pub(super) fn features(&self) -> Features {
        self.traits.features
    }

    /// Rejects what the backend does not support; it would never report it, or report it
    /// arbitrarily.
    #[inline]
    pub(super) fn expect_features(&self, interest: Interest, is_edge: bool) -> Result<()> {
        let waits_for_close = interest.contains(Interest::CLOSED);
        if !is_edge && !waits_for_close {
            return Ok(());
        }
        let Traits { name: backend, features: has, .. } = self.traits;
        let lacks = |what| Err(Error::Unsupported { backend, what });
        let level_will_do = self.leniency.contains(Leniency::EDGE_AS_LEVEL);
        if is_edge && !has.contains(Features::EDGE) && !level_will_do {
            return lacks("edge-triggered events");
        }
        if waits_for_close && !has.contains(Features::EARLY_CLOSE) {
            return lacks("events that wait for the peer's close");
        }
        Ok(())
    }

    /// Records a change or applies it at once, by the policy. While the backend is lent, records
    /// it. `stable` is the event's promise that its descriptor stays open.
    #[inline]
    pub(super) fn update(
        &mut self,
        fds: &mut FdMap,
        change: Change,
        stable: bool,
    ) -> std::result::Result<(), RefusedChange> {
        match (self.policy, self.wait.as_deref_mut()) {
            (ChangelistPolicy::Immediate, Some(Wait { backend, refused, .. })) => {
                self.changes += 1;
                backend.apply(&[change], refused);
                if refused.is_empty() { Ok(()) } else { take_refusal_of(change.fd, refused) }
            }
            _ => {
                let position = fds.change_position_mut(change.fd);
                self.changelist.record(change, position, stable);
                Ok(())
            }
        }
    }

    /// Ends the promise that a descriptor stays open: its event was freed.
    pub(super) fn mark_reusable(&mut self, fds: &FdMap, fd: i32) {
        self.changelist.mark_reusable(fds.change_position(fd));
    }

    /// Whether the kernel forgets a descriptor by itself when it is closed.
    pub(super) fn forgets_closed(&self) -> bool {
        self.traits.forgets_closed
    }

    /// Drops the recorded changes of a descriptor that is about to be closed: then the kernel
    /// watches nothing under its number.
    pub(super) fn forget(&mut self, fds: &FdMap, fd: i32) {
        self.changelist.forget(fds.change_position(fd));
    }

    /// Whether changes are recorded that the backend has not got.
    pub(super) fn has_changes(&self) -> bool {
        !self.changelist.is_empty()
    }

    /// Applies the recorded changes, unless the backend is lent.
    pub(super) fn flush(&mut self, fds: &mut FdMap) {
        if let Some(wait) = &mut self.wait {
            self.changelist.take(&mut wait.changes, |fd| *fds.change_position_mut(fd) = 0);
            self.changes += wait.changes.len() as u64;
            wait.backend.apply(&wait.changes, &mut wait.refused);
        }
    }

    /// Applies the changes that were recorded while the backend was lent, if the policy is to apply
    /// each at once. Returns whether there were any.
    #[inline]
    pub(super) fn flush_late(&mut self, fds: &mut FdMap) -> bool {
        let are_late = self.has_changes() && self.policy == ChangelistPolicy::Immediate;
        if are_late {
            self.flush(fds);
        }
        are_late
    }

    /// Lends the backend to a wait that applies the recorded changes first. `None` if it is lent
    /// already.
    #[inline]
    pub(super) fn lend(&mut self, fds: &mut FdMap, timeout: Option<Duration>) -> Option<Box<Wait>> {
        let mut wait = self.wait.take()?;
        self.fill(fds, &mut wait, timeout);
        Some(wait)
    }

    /// Sets what a wait does when it runs, also for the second time.
    #[inline]
    pub(super) fn fill(&mut self, fds: &mut FdMap, wait: &mut Wait, timeout: Option<Duration>) {
        wait.changes.clear();
        if !self.changelist.is_empty() {
            self.changelist.take(&mut wait.changes, |fd| *fds.change_position_mut(fd) = 0);
            self.changes += wait.changes.len() as u64;
        }
        wait.timeout = if wait.refused.is_empty() { timeout } else { Some(Duration::ZERO) };
    }

    /// Takes the backend back. If [`reopen`](Self::reopen) has replaced it meanwhile, drops it.
    #[inline]
    pub(super) fn take_back(&mut self, wait: Box<Wait>) {
        if let Ok(Reported::Part) = wait.result {
            // It may have made room for more.
            self.traits.event_capacity = wait.backend.event_capacity();
        }
        if self.wait.is_none() {
            self.wait = Some(wait);
        }
    }

    /// The backend's descriptor, for another loop.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.wait.as_ref()?.backend.descriptor()
    }

    /// Applies the recorded changes and makes the descriptor show what is ready from now on.
    /// Returns whether there is more than it shows.
    pub(super) fn arm(&mut self, fds: &mut FdMap) -> bool {
        if self.has_changes() {
            self.flush(fds);
        }
        // After an error the next turn tries again, and returns it if it lasts.
        self.wait.as_mut().is_some_and(|wait| wait.backend.arm().unwrap_or(true))
    }

    /// Whether the backend is lent to a wait.
    pub(super) fn is_lent(&self) -> bool {
        self.wait.is_none()
    }

    /// Takes a change of the last flush that the kernel refused.
    #[inline]
    pub(super) fn take_refused(&mut self) -> Option<RefusedChange> {
        self.wait.as_mut()?.refused.pop()
    }

    /// Opens a new backend in a child after `fork(2)`; nothing is registered there yet.
    pub(super) fn reopen(&mut self) -> Result<()> {
        let backend = self.kind.open(self.flush)?;
        self.put(backend);
        Ok(())
    }

    /// Registers every descriptor that has an event, instead of the recorded changes.
    pub(super) fn register_all(&mut self, fds: &mut FdMap) {
        self.changelist.clear();
        if let Some(wait) = &mut self.wait {
            wait.backend.apply(&fds.register_all(), &mut wait.refused);
        }
    }

    /// Fills in the counts of changes and the size of the backend's event array.
    pub(super) fn add_to(&self, stats: &mut LoopStats) {
        let saved = self.changelist.saved();
        stats.event_capacity = self.traits.event_capacity as u64;
        stats.changes = self.changes;
        stats.changes_coalesced = saved.coalesced;
        stats.changes_cancelled = saved.cancelled;
    }

    /// Panics unless the changelist and the map agree.
    #[cfg(test)]
    pub(super) fn check(&self, fds: &FdMap) {
        self.changelist.check(|fd| fds.change_position(fd));
    }
}
