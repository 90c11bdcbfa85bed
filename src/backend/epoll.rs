//! The epoll backend: one net change is one `epoll_ctl`, one wait fills a growing event array.
//!
//! A flush of many changes can go through an io_uring; see [`ChangelistFlush`] and `flush.rs`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::flush::Flush;
use super::mask::{mask_of, ready_of};
use super::{
    Backend, BackendKind, Change, ChangelistFlush, FdReady, Features, RefusedChange, Reported,
};
use crate::error::{Error, Result};
use crate::sys::epoll::{self, Epoll, EpollEvent, Op};
use crate::sys::uring::CtlRequest;

/// Initial length of the event array (libevent's value).
const EVENTS_MIN: usize = 32;

/// Maximum length. A longer array saves no more calls and delays the first handler of the turn.
const EVENTS_MAX: usize = 4096;

/// See the module's documentation.
pub(super) struct EpollBackend {
    epoll: Epoll,
    events: Vec<EpollEvent>,
    flush: Flush,
}

impl EpollBackend {
    pub(super) fn new(flush: ChangelistFlush) -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new().map_err(Error::os("epoll_create1"))?,
            events: vec![EpollEvent::EMPTY; EVENTS_MIN],
            flush: Flush::new(flush).map_err(Error::os("io_uring_setup"))?,
        })
    }

    /// Doubles a full array for the next wait, because more descriptors may be ready. Those that
    /// did not fit stay in the kernel's ready list, so nothing is lost until then.
    fn grow_if_full(&mut self, filled: usize) -> Reported {
        if filled < self.events.len() {
            return Reported::All;
        }
        self.grow(filled);
        Reported::Part
    }

    #[cold]
    fn grow(&mut self, filled: usize) {
        if filled < EVENTS_MAX {
            self.events.resize(filled * 2, EpollEvent::EMPTY);
        }
    }

    /// Applies all changes through the ring; false if there is none or it failed. The caller may
    /// then apply all of them again, which has the same effect as applying them once.
    #[inline(never)]
    fn apply_by_ring(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) -> bool {
        let Some(ring) = self.flush.ring_for(changes.len()) else { return false };
        let ops = || changes.iter().filter_map(|change| Some((*change, op_for(*change)?)));
        let request =
            |(change, op): (Change, _)| CtlRequest::new(op, change.fd, epoll_mask_of(change));
        let Ok(results) = ring.make(&self.epoll, ops().map(request)) else {
            self.flush = Flush::Calls;
            return false;
        };
        for ((change, op), result) in ops().zip(results) {
            if result != 0 {
                refused.extend(recover(&self.epoll, change, op, -result).err());
            }
        }
        true
    }
}

type CtlResult = std::result::Result<(), RefusedChange>;

#[inline]
fn apply_one(epoll: &Epoll, change: Change, refused: &mut Vec<RefusedChange>) {
    let Some(op) = op_for(change) else { return };
    if let Err(refusal) = ctl(epoll, op, change.fd, epoll_mask_of(change)) {
        refused.extend(recover(epoll, change, op, refusal.errno).err());
    }
}

/// The result of a change whose `op` the kernel refused, after libevent's recoveries.
#[cold]
fn recover(epoll: &Epoll, change: Change, op: Op, errno: i32) -> CtlResult {
    let (fd, mask) = (change.fd, epoll_mask_of(change));
    let result = match (op, errno) {
        // The descriptor was closed and its number reused: the kernel dropped the registration.
        (Op::Mod, libc::ENOENT) => ctl(epoll, Op::Add, fd, mask),
        // A duplicate of a registered descriptor took its number.
        (Op::Add, libc::EEXIST) => ctl(epoll, Op::Mod, fd, mask),
        // The descriptor was closed, and its number perhaps reused: it is gone, as requested.
        (Op::Del, libc::ENOENT | libc::EBADF | libc::EPERM) => Ok(()),
        _ => Err(RefusedChange { fd, op: op.name(), errno }),
    };
    result.inspect_err(|_| {
        // A registration that the base no longer tracks would report for ever.
        let _ = ctl(epoll, Op::Del, fd, 0);
    })
}

