//! The poll backend: an array of `pollfd`, passed to the kernel whole at every wait.
//!
//! The kernel stores nothing between waits. A change costs only the check that the descriptor is
//! open; the cost of a wait grows with the number of descriptors. It has no edges: a registration
//! with edges gets the level.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::mask::{mask_of, ready_of};
use super::rotation::Rotation;
use super::{Backend, BackendKind, Change, FdReady, Features, RefusedChange, Reported};
use crate::event::Ready;
use crate::sys::fd::is_open;
use crate::sys::poll::{self, PollFd};

/// The index of a descriptor that is not in the array.
const NO_INDEX: u32 = u32::MAX;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct PollBackend {
    /// The kernel's array, in no particular order.
    fds: Vec<PollFd>,
    /// For each entry of `fds`: whether it is watched for one report only.
    once: Vec<bool>,
    /// By descriptor: its index in `fds` and `once`, or `NO_INDEX`.
    indices: Vec<u32>,
    rotation: Rotation,
    /// Whether a closed descriptor is reported.
    reports_closed: bool,
    /// Descriptors to remove: reported for the last time, or closed. Reused to save allocations.
    gone: Vec<RawFd>,
}

impl PollBackend {
    fn index_of(&self, fd: RawFd) -> Option<usize> {
        let index = *self.indices.get(usize::try_from(fd).ok()?)?;
        (index != NO_INDEX).then_some(index as usize)
    }

    fn watch(&mut self, change: Change) {
        let entry = PollFd::new(change.fd, mask_of(change.new));
        match self.index_of(change.fd) {
            Some(index) => {
                self.fds[index] = entry;
                self.once[index] = change.once;
            }
            None => {
                let fd = change.fd as usize;
                if fd >= self.indices.len() {
                    self.indices.resize(fd + 1, NO_INDEX);
                }
                self.indices[fd] = self.fds.len() as u32;
                self.fds.push(entry);
                self.once.push(change.once);
            }
        }
    }

    fn forget(&mut self, fd: RawFd) {
        let Some(index) = self.index_of(fd) else { return };
        self.indices[fd as usize] = NO_INDEX;
        self.fds.swap_remove(index);
        self.once.swap_remove(index);
        if let Some(moved) = self.fds.get(index) {
            self.indices[moved.fd() as usize] = index as u32;
        }
    }

    /// Appends the descriptors that the last call found ready.
    fn report(&mut self, found: usize, ready: &mut Vec<FdReady>) {
        let before = ready.len();
        let found_at = (0..self.fds.len()).filter(|index| self.fds[*index].found() != 0);
        for index in found_at.take(found) {
            let (fd, mask) = (self.fds[index].fd(), self.fds[index].found());
            // As with epoll, closing a descriptor ends its registration.
            let is_closed = mask & poll::NVAL != 0;
            if !is_closed {
                ready.push(FdReady { fd, ready: ready_of(mask) });
            } else if self.reports_closed {
                let ready_for_all = Ready::READ | Ready::WRITE | Ready::CLOSED;
                ready.push(FdReady { fd, ready: ready_for_all });
            }
            if is_closed || self.once[index] {
                self.gone.push(fd);
            }
        }
        self.rotation.turn(&mut ready[before..]);
        while let Some(fd) = self.gone.pop() {
            self.forget(fd);
        }
    }
}

impl Backend for PollBackend {
    fn name(&self) -> &'static str {
        BackendKind::Poll.name()
    }

    fn features(&self) -> Features {
        BackendKind::Poll.features()
    }

    fn report_closed(&mut self) {
        self.reports_closed = true;
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
        for change in changes {
            if change.new.is_empty() {
                self.forget(change.fd);
            } else if is_open(change.fd) {
                self.watch(*change);
            } else {
                self.forget(change.fd);
                refused.push(RefusedChange { fd: change.fd, op: "poll", errno: libc::EBADF });
            }
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        let found = poll::wait(&mut self.fds, timeout)?;
        if found > 0 {
            self.report(found, ready);
        }
        Ok(Reported::All)
    }
}
