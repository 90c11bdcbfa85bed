//! The io_uring backend: readiness by `IORING_OP_POLL_ADD`; changes, re-arming and the wait are
//! one `io_uring_enter(2)`.
//!
//! *Edges* are multishot polls: one completion when armed, if the descriptor is ready, and one at
//! each wake-up. Several completions between two waits become one report.
//!
//! *Levels* are one-shot polls, which the next wait's call arms again; a descriptor that is still
//! ready completes at once. A multishot poll would not do: it reports only wake-ups, and Linux 6.18
//! does not combine it with the level (`IORING_POLL_ADD_LEVEL`: `EINVAL`). Re-arming also avoids
//! stale reports. A completion holds what was true when it was posted, perhaps before a handler
//! read everything. So completions that came while handlers ran are armed again without a report;
//! the backend reports only those that come in the wait itself.
//!
//! *A change* cancels the poll in flight, if there is one, and adds another with a new generation.
//! Usually there is none: while an event's handler runs, its poll is completed. Updating a poll
//! would save an entry, but it fails if the poll just completed, which costs a second call. The
//! user data holds descriptor and generation, so the completions of a cancelled poll are dropped.
//!
//! The differences from epoll:
//!
//! - A poll in flight holds its file. If a descriptor is closed before its event is deleted, the
//!   file closes only at the deletion: only then the peer sees the end and the address is free.
//! - The kernel adds `POLLRDHUP` to every poll. A poll that waits only for writing would complete
//!   at once, again and again, after the peer closed its half. Such a poll becomes a multishot
//!   one, which completes for that close only once each time it is armed.
//! - A file that cannot be polled, a regular file, is always ready. Its edge is reported once.
//! - Polls belong to the thread that submitted them; the kernel cancels them when it ends. The
//!   thread that waits next arms them again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::mask::{mask_of, ready_of};
use super::{Backend, BackendKind, Change, FdReady, Features, RefusedChange, Reported};
use crate::event::{Interest, Ready};
use crate::sys::fd::is_open;
use crate::sys::uring::{Completion, Ring};

/// Length of the submission queue: more changes in a turn cost further calls.
const SUBMISSIONS: u32 = 256;

/// Length of the completion queue, as of epoll's event array. More completions wait in the kernel.
const COMPLETIONS: u32 = 4096;

/// How often one wait fetches overflowed completions, so that handlers run in between.
const FETCHES_MAX: usize = 16;

/// The user data of cancellations, whose completions are ignored: no descriptor has this number.
const CANCELLATION: u64 = u64::MAX;

/// The state of one descriptor's poll; the vector of entries is indexed by its number.
#[derive(Clone, Copy, Default)]
struct PollEntry {
    /// What the backend watches; empty if nothing.
    interest: Interest,
    edge: bool,
    once: bool,
    /// Whether a poll with `generation` is in flight.
    armed: bool,
    /// Whether no poll has completed since the last change: a failure then refuses that change.
    awaiting_first_cqe: bool,
    /// Whether it is in the queue of descriptors that the next wait arms.
    queued: bool,
    /// Whether the peer's close completes every poll, although the interest does not include it.
    half_closed: bool,
    generation: u32,
    /// The wait that last reported it, and the report's index in the caller's buffer.
    reported_in_wait: u32,
    report_index: u32,
}

impl PollEntry {
    fn user_data(&self, fd: RawFd) -> u64 {
        u64::from(self.generation) << 32 | fd as u64
    }

    fn is_multishot(&self) -> bool {
        self.half_closed || (self.edge && !self.once)
    }
}

/// When completions are processed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reap {
    /// Before a wait: they may be older than the handlers' last reads.
    BeforeWait,
    /// After a wait: they are new.
    AfterWait,
}