#[inline]
fn ctl(epoll: &Epoll, op: Op, fd: RawFd, mask: u32) -> CtlResult {
    let refusal = |error: io::Error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        RefusedChange { fd, op: op.name(), errno }
    };
    epoll.ctl(op, fd, mask).map_err(refusal)
}

impl Backend for EpollBackend {
    fn name(&self) -> &'static str {
        BackendKind::Epoll.name()
    }

    fn features(&self) -> Features {
        BackendKind::Epoll.features()
    }

    fn event_capacity(&self) -> usize {
        self.events.len()
    }

    fn forgets_closed(&self) -> bool {
        true
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
        let has_ring = self.flush.ring_for(changes.len()).is_some();
        if !(has_ring && self.apply_by_ring(changes, refused)) {
            for change in changes {
                apply_one(&self.epoll, *change, refused);
            }
        }
    }

    #[inline(always)] // into `apply_and_wait`
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        let filled = self.epoll.wait(&mut self.events, timeout)?;
        let filled_events = self.events[..filled].iter();
        ready.extend(
            filled_events.map(|event| FdReady { fd: event.fd(), ready: ready_of(event.events()) }),
        );
        Ok(self.grow_if_full(filled))
    }
}

/// The operation for a change; `None` if the kernel needs none.
///
/// An unchanged mask is still a MOD: it re-arms an edge, and detects a reused number.
fn op_for(change: Change) -> Option<Op> {
    let known = !change.old.is_empty() || change.disarmed;
    match (known, change.new.is_empty()) {
        (false, true) => None,
        (false, false) => Some(Op::Add),
        (true, false) => Some(Op::Mod),
        (true, true) => Some(Op::Del),
    }
}

