//! The epoll backend: one net change is one `epoll_ctl`, one wait fills a growing event array.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::{Backend, Change, FdReady, Refusal};
use crate::event::{Interest, Ready};
use crate::sys::epoll::{self, Epoll, EpollEvent, Op};

/// Length of the event array at the start (libevent's value).
const EVENTS_MIN: usize = 32;

/// Beyond this a longer array no longer saves calls, but delays the first handler of the turn.
const EVENTS_MAX: usize = 4096;

/// See the module's documentation.
pub(super) struct EpollBackend {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl EpollBackend {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, events: vec![EpollEvent::EMPTY; EVENTS_MIN] })
    }

    /// A full array means that more may be waiting: the next wait gets twice the room. What did
    /// not fit stays in the kernel's ready list, so nothing is lost by not asking again now.
    fn grow_if_full(&mut self, filled: usize) {
        if filled == self.events.len() && filled < EVENTS_MAX {
            self.events.resize(filled * 2, EpollEvent::EMPTY);
        }
    }

    fn apply_one(&self, change: Change) -> Result<(), Refusal> {
        let Some(op) = op_for(change.old, change.new) else { return Ok(()) };
        let mask = mask_of(change.new, change.edge);
        match (op, self.ctl(op, change.fd, mask)) {
            // The number was closed and opened again: the kernel dropped the old registration.
            (Op::Mod, Err(Refusal { errno: libc::ENOENT, .. })) => {
                self.ctl(Op::Add, change.fd, mask)
            }
            // A duplicate of a registered descriptor took its number.
            (Op::Add, Err(Refusal { errno: libc::EEXIST, .. })) => {
                self.ctl(Op::Mod, change.fd, mask)
            }
            // Closed, perhaps reused for a file epoll does not know: gone is what was asked for.
            (Op::Del, Err(Refusal { errno: libc::ENOENT | libc::EBADF | libc::EPERM, .. })) => {
                Ok(())
            }
            (_, result) => result,
        }
        .inspect_err(|_| {
            // A registration that we can no longer steer would report for ever.
            let _ = self.ctl(Op::Del, change.fd, 0);
        })
    }

    fn ctl(&self, op: Op, fd: RawFd, mask: u32) -> Result<(), Refusal> {
        let refusal = |error: io::Error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            Refusal { fd, op: op.name(), errno }
        };
        self.epoll.ctl(op, fd, mask).map_err(refusal)
    }
}

impl Backend for EpollBackend {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<Refusal>) {
        for change in changes {
            if let Err(refusal) = self.apply_one(*change) {
                refused.push(refusal);
            }
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<FdReady>) -> io::Result<()> {
        let filled = match self.epoll.wait(&mut self.events, timeout) {
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        let filled_events = self.events[..filled].iter();
        ready.extend(
            filled_events.map(|event| FdReady { fd: event.fd(), ready: ready_of(event.events()) }),
        );
        self.grow_if_full(filled);
        Ok(())
    }
}

/// The one operation that takes the kernel from `old` to `new`; `None` where both are nothing.
///
/// An unchanged mask is still a MOD: it re-arms an edge, and finds out about a reused number.
fn op_for(old: Interest, new: Interest) -> Option<Op> {
    match (old.is_empty(), new.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Op::Add),
        (false, false) => Some(Op::Mod),
        (false, true) => Some(Op::Del),
    }
}

fn mask_of(interest: Interest, edge: bool) -> u32 {
    let mut mask = if edge { epoll::ET } else { 0 };
    if interest.contains(Interest::READ) {
        mask |= epoll::IN;
    }
    if interest.contains(Interest::WRITE) {
        mask |= epoll::OUT;
    }
    if interest.contains(Interest::CLOSED) {
        mask |= epoll::RDHUP;
    }
    mask
}