/// See the module's documentation.
pub(super) struct UringBackend {
    ring: Ring,
    entries: Vec<PollEntry>,
    /// Descriptors that the next wait arms.
    queue: Vec<RawFd>,
    /// Polls that the next wait cancels, by their user data: the ring did not take it before.
    uncancelled: Vec<u64>,
    /// Edges that completed before the wait, with their user data.
    deferred_edges: Vec<(u64, Ready)>,
    refused: Vec<RefusedChange>,
    /// Expected completions of cancelled polls, which must not end the next wait.
    cancelled: usize,
    /// Whether the next wait enters the ring in any case: in the first wait, because a sandbox may
    /// refuse that to the thread that waits, and after an error, to know whether it lasts.
    must_enter: bool,
    /// Counts waits.
    wait: u32,
}

impl UringBackend {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_entries(SUBMISSIONS, COMPLETIONS)
    }

    pub(super) fn with_entries(submissions: u32, completions: u32) -> io::Result<Self> {
        Ok(Self {
            ring: open_ring(submissions, completions)?,
            entries: Vec::new(),
            queue: Vec::new(),
            uncancelled: Vec::new(),
            deferred_edges: Vec::new(),
            refused: Vec::new(),
            cancelled: 0,
            must_enter: true,
            wait: 0,
        })
    }
}

/// Opens a ring; the error includes advice.
pub(super) fn open_ring(submissions: u32, completions: u32) -> io::Result<Ring> {
    Ring::new(submissions, completions).map_err(advise)
}

fn advise(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) => {
            "the kernel (sysctl kernel.io_uring_disabled) or a seccomp profile refuses io_uring; \
             allow it there, or use another backend"
        }
        Some(libc::ENOMEM) => "raise the limit of locked memory, or use another backend",
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files",
        _ => "io_uring is used as of Linux 5.19; use another backend",
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// Changes and submissions.
impl UringBackend {
    fn change(&mut self, change: Change) {
        let watch = !change.new.is_empty();
        let known = usize::try_from(change.fd).is_ok_and(|fd| fd < self.entries.len());
        if !known {
            if !watch {
                return;
            }
            // A large number without an open file must not make the vector as long.
            if !is_open(change.fd) {
                self.refuse(change.fd, libc::EBADF);
                return;
            }
            self.entries.resize(change.fd as usize + 1, PollEntry::default());
        }
        self.disarm(change.fd);
        let PollEntry { generation, reported_in_wait, report_index, .. } =
            self.entries[change.fd as usize];
        // A completion of the cancelled poll has the old generation, and is dropped.
        self.entries[change.fd as usize] = PollEntry {
            interest: change.new,
            edge: change.edge,
            once: change.once,
            awaiting_first_cqe: true,
            generation,
            reported_in_wait,
            report_index,
            ..PollEntry::default()
        };
        if watch {
            self.arm(change.fd);
        }
    }

    fn refuse(&mut self, fd: RawFd, errno: i32) {
        self.refused.push(RefusedChange { fd, op: "io_uring(POLL_ADD)", errno });
    }

    /// Arms the poll of a descriptor now, or in the next wait if the ring takes nothing now.
    fn arm(&mut self, fd: RawFd) {
        if !self.has_room() {
            return self.queue(fd);
        }
        let entry = &mut self.entries[fd as usize];
        entry.generation = entry.generation.wrapping_add(1);
        let (mask, user_data) = (mask_of(entry.interest), entry.user_data(fd));
        entry.armed = self.ring.push_poll(fd, mask, entry.is_multishot(), user_data);
    }

    /// Cancels the poll of a descriptor now, or in the next wait if the ring takes nothing now.
    fn disarm(&mut self, fd: RawFd) {
        let entry = &mut self.entries[fd as usize];
        if std::mem::take(&mut entry.armed) {
            let user_data = entry.user_data(fd);
            self.cancel(user_data);
        }
    }

    fn cancel(&mut self, user_data: u64) {
        if self.has_room() && self.ring.push_cancel(user_data, CANCELLATION) {
            self.cancelled += 1;
        } else {
            self.uncancelled.push(user_data);
        }
    }

