//! The base's side of the kernel: the backend, and the changes of interest for it.

use std::io;
use std::time::Duration;

use super::changelist::{Changelist, ChangelistPolicy};
use super::events::fd_map::FdMap;
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
    backend: Box<dyn Backend>,
    pub(super) passed_over: Vec<PassedOver>,
    policy: ChangelistPolicy,
    changelist: Changelist,
    /// Refused changes whose events do not have the error yet.
    refused: Vec<RefusedChange>,
    /// Net changes passed to the backend.
    changes: u64,
}

impl Kernel {
    pub(super) fn new(config: &Config, selected: Selected) -> Self {
        Self {
            kind: selected.kind,
            flush: config.flush,
            backend: selected.backend,
            passed_over: selected.passed_over,
            policy: config.changelist,
            changelist: Changelist::default(),
            refused: Vec::new(),
            changes: 0,
        }
    }

    pub(super) fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    pub(super) fn features(&self) -> Features {
        self.backend.features()
    }

    /// Rejects what the backend does not support; it would never report it, or report it
    /// arbitrarily.
    #[inline]
    pub(super) fn expect_features(&self, interest: Interest, is_edge: bool) -> Result<()> {
        let waits_for_close = interest.contains(Interest::CLOSED);
        if !is_edge && !waits_for_close {
            return Ok(());
        }
        let has = self.backend.features();
        let lacks = |what| Err(Error::Unsupported { backend: self.backend.name(), what });
        if is_edge && !has.contains(Features::EDGE) {
            return lacks("edge-triggered events");
        }
        if waits_for_close && !has.contains(Features::EARLY_CLOSE) {
            return lacks("events that wait for the peer's close");
        }
        Ok(())
    }

    /// Records a change or applies it at once, by the policy. `stable` is the event's
    /// promise that its descriptor stays open.
    #[inline]
    pub(super) fn update(
        &mut self,
        fds: &mut FdMap,
        change: Change,
        stable: bool,
    ) -> std::result::Result<(), RefusedChange> {
        match self.policy {
            ChangelistPolicy::Deferred => {
                let position = fds.change_position_mut(change.fd);
                self.changelist.record(change, position, stable);
                Ok(())
            }
            ChangelistPolicy::Immediate => {
                self.changes += 1;
                self.backend.apply(&[change], &mut self.refused);
                // A ring may also report a refusal of an earlier change, which the next wait takes.
                let own = self.refused.iter().position(|refusal| refusal.fd == change.fd);
                own.map_or(Ok(()), |index| Err(self.refused.swap_remove(index)))
            }
        }
    }

    /// Ends the promise that a descriptor stays open: its event was freed.
    pub(super) fn mark_reusable(&mut self, fds: &FdMap, fd: i32) {
        self.changelist.mark_reusable(fds.change_position(fd));
    }

    /// Whether the kernel forgets a descriptor by itself when it is closed.
    pub(super) fn forgets_closed(&self) -> bool {
        self.backend.forgets_closed()
    }

    /// Drops the recorded changes of a descriptor that is about to be closed: then the kernel
    /// watches nothing under its number.
    pub(super) fn forget(&mut self, fds: &FdMap, fd: i32) {
        self.changelist.forget(fds.change_position(fd));
    }

    /// Applies the recorded changes.
    pub(super) fn flush(&mut self, fds: &mut FdMap) {
        let net = self.changelist.take(|fd| *fds.change_position_mut(fd) = 0);
        self.changes += net.len() as u64;
        self.backend.apply(net, &mut self.refused);
    }

    /// Applies the recorded changes and waits, in one step of the backend.
    #[inline(always)]
    pub(super) fn flush_and_wait(
        &mut self,
        fds: &mut FdMap,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        let net = match self.changelist.is_empty() {
            true => &[],
            false => self.changelist.take(|fd| *fds.change_position_mut(fd) = 0),
        };
        self.changes += net.len() as u64;
        let timeout = if self.refused.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.backend.apply_and_wait(net, &mut self.refused, timeout, ready)
    }

    /// Takes a change of the last flush that the kernel refused.
    #[inline]
    pub(super) fn take_refused(&mut self) -> Option<RefusedChange> {
        self.refused.pop()
    }

    /// Opens a new backend in a child after `fork(2)`; nothing is registered there yet.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.backend = self.kind.open(self.flush)?;
        Ok(())
    }

    /// Registers every descriptor that has an event, instead of the recorded changes.
    pub(super) fn register_all(&mut self, fds: &mut FdMap) {
        self.changelist.clear();
        self.backend.apply(&fds.register_all(), &mut self.refused);
    }

    /// Fills in the counts of changes and the size of the backend's event array.
    pub(super) fn add_to(&self, stats: &mut LoopStats) {
        let saved = self.changelist.saved();
        stats.event_capacity = self.backend.event_capacity() as u64;
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