/// An error, and a hang-up that is not merely the peer's half, wake the reader and the writer,
/// whichever finds out by trying, as in libevent. They also wake who waits for the peer's close:
/// libevent does not, and its loop spins on a level that nobody is told of.
fn ready_of(events: u32) -> Ready {
    if events & epoll::ERR != 0 || (events & epoll::HUP != 0 && events & epoll::RDHUP == 0) {
        return Ready::READ | Ready::WRITE | Ready::CLOSED;
    }
    let mut ready = Ready::empty();
    if events & epoll::IN != 0 {
        ready |= Ready::READ;
    }
    if events & epoll::OUT != 0 {
        ready |= Ready::WRITE;
    }
    if events & epoll::RDHUP != 0 {
        ready |= Ready::CLOSED;
    }
    ready
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::eventfd::EventFd;

    fn change(fd: &impl AsRawFd, old: Interest, new: Interest) -> Change {
        Change { fd: fd.as_raw_fd(), old, new, edge: false }
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

    #[test]
    fn the_operation_follows_from_old_and_new_alone() {
        for old in (0..=u8::MAX).filter_map(Interest::from_bits) {
            for new in (0..=u8::MAX).filter_map(Interest::from_bits) {
                let expected = match (old.bits(), new.bits()) {
                    (0, 0) => None,
                    (0, _) => Some(Op::Add),
                    (_, 0) => Some(Op::Del),
                    _ => Some(Op::Mod),
                };
                assert_eq!(op_for(old, new), expected, "{old:?} -> {new:?}");
            }
        }
    }

    #[test]
    fn errors_and_hang_ups_wake_everybody() {
        let all = Ready::READ | Ready::WRITE | Ready::CLOSED;
        assert_eq!(ready_of(epoll::ERR), all);
        assert_eq!(ready_of(epoll::HUP | epoll::IN), all);
        assert_eq!(
            ready_of(epoll::HUP | epoll::RDHUP | epoll::IN),
            Ready::READ | Ready::CLOSED,
            "an orderly close keeps its exact bits"
        );
        assert_eq!(ready_of(epoll::OUT), Ready::WRITE);
    }

    #[test]
    fn changing_what_is_not_registered_adds_it() {
        // What a number that was closed and given to another file looks like to the kernel.
        let mut backend = EpollBackend::new().unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        apply_all(&mut backend, &[change(&stream, Interest::WRITE, Interest::WRITE)]);
        let ready = FdReady { fd: stream.as_raw_fd(), ready: Ready::WRITE };
        assert_eq!(wait_now(&mut backend), [ready]);
    }

    #[test]
    fn adding_what_is_registered_changes_it() {
        let mut backend = EpollBackend::new().unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        apply_all(&mut backend, &[change(&stream, Interest::empty(), Interest::READ)]);
        apply_all(&mut backend, &[change(&stream, Interest::empty(), Interest::WRITE)]);
        assert_eq!(wait_now(&mut backend).len(), 1);
    }

    #[test]
    fn deleting_a_closed_descriptor_is_fine() {
        let mut backend = EpollBackend::new().unwrap();
        let eventfd = EventFd::new().unwrap();
        let (gone, unknown) = (eventfd.as_raw_fd(), EventFd::new().unwrap());
        drop(eventfd);
        apply_all(&mut backend, &[change(&gone, Interest::READ, Interest::empty())]);
        apply_all(&mut backend, &[change(&unknown, Interest::READ, Interest::empty())]);
    }

    #[test]
    fn a_regular_file_is_refused_with_the_reason() {
        let mut backend = EpollBackend::new().unwrap();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let mut refused = Vec::new();
        backend.apply(&[change(&file, Interest::empty(), Interest::READ)], &mut refused);
        let [refusal] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!(refusal.op, "epoll_ctl(ADD)");
        assert_eq!(refusal.errno, libc::EPERM);
    }

    #[test]
    fn the_event_array_doubles_when_full_up_to_its_maximum() {
        let mut backend = EpollBackend::new().unwrap();
        let ready: Vec<EventFd> = (0..100).map(|_| EventFd::new().unwrap()).collect();
        for eventfd in &ready {
            eventfd.signal().unwrap();
            apply_all(&mut backend, &[change(eventfd, Interest::empty(), Interest::READ)]);
        }
        let seen: Vec<usize> = (0..4).map(|_| wait_now(&mut backend).len()).collect();
        assert_eq!(seen, [32, 64, 100, 100]);
        for length in [EVENTS_MAX / 2, EVENTS_MAX, EVENTS_MAX] {
            backend.events.resize(length, EpollEvent::EMPTY);
            backend.grow_if_full(length);
            assert_eq!(backend.events.len(), EVENTS_MAX);
        }
    }
}