fn epoll_mask_of(change: Change) -> u32 {
    let edge = if change.edge { epoll::ET } else { 0 };
    let once = if change.once { epoll::ONESHOT } else { 0 };
    mask_of(change.new) | edge | once
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::event::{Interest, Ready};
    use crate::sys::eventfd::EventFd;

    fn change(fd: &impl AsRawFd, old: Interest, new: Interest) -> Change {
        Change::of(fd.as_raw_fd(), old, new)
    }

    #[track_caller]
    fn apply_all(backend: &mut EpollBackend, changes: &[Change]) {
        let mut refused = Vec::new();
        backend.apply(changes, &mut refused);
        assert!(refused.is_empty(), "{refused:?}");
    }

    fn wait_now(backend: &mut EpollBackend) -> Vec<FdReady> {
        let mut ready = Vec::new();
        backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
        ready
    }

    /// One row of libevent's table: what the kernel watches, and per bit whether it was added,
    /// deleted or left alone since. `None` if a bit is both.
    fn row(old: Interest, add: Interest, del: Interest) -> Option<Option<Op>> {
        if add.intersects(del) {
            return None;
        }
        if add.is_empty() && del.is_empty() {
            // No change is ever made of this one.
            return Some(None);
        }
        // A deletion of what the kernel does not know is made only of what may be left disarmed.
        let disarmed = old.is_empty() && add.is_empty();
        let new = (old - del) | add;
        Some(op_for(Change { disarmed, ..Change::of(0, old, new) }))
    }

    #[test]
    fn the_operation_follows_libevents_five_rules_in_all_216_legal_rows() {
        let sets: Vec<Interest> = (0..=u8::MAX).filter_map(Interest::from_bits).collect();
        assert_eq!(sets.len(), 8);
        let (mut counts, mut illegal) = ([0; 4], 0);
        for &old in &sets {
            for (&add, &del) in sets.iter().flat_map(|add| sets.iter().map(move |del| (add, del))) {
                let Some(op) = row(old, add, del) else {
                    illegal += 1;
                    continue;
                };
                let expected = match (!add.is_empty(), !del.is_empty()) {
                    (true, _) if old.is_empty() => Some(Op::Add),
                    (true, _) => Some(Op::Mod),
                    (false, true) if !(old - del).is_empty() => Some(Op::Mod),
                    (false, true) => Some(Op::Del),
                    (false, false) => None,
                };
                assert_eq!(op, expected, "{old:?} + {add:?} - {del:?}");
                counts[op.map_or(0, |op| 1 + op as usize)] += 1;
            }
        }
        assert_eq!(counts, [8, 19, 163, 26], "none, ADD, MOD, DEL");
        assert_eq!(illegal, 296);
    }

    #[test]
    fn a_disarmed_registration_is_modified_not_added() {
        let change = |new| Change { disarmed: true, ..Change::of(0, Interest::empty(), new) };
        assert_eq!(op_for(change(Interest::READ)), Some(Op::Mod));
        assert_eq!(op_for(change(Interest::empty())), Some(Op::Del));
        let nothing = Change::of(0, Interest::empty(), Interest::empty());
        assert_eq!(op_for(nothing), None);
    }

    #[test]
    fn edge_and_once_are_bits_of_the_mask() {
        for (edge, once) in [(false, false), (false, true), (true, false), (true, true)] {
            let change = Change { edge, once, ..Change::of(0, Interest::empty(), Interest::READ) };
            let mask = epoll_mask_of(change);
            assert_eq!(mask & epoll::IN, epoll::IN);
            assert_eq!(mask & epoll::ET != 0, edge);
            assert_eq!(mask & epoll::ONESHOT != 0, once);
        }
    }

    #[test]
    fn changing_an_unregistered_descriptor_adds_it() {
        // What a number that was closed and given to another file looks like to the kernel.
        let mut backend = EpollBackend::new(ChangelistFlush::EpollCtl).unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        apply_all(&mut backend, &[change(&stream, Interest::WRITE, Interest::WRITE)]);
        let ready = FdReady { fd: stream.as_raw_fd(), ready: Ready::WRITE };
        assert_eq!(wait_now(&mut backend), [ready]);
    }

    #[test]
    fn adding_a_registered_descriptor_changes_it() {
        let mut backend = EpollBackend::new(ChangelistFlush::EpollCtl).unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        apply_all(&mut backend, &[change(&stream, Interest::empty(), Interest::READ)]);
        apply_all(&mut backend, &[change(&stream, Interest::empty(), Interest::WRITE)]);
        assert_eq!(wait_now(&mut backend).len(), 1);
    }

    #[test]
    fn deleting_a_closed_descriptor_is_fine() {
        let mut backend = EpollBackend::new(ChangelistFlush::EpollCtl).unwrap();
        let eventfd = EventFd::new().unwrap();
        let (gone, unknown) = (eventfd.as_raw_fd(), EventFd::new().unwrap());
        drop(eventfd);
        apply_all(&mut backend, &[change(&gone, Interest::READ, Interest::empty())]);
        apply_all(&mut backend, &[change(&unknown, Interest::READ, Interest::empty())]);
    }

    #[test]
    fn the_event_array_doubles_when_full_up_to_its_maximum() {
        let mut backend = EpollBackend::new(ChangelistFlush::EpollCtl).unwrap();
        let ready: Vec<EventFd> = (0..100).map(|_| EventFd::new().unwrap()).collect();
        for eventfd in &ready {
            eventfd.signal().unwrap();
            apply_all(&mut backend, &[change(eventfd, Interest::empty(), Interest::READ)]);
        }
        let mut seen = Vec::new();
        for capacity in [32, 64, 128, 128] {
            assert_eq!(backend.event_capacity(), capacity);
            seen.push(wait_now(&mut backend).len());
        }
        assert_eq!(seen, [32, 64, 100, 100]);
        for length in [EVENTS_MAX / 2, EVENTS_MAX, EVENTS_MAX] {
            backend.events.resize(length, EpollEvent::EMPTY);
            backend.grow_if_full(length);
            assert_eq!(backend.events.len(), EVENTS_MAX);
        }
    }
}
