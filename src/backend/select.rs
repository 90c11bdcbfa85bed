//! The select backend: two bit sets over all descriptors, copied for the kernel at every wait.
//!
//! It is for kernels and sandboxes without a better call. The sets grow with the highest descriptor
//! and are not limited by `FD_SETSIZE`. It has no edges: a registration with edges gets the level.
//! It does not report the peer's close, and refuses a registration for the close alone.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::rotation::Rotation;
use super::{Backend, BackendKind, Change, FdReady, Features, RefusedChange, Reported};
use crate::event::{Interest, Ready};
use crate::sys::fd::is_open;
use crate::sys::select::{self, WORD_BITS};

/// A set of descriptors in the kernel's layout.
#[derive(Default)]
struct FdSet {
    words: Vec<u64>,
}

impl FdSet {
    fn put(&mut self, fd: usize, member: bool) {
        let (word, bit) = (fd / WORD_BITS, 1 << (fd % WORD_BITS));
        if member {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    fn has(&self, fd: usize) -> bool {
        self.words[fd / WORD_BITS] & (1 << (fd % WORD_BITS)) != 0
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct SelectBackend {
    reads: FdSet,
    writes: FdSet,
    /// Descriptors watched for one report only.
    once: FdSet,
    /// The ready descriptors of `reads` and `writes`, from the last call.
    readable: FdSet,
    writable: FdSet,
    rotation: Rotation,
}

impl SelectBackend {
    fn put(&mut self, fd: usize, interest: Interest, once: bool) {
        if interest.is_empty() && fd / WORD_BITS >= self.reads.words.len() {
            return;
        }
        let length = self.reads.words.len().max(fd / WORD_BITS + 1);
        for set in [&mut self.reads, &mut self.writes, &mut self.once] {
            set.words.resize(length, 0);
        }
        self.reads.put(fd, interest.contains(Interest::READ));
        self.writes.put(fd, interest.contains(Interest::WRITE));
        self.once.put(fd, once);
    }

    fn apply_one(&mut self, change: Change) -> Result<(), RefusedChange> {
        let refusal = |errno| Err(RefusedChange { fd: change.fd, op: "select", errno });
        let Ok(fd) = usize::try_from(change.fd) else {
            return if change.new.is_empty() { Ok(()) } else { refusal(libc::EBADF) };
        };
        if change.new.is_empty() {
            self.put(fd, Interest::empty(), false);
        } else if !is_open(change.fd) {
            self.put(fd, Interest::empty(), false);
            return refusal(libc::EBADF);
        } else if change.new == Interest::CLOSED {
            self.put(fd, Interest::empty(), false);
            return refusal(libc::EOPNOTSUPP);
        } else {
            self.put(fd, change.new, change.once);
        }
        Ok(())
    }

    fn call(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.readable.words.clone_from(&self.reads.words);
        self.writable.words.clone_from(&self.writes.words);
        select::wait(&mut self.readable.words, &mut self.writable.words, timeout)
    }

    /// Removes closed descriptors, because one of them fails the whole call. epoll does the same
    /// when a descriptor is closed.
    fn forget_closed(&mut self) {
        for word in 0..self.reads.words.len() {
            let mut watched = self.reads.words[word] | self.writes.words[word];
            while let Some(fd) = take_bit(&mut watched, word) {
                if !is_open(fd as RawFd) {
                    self.put(fd, Interest::empty(), false);
                }
            }
        }
    }

    /// Appends the descriptors that the last call found ready.
    fn report(&mut self, ready: &mut Vec<FdReady>) {
        let before = ready.len();
        for word in 0..self.readable.words.len() {
            let mut found = self.readable.words[word] | self.writable.words[word];
            while let Some(fd) = take_bit(&mut found, word) {
                self.report_one(fd, ready);
            }
        }
        self.rotation.turn(&mut ready[before..]);
    }

    fn report_one(&mut self, fd: usize, ready: &mut Vec<FdReady>) {
        let mut bits = Ready::empty();
        bits.set(Ready::READ, self.readable.has(fd));
        bits.set(Ready::WRITE, self.writable.has(fd));
        ready.push(FdReady { fd: fd as RawFd, ready: bits });
        if self.once.has(fd) {
            self.put(fd, Interest::empty(), false);
        }
    }
}

/// Clears the lowest bit in a word of a set; returns its descriptor.
fn take_bit(bits: &mut u64, word: usize) -> Option<usize> {
    let bit = (*bits != 0).then(|| bits.trailing_zeros() as usize)?;
    *bits &= *bits - 1;
    Some(word * WORD_BITS + bit)
}

impl Backend for SelectBackend {
    fn name(&self) -> &'static str {
        BackendKind::Select.name()
    }

    fn features(&self) -> Features {
        BackendKind::Select.features()
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
        for change in changes {
            if let Err(refusal) = self.apply_one(*change) {
                refused.push(refusal);
            }
        }
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        let mut called = self.call(timeout);
        if matches!(&called, Err(error) if error.raw_os_error() == Some(libc::EBADF)) {
            self.forget_closed();
            called = self.call(Some(Duration::ZERO));
        }
        let found = called.map_err(|error| match error.raw_os_error() {
            // Another thread just closed one more. The next wait removes it.
            Some(libc::EBADF) => io::Error::from_raw_os_error(libc::EAGAIN),
            _ => error,
        })?;
        if found > 0 {
            self.report(ready);
        }
        Ok(Reported::All)
    }
}