    /// Whether the submission queue takes another operation. If it is full, submits it first. The
    /// wait that follows meets the same error, and returns it.
    fn has_room(&mut self) -> bool {
        !self.ring.is_full() || (self.enter(0, None).is_ok() && !self.ring.is_full())
    }

    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        match self.ring.enter(want, timeout) {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            result => result,
        }
    }

    fn queue(&mut self, fd: RawFd) {
        let entry = &mut self.entries[fd as usize];
        if !entry.queued {
            entry.queued = true;
            self.queue.push(fd);
        }
    }

    /// Makes up for what the ring did not take, and arms what is queued.
    fn arm_queued(&mut self) {
        for user_data in std::mem::take(&mut self.uncancelled) {
            self.cancel(user_data);
        }
        let length = self.queue.len();
        for index in 0..length {
            let fd = self.queue[index];
            // A change may have removed it from the queue and armed it itself.
            if std::mem::take(&mut self.entries[fd as usize].queued) {
                self.disarm(fd);
                self.arm(fd);
            }
        }
        self.queue.drain(..length);
    }
}

/// Completions.
impl UringBackend {
    /// Takes all completions.
    fn reap(&mut self, reap: Reap, ready: &mut Vec<FdReady>) -> io::Result<Reported> {
        let mut overflowed = false;
        for _ in 0..FETCHES_MAX {
            overflowed |= self.ring.overflowed();
            while let Some(completion) = self.ring.next() {
                self.settle(completion, reap, overflowed, ready);
            }
            if !self.ring.overflowed() {
                return Ok(Reported::All);
            }
            self.enter(0, None)?;
            self.cancelled = 0;
        }
        Ok(Reported::Part)
    }

    fn settle(
        &mut self,
        Completion { user_data, result, more }: Completion,
        reap: Reap,
        overflowed: bool,
        ready: &mut Vec<FdReady>,
    ) {
        let (fd, generation) = (user_data as u32 as RawFd, (user_data >> 32) as u32);
        let entry = usize::try_from(fd).ok().and_then(|fd| self.entries.get_mut(fd));
        let current = |entry: &&mut PollEntry| entry.armed && entry.generation == generation;
        let Some(entry) = entry.filter(current) else { return };
        entry.armed = more;
        if result < 0 {
            self.fail(fd, -result);
            return;
        }
        let awaiting_first_cqe = std::mem::take(&mut entry.awaiting_first_cqe);
        let bits = ready_of(result as u32) & Ready::from(entry.interest);
        if bits.is_empty() {
            // The peer closed its half, which completes every poll; see above.
            entry.half_closed = true;
            if !more {
                self.queue(fd);
            }
        } else if entry.edge {
            // The first completion is the last, without an overflow: a file without wake-ups.
            let always_ready = awaiting_first_cqe && !overflowed;
            if !more && !entry.once && !always_ready {
                self.queue(fd);
            }
            match reap {
                Reap::BeforeWait => self.deferred_edges.push((user_data, bits)),
                Reap::AfterWait => self.report(fd, bits, ready),
            }
        } else {
            self.queue(fd);
            if reap == Reap::AfterWait {
                self.report(fd, bits, ready);
            }
        }
    }

    fn fail(&mut self, fd: RawFd, errno: i32) {
        if errno == libc::ECANCELED {
            // The backend did not cancel it: the thread that submitted the poll has ended.
            self.entries[fd as usize].awaiting_first_cqe = false;
            self.queue(fd);
            return;
        }
        // If a poll fails when armed again, its descriptor was closed. As with epoll, drop it.
        let entry = &mut self.entries[fd as usize];
        entry.interest = Interest::empty();
        entry.queued = false;
        if entry.awaiting_first_cqe {
            self.refuse(fd, errno);
        }
    }

    fn report(&mut self, fd: RawFd, bits: Ready, ready: &mut Vec<FdReady>) {
        let entry = &mut self.entries[fd as usize];
        match ready.get_mut(entry.report_index as usize).filter(|report| report.fd == fd) {
            Some(report) if entry.reported_in_wait == self.wait => report.ready |= bits,
            _ => {
                entry.reported_in_wait = self.wait;
                entry.report_index = ready.len() as u32;
                ready.push(FdReady { fd, ready: bits });
            }
        }
        if entry.once {
            entry.interest = Interest::empty();
            entry.queued = false;
            // Cancel a multishot poll.
            self.disarm(fd);
        }
    }

