//! The poll backend: an array of `pollfd`, handed to the kernel whole at every wait.
//!
//! The kernel keeps nothing between waits. A change costs no call but the question whether the
//! descriptor is open; a wait costs in proportion to all that is watched. Edges are not known:
//! a registration that asks for them gets the level.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::mask::{mask_of, ready_of};
use super::rotation::Rotation;
use super::{Backend, BackendKind, Change, FdReady, Features, Refusal};
use crate::sys::fd::is_open;
use crate::sys::poll::{self, PollFd};

/// No place in the array.
const NOWHERE: u32 = u32::MAX;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct PollBackend {
    /// What the kernel is given, in no particular order.
    fds: Vec<PollFd>,
    /// Beside each of them: whether it is watched for one report only.
    once: Vec<bool>,
    /// By descriptor: its place in the two, or `NOWHERE`.
    places: Vec<u32>,
    rotation: Rotation,
    /// Descriptors told for the last time, or closed under us; kept for its memory.
    gone: Vec<RawFd>,
}

impl PollBackend {
    fn place(&self, fd: RawFd) -> Option<usize> {
        let place = *self.places.get(usize::try_from(fd).ok()?)?;
        (place != NOWHERE).then_some(place as usize)
    }

    fn watch(&mut self, change: Change) {
        let entry = PollFd::new(change.fd, mask_of(change.new));
        match self.place(change.fd) {
            Some(place) => {
                self.fds[place] = entry;
                self.once[place] = change.once;
            }
            None => {
                let fd = change.fd as usize;
                if fd >= self.places.len() {
                    self.places.resize(fd + 1, NOWHERE);
                }
                self.places[fd] = self.fds.len() as u32;
                self.fds.push(entry);
                self.once.push(change.once);
            }
        }
    }

    fn forget(&mut self, fd: RawFd) {
        let Some(place) = self.place(fd) else { return };
        self.places[fd as usize] = NOWHERE;
        self.fds.swap_remove(place);
        self.once.swap_remove(place);
        if let Some(moved) = self.fds.get(place) {
            self.places[moved.fd() as usize] = place as u32;
        }
    }

    /// Appends what the last call found.
    fn tell(&mut self, found: usize, ready: &mut Vec<FdReady>) {
        let before = ready.len();
        let places = (0..self.fds.len()).filter(|place| self.fds[*place].found() != 0);
        for place in places.take(found) {
            let (fd, mask) = (self.fds[place].fd(), self.fds[place].found());
            if mask & poll::NVAL == 0 {
                ready.push(FdReady { fd, ready: ready_of(mask) });
            }
            // Closed under us: as with epoll, the registration died with the descriptor.
            if mask & poll::NVAL != 0 || self.once[place] {
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

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<Refusal>) {
        for change in changes {
            if change.new.is_empty() {
                self.forget(change.fd);
            } else if is_open(change.fd) {
                self.watch(*change);
            } else {
                self.forget(change.fd);
                refused.push(Refusal { fd: change.fd, op: "poll", errno: libc::EBADF });
            }
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<FdReady>) -> io::Result<()> {
        match poll::wait(&mut self.fds, timeout) {
            Ok(0) => Ok(()),
            Ok(found) => {
                self.tell(found, ready);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