    fn report_deferred_edges(&mut self, ready: &mut Vec<FdReady>) {
        for (user_data, bits) in std::mem::take(&mut self.deferred_edges) {
            let fd = user_data as u32 as RawFd;
            let entry = &self.entries[fd as usize];
            if entry.user_data(fd) == user_data && !entry.interest.is_empty() {
                self.report(fd, bits, ready);
            }
        }
    }
}

impl Backend for UringBackend {
    fn name(&self) -> &'static str {
        BackendKind::IoUring.name()
    }

    fn features(&self) -> Features {
        BackendKind::IoUring.features()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ring.as_fd())
    }

    fn arm(&mut self) -> io::Result<bool> {
        self.arm_queued();
        if self.ring.has_work() {
            self.enter(0, None)?;
            self.cancelled = 0;
        }
        let is_armed = self.queue.is_empty() && self.uncancelled.is_empty();
        Ok(!is_armed || !self.deferred_edges.is_empty() || !self.refused.is_empty())
    }

    fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
        for change in changes {
            self.change(*change);
        }
        // The next wait makes up for an error of the ring, or returns it if it lasts.
        let _ = self.enter(0, None);
        self.cancelled = 0;
        let _ = self.reap(Reap::BeforeWait, &mut Vec::new());
        refused.append(&mut self.refused);
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        self.apply_and_wait(&[], &mut Vec::new(), timeout, ready)
    }

    fn apply_and_wait(
        &mut self,
        changes: &[Change],
        refused: &mut Vec<RefusedChange>,
        timeout: Option<Duration>,
        ready: &mut Vec<FdReady>,
    ) -> io::Result<Reported> {
        self.wait = self.wait.wrapping_add(1);
        let before = ready.len();
        // An error recurs below. The changes of this call must be made in any case.
        let _ = self.reap(Reap::BeforeWait, ready);
        for change in changes {
            self.change(*change);
        }
        self.report_deferred_edges(ready);
        self.arm_queued();
        let is_complete = self.queue.is_empty() && self.uncancelled.is_empty();
        let has_news = ready.len() > before || !self.refused.is_empty() || !is_complete;
        let want = if has_news || timeout == Some(Duration::ZERO) { 0 } else { 1 + self.cancelled };
        let mut entered = Ok(());
        if want > 0 || self.must_enter || self.ring.has_work() {
            entered = self.enter(want, timeout);
            self.must_enter = entered.is_err();
        }
        self.cancelled = 0;
        // Also after an error: an interrupted wait has submitted, and may have completions.
        let reaped = self.reap(Reap::AfterWait, ready);
        refused.append(&mut self.refused);
        entered?;
        if is_complete { reaped } else { reaped.and(Ok(Reported::Part)) }
    }
}

impl Drop for UringBackend {
    /// Cancels all polls. A ring that is closed with polls in flight releases their files only some
    /// time later, and until then their addresses are in use.
    fn drop(&mut self) {
        let armed = self.entries.iter().any(|entry| entry.armed);
        if armed && self.has_room() && self.ring.push_cancel_all(CANCELLATION) {
            let _ = self.enter(1, Some(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use test_needs::Need;

    use super::super::ChangelistFlush;
    use super::*;
    use crate::backend::tests::suite::{edge, once, report, signalled};
    use crate::sys::eventfd::EventFd;
    use crate::sys::seccomp;

    const READ: Interest = Interest::READ;
    const NOTHING: Interest = Interest::empty();

    fn plain(fd: &impl AsRawFd, old: Interest, new: Interest) -> Change {
        Change::of(fd.as_raw_fd(), old, new)
    }

    fn turn(
        backend: &mut UringBackend,
        changes: &[Change],
        timeout: Option<Duration>,
    ) -> Vec<FdReady> {
        let (mut refused, mut ready) = (Vec::new(), Vec::new());
        backend.apply_and_wait(changes, &mut refused, timeout, &mut ready).unwrap();
        assert_eq!(refused, []);
        ready.sort_by_key(|report| report.fd);
        ready
    }

    fn now(backend: &mut UringBackend) -> Vec<FdReady> {
        turn(backend, &[], Some(Duration::ZERO))
    }

    #[test]
    fn changes_rearming_and_the_wait_are_one_call() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let levels: Vec<EventFd> = (0..50).map(|_| signalled()).collect();
        let adds: Vec<Change> = levels.iter().map(|fd| plain(fd, NOTHING, READ)).collect();
        assert_eq!(turn(&mut backend, &adds, None).len(), 50);
        assert_eq!(backend.ring.enters, 1);
        // Ten are deleted, ten changed, thirty armed again.
        let mut changes: Vec<Change> =
            levels[..10].iter().map(|fd| plain(fd, READ, NOTHING)).collect();
        changes.extend(levels[10..20].iter().map(|fd| edge(fd, READ, READ)));
        assert_eq!(turn(&mut backend, &changes, None).len(), 40);
        assert_eq!(backend.ring.enters, 2);
        assert_eq!(turn(&mut backend, &[], None).len(), 30);
        assert_eq!(backend.ring.enters, 3);
    }

    #[test]
    fn a_wait_that_must_not_block_costs_no_call_when_nothing_happened() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let eventfd = EventFd::new().unwrap();
        assert_eq!(turn(&mut backend, &[plain(&eventfd, NOTHING, READ)], Some(Duration::ZERO)), []);
        let before = backend.ring.enters;
        assert_eq!(now(&mut backend), []);
        assert_eq!(backend.ring.enters, before);
        eventfd.signal().unwrap();
        assert_eq!(now(&mut backend), [report(&eventfd, Ready::READ)]);
    }

    #[test]
    fn more_changes_than_the_queue_holds_are_submitted_midway() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::with_entries(4, 64).unwrap();
        let many: Vec<EventFd> = (0..10).map(|_| signalled()).collect();
        let adds: Vec<Change> = many.iter().map(|fd| plain(fd, NOTHING, READ)).collect();
        assert_eq!(turn(&mut backend, &adds, None).len(), 10);
        assert_eq!(backend.ring.enters, 3);
    }

    #[test]
    fn a_deletion_does_not_end_the_wait() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let many: Vec<EventFd> = (0..20).map(|_| EventFd::new().unwrap()).collect();
        let adds: Vec<Change> = many.iter().map(|fd| plain(fd, NOTHING, READ)).collect();
        assert_eq!(turn(&mut backend, &adds, Some(Duration::ZERO)), []);
        let (before, started) = (backend.ring.enters, Instant::now());
        let dels: Vec<Change> = many[1..].iter().map(|fd| plain(fd, READ, NOTHING)).collect();
        let timeout = Duration::from_millis(3);
        assert_eq!(turn(&mut backend, &dels, Some(timeout)), []);
        assert!(started.elapsed() >= timeout, "a cancelled poll's completion ended the wait");
        assert_eq!(backend.ring.enters, before + 1);
        many[0].signal().unwrap();
        assert_eq!(turn(&mut backend, &[], None), [report(&many[0], Ready::READ)]);
    }

    #[test]
    fn completions_of_a_deleted_or_replaced_poll_are_dropped() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let (stream, peer) = UnixStream::pair().unwrap();
        for add in [plain(&stream, NOTHING, READ), edge(&stream, NOTHING, READ)] {
            assert_eq!(turn(&mut backend, &[add], Some(Duration::ZERO)), []);
            (&peer).write_all(b"x").unwrap();
            // The completion is in the queue, or deferred, when the change comes.
            let mut refused = Vec::new();
            backend.apply(&[], &mut refused);
            let del = plain(&stream, READ, NOTHING);
            assert_eq!(turn(&mut backend, &[del], Some(Duration::ZERO)), []);
            let add = plain(&stream, NOTHING, Interest::WRITE);
            let answer = turn(&mut backend, &[add], Some(Duration::ZERO));
            assert_eq!(answer, [report(&stream, Ready::WRITE)]);
            (&stream).read_exact(&mut [0]).unwrap();
            let del = plain(&stream, Interest::WRITE, NOTHING);
            assert_eq!(turn(&mut backend, &[del], Some(Duration::ZERO)), []);
        }
    }

    #[test]
    fn a_closed_descriptor_really_closes_when_its_event_is_deleted() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let (stream, mut peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let number = stream.as_raw_fd();
        turn(&mut backend, &[plain(&number, NOTHING, READ)], Some(Duration::ZERO));
        drop(stream);
        let held = peer.read(&mut [0]).unwrap_err();
        assert_eq!(held.kind(), ErrorKind::WouldBlock, "the poll in flight holds the file");
        backend.apply(&[plain(&number, READ, NOTHING)], &mut Vec::new());
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the end of the stream");
    }

    #[test]
    fn dropping_the_backend_releases_all_files_at_once() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let (ends, peers): (Vec<_>, Vec<_>) = (0..20).map(|_| UnixStream::pair().unwrap()).unzip();
        let adds: Vec<Change> = ends.iter().map(|fd| plain(fd, NOTHING, READ)).collect();
        turn(&mut backend, &adds, Some(Duration::ZERO));
        drop((ends, backend));
        for mut peer in peers {
            peer.set_nonblocking(true).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the end of the stream");
        }
    }

    #[test]
    fn an_edge_of_a_regular_file_is_reported_once() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let add = edge(&file, NOTHING, READ);
        let answer = [report(&file, Ready::READ)];
        assert_eq!(turn(&mut backend, &[add], Some(Duration::ZERO)), answer);
        assert_eq!(now(&mut backend), []);
        assert_eq!(turn(&mut backend, &[edge(&file, READ, READ)], None), answer, "changed: again");
    }

    #[test]
    fn edges_that_overflow_the_completion_queue_are_not_lost() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::with_entries(8, 16).unwrap();
        let many: Vec<EventFd> = (0..100).map(|_| EventFd::new().unwrap()).collect();
        let adds: Vec<Change> = many.iter().map(|fd| edge(fd, NOTHING, READ)).collect();
        assert_eq!(turn(&mut backend, &adds, Some(Duration::ZERO)), []);
        for round in 0..3 {
            for eventfd in &many {
                eventfd.signal().unwrap();
            }
            let mut seen = HashSet::new();
            while seen.len() < many.len() {
                let some = turn(&mut backend, &[], Some(Duration::ZERO));
                assert!(!some.is_empty(), "round {round}: {} of {}", seen.len(), many.len());
                seen.extend(some.iter().map(|report| report.fd));
            }
            // A multishot poll that ended because of an overflow may be reported once more.
            while !now(&mut backend).is_empty() {}
        }
    }

    #[test]
    fn a_half_closed_peer_leads_to_one_report() {
        if test_needs::missing(Need::IoUring) {
            return;
        }
        let mut backend = UringBackend::new().unwrap();
        let (stream, peer) = UnixStream::pair().unwrap();
        crate::backend::tests::suite::fill(&stream);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let add = once(&stream, NOTHING, Interest::WRITE);
        assert_eq!(turn(&mut backend, &[add], Some(Duration::ZERO)), []);
        assert_eq!(now(&mut backend), []);
        crate::backend::tests::suite::empty(&peer);
        assert_eq!(now(&mut backend), [report(&stream, Ready::WRITE)]);
        assert_eq!(now(&mut backend), []);
        assert!(!backend.entries[stream.as_raw_fd() as usize].armed, "the multishot poll goes on");
    }

    #[test]
    fn a_refusal_by_the_kernel_is_an_error_with_reason_and_advice() {
        if seccomp::is_missing() {
            return;
        }
        for call in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter] {
            let refused = std::thread::spawn(move || {
                seccomp::refuse(call, libc::EPERM).unwrap();
                BackendKind::IoUring.open(ChangelistFlush::default()).map(drop).unwrap_err()
            });
            let refused = refused.join().unwrap().to_string();
            assert!(refused.starts_with("io_uring_setup: Operation not permitted"), "{refused}");
            assert!(refused.contains("kernel.io_uring_disabled"), "{refused}");
            assert!(refused.contains("seccomp"), "{refused}");
            assert!(refused.contains("another backend"), "{refused}");
        }
    }
}
