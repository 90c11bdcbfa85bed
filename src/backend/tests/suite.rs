//! The contract of a backend, tested on every kind with real descriptors.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use test_needs::Need;

use crate::backend::*;
use crate::sys::eventfd::EventFd;
use crate::sys::fd::duplicate;

const READ: Interest = Interest::READ;
const WRITE: Interest = Interest::WRITE;
const CLOSED: Interest = Interest::CLOSED;
const NOTHING: Interest = Interest::empty();

/// Every kind, and epoll with every way to flush.
pub(in crate::backend) fn every_way() -> impl Iterator<Item = (BackendKind, ChangelistFlush)> {
    BackendKind::usable().flat_map(|kind| {
        let flush = match kind {
            BackendKind::Epoll => vec![ChangelistFlush::EpollCtl, ChangelistFlush::Auto],
            // Where there is io_uring, epoll can flush through it.
            BackendKind::IoUring => {
                return vec![
                    (BackendKind::Epoll, ChangelistFlush::IoUring),
                    (kind, ChangelistFlush::Auto),
                ];
            }
            _ => vec![ChangelistFlush::Auto],
        };
        flush.into_iter().map(|flush| (kind, flush)).collect()
    })
}

/// A backend and what it refused.
pub(in crate::backend) struct TestBackend {
    pub(in crate::backend) kind: BackendKind,
    pub(in crate::backend) flush: ChangelistFlush,
    pub(in crate::backend) backend: Box<dyn Backend>,
    pub(in crate::backend) refused: Vec<RefusedChange>,
}

impl TestBackend {
    pub(in crate::backend) fn new(kind: BackendKind, flush: ChangelistFlush) -> Self {
        Self { flush, ..Self::of(kind, kind.open(flush).unwrap()) }
    }

    pub(in crate::backend) fn of(kind: BackendKind, backend: Box<dyn Backend>) -> Self {
        Self { kind, flush: ChangelistFlush::default(), backend, refused: Vec::new() }
    }

    pub(in crate::backend) fn has(&self, feature: Features) -> bool {
        self.backend.features().contains(feature)
    }

    pub(in crate::backend) fn apply(&mut self, change: Change) {
        self.backend.apply(&[change], &mut self.refused);
    }

    /// Applies a plain change that must not be refused.
    #[track_caller]
    pub(in crate::backend) fn change(&mut self, fd: &impl AsRawFd, old: Interest, new: Interest) {
        self.must(Change::of(fd.as_raw_fd(), old, new));
    }

    #[track_caller]
    pub(in crate::backend) fn must(&mut self, change: Change) {
        self.apply(change);
        assert_eq!(self.refused, [], "{:?}", self.kind);
    }

    #[track_caller]
    pub(in crate::backend) fn wait(&mut self, timeout: Option<Duration>) -> Vec<FdReady> {
        let mut ready = Vec::new();
        self.backend.wait(timeout, &mut ready).unwrap();
        ready
    }

    /// What is ready now, in the order of the descriptors.
    #[track_caller]
    pub(in crate::backend) fn now(&mut self) -> Vec<FdReady> {
        let mut ready = self.wait(Some(Duration::ZERO));
        ready.sort_by_key(|report| report.fd);
        ready
    }
}

pub(in crate::backend) fn report(fd: &impl AsRawFd, ready: Ready) -> FdReady {
    FdReady { fd: fd.as_raw_fd(), ready }
}

pub(in crate::backend) fn once(fd: &impl AsRawFd, old: Interest, new: Interest) -> Change {
    Change { once: true, ..Change::of(fd.as_raw_fd(), old, new) }
}

pub(in crate::backend) fn edge(fd: &impl AsRawFd, old: Interest, new: Interest) -> Change {
    Change { edge: true, ..Change::of(fd.as_raw_fd(), old, new) }
}

pub(in crate::backend) fn signalled() -> EventFd {
    let eventfd = EventFd::new().unwrap();
    eventfd.signal().unwrap();
    eventfd
}

/// A duplicate whose number no other test takes once it is closed: each call has its own range,
/// above all numbers that are given out lowest first.
pub(in crate::backend) fn of_private_number(fd: &impl AsRawFd) -> OwnedFd {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    // A table for as many descriptors as some containers allow would need gigabytes.
    let limit = rlimit::increase_nofile_limit(20_000).unwrap().min(20_000) as RawFd;
    duplicate(fd, limit / 4 * 3 + NEXT.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// Makes each function a test that runs once per way to set up a backend.
///
/// Each on a thread of its own: when a ring is closed, the kernel interrupts a later wait of the
/// thread that used it.
macro_rules! on_every_backend {
    ($($(#[$meta:meta])* fn $name:ident($test:ident) $body:block)*) => {
        $(#[test]
        $(#[$meta])*
        fn $name() {
            #[allow(unused_mut)]
            fn on(mut $test: TestBackend) $body
            for (kind, flush) in every_way() {
                eprintln!("on {kind:?}, {flush:?}");
                // With the name of the test, which is the name of its thread.
                let thread = std::thread::Builder::new();
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                let run = move || on(TestBackend::new(kind, flush));
                thread.name(name).spawn(run).unwrap().join().unwrap();
            }
        })*
    };
}

on_every_backend! {
    fn a_backend_has_the_name_and_the_features_of_its_kind(test) {
        assert_eq!(BackendKind::by_name(test.backend.name()), Some(test.kind));
        assert_eq!(test.backend.features(), test.kind.features());
    }

    fn a_level_is_reported_until_it_ends(test) {
        let eventfd = signalled();
        test.change(&eventfd, NOTHING, READ);
        for _ in 0..3 {
            assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        }
        eventfd.drain().unwrap();
        assert_eq!(test.now(), []);
        eventfd.signal().unwrap();
        assert_eq!(test.wait(None), [report(&eventfd, Ready::READ)]);
    }

    fn a_level_that_came_and_went_between_two_waits_is_not_reported(test) {
        let eventfd = EventFd::new().unwrap();
        test.change(&eventfd, NOTHING, READ);
        assert_eq!(test.now(), []);
        eventfd.signal().unwrap();
        eventfd.drain().unwrap();
        assert_eq!(test.now(), []);
        let ready_at_first = signalled();
        test.change(&ready_at_first, NOTHING, READ);
        ready_at_first.drain().unwrap();
        assert_eq!(test.now(), []);
    }

    fn a_once_registration_reports_once_until_the_next_change(test) {
        let eventfd = signalled();
        test.must(once(&eventfd, NOTHING, READ));
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        assert_eq!(test.now(), []);
        eventfd.signal().unwrap();
        assert_eq!(test.now(), []);
        test.must(Change { disarmed: true, ..once(&eventfd, NOTHING, READ) });
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        assert_eq!(test.now(), []);
        test.must(Change { disarmed: true, ..Change::of(eventfd.as_raw_fd(), NOTHING, READ) });
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)], "a plain one stays");
    }

    fn a_disarmed_registration_that_ended_is_created_again(test) {
        let eventfd = signalled();
        test.must(Change { disarmed: true, ..Change::of(eventfd.as_raw_fd(), NOTHING, READ) });
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
    }

    fn a_report_for_one_of_two_interests_ends_both(test) {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        test.must(once(&stream, NOTHING, READ | WRITE));
        assert_eq!(test.now(), [report(&stream, Ready::WRITE)]);
        peer.write_all(b"x").unwrap();
        assert_eq!(test.now(), []);
    }

    fn a_change_replaces_what_was_watched_for(test) {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        test.change(&stream, NOTHING, READ);
        assert_eq!(test.now(), []);
        test.change(&stream, READ, WRITE);
        assert_eq!(test.now(), [report(&stream, Ready::WRITE)]);
        test.change(&stream, WRITE, READ | WRITE);
        peer.write_all(b"x").unwrap();
        assert_eq!(test.now(), [report(&stream, Ready::READ | Ready::WRITE)]);
        test.change(&stream, READ | WRITE, READ);
        assert_eq!(test.now(), [report(&stream, Ready::READ)]);
    }

    fn a_deleted_descriptor_is_not_reported(test) {
        let (one, two) = (signalled(), signalled());
        test.change(&one, NOTHING, READ);
        test.change(&two, NOTHING, READ);
        assert_eq!(test.now().len(), 2);
        test.change(&one, READ, NOTHING);
        assert_eq!(test.now(), [report(&two, Ready::READ)]);
        test.change(&two, READ, NOTHING);
        assert_eq!(test.now(), []);
        test.change(&one, NOTHING, READ);
        assert_eq!(test.now(), [report(&one, Ready::READ)], "and can come back");
    }

    fn deleting_an_unknown_or_closed_descriptor_has_no_effect(test) {
        let (eventfd, unknown) = (of_private_number(&signalled()), signalled());
        let number = eventfd.as_raw_fd();
        test.change(&number, NOTHING, READ);
        drop(eventfd);
        test.change(&number, READ, NOTHING);
        test.change(&unknown, READ, NOTHING);
        assert_eq!(test.now(), []);
    }

    fn a_number_that_names_no_file_is_refused_and_the_wait_does_not_block(test) {
        let number = of_private_number(&signalled()).as_raw_fd();
        for fd in [number, -1] {
            test.apply(Change::of(fd, NOTHING, READ));
            let refused = std::mem::take(&mut test.refused);
            let is_bad = matches!(refused[..], [RefusedChange { errno: libc::EBADF, .. }]);
            assert!(is_bad, "{refused:?}");
            assert_eq!(refused[0].fd, fd);
            let (mut refused, mut ready) = (Vec::new(), Vec::new());
            let changes = [Change::of(fd, NOTHING, READ)];
            test.backend.apply_and_wait(&changes, &mut refused, None, &mut ready).unwrap();
            let is_bad = matches!(refused[..], [RefusedChange { errno: libc::EBADF, .. }]);
            assert!(is_bad, "{refused:?}");
            assert_eq!(ready, []);
        }
        assert_eq!(test.now(), [], "and is watched no longer");
    }

    fn changes_and_the_wait_can_be_one_call(test) {
        let (one, two) = (signalled(), signalled());
        let (mut refused, mut ready) = (Vec::new(), Vec::new());
        test.change(&one, NOTHING, READ);
        let changes = [
            Change::of(one.as_raw_fd(), READ, NOTHING),
            Change::of(two.as_raw_fd(), NOTHING, READ),
        ];
        test.backend.apply_and_wait(&changes, &mut refused, None, &mut ready).unwrap();
        assert_eq!((refused, ready), (vec![], vec![report(&two, Ready::READ)]));
    }

    fn a_closed_descriptor_is_forgotten_and_its_number_can_be_used_again(test) {
        let (source, other) = (signalled(), signalled());
        let watched = of_private_number(&source);
        let number = watched.as_raw_fd();
        test.change(&watched, NOTHING, READ);
        test.change(&other, NOTHING, READ);
        assert_eq!(test.now().len(), 2);
        // The last descriptor of the file is closed: its registration ends, also with epoll.
        drop((watched, source));
        for _ in 0..2 {
            let (now, mut ready) = (Some(Duration::ZERO), Vec::new());
            test.backend.apply_and_wait(&[], &mut test.refused, now, &mut ready).unwrap();
            assert_eq!(ready, [report(&other, Ready::READ)]);
        }
        assert_eq!(test.refused, [], "no change failed");
        let reused = duplicate(&signalled(), number).unwrap();
        assert_eq!(reused.as_raw_fd(), number, "the number is this test's own");
        // With and without the base noticing the close.
        for (old, new) in [(READ, READ), (READ, NOTHING), (NOTHING, READ)] {
            test.change(&reused, old, new);
        }
        assert_eq!(test.now(), [report(&other, Ready::READ), report(&reused, Ready::READ)]);
    }

    fn a_closed_descriptor_ends_no_later_wait_and_its_number_is_not_watched(test) {
        let source = signalled();
        let watched = of_private_number(&source);
        let number = watched.as_raw_fd();
        test.change(&watched, NOTHING, READ);
        assert_eq!(test.now().len(), 1);
        drop((watched, source));
        assert_eq!(test.now(), []);
        let (started, timeout) = (Instant::now(), Duration::from_millis(3));
        assert_eq!(test.wait(Some(timeout)), []);
        assert!(started.elapsed() >= timeout, "it spins");
        let reused = duplicate(&signalled(), number).unwrap();
        assert_eq!(reused.as_raw_fd(), number, "the number is this test's own");
        assert_eq!(test.now(), []);
    }

    fn a_duplicate_is_a_descriptor_of_its_own(test) {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let copy = stream.try_clone().unwrap();
        peer.write_all(b"x").unwrap();
        test.change(&stream, NOTHING, READ);
        test.change(&copy, NOTHING, READ);
        assert_eq!(test.now().len(), 2);
        test.change(&copy, READ, WRITE);
        test.change(&stream, READ, NOTHING);
        drop(stream);
        assert_eq!(test.now(), [report(&copy, Ready::WRITE)]);
    }

    fn an_error_wakes_every_interest(test) {
        for interest in [READ, WRITE, CLOSED, READ | WRITE] {
            if interest == CLOSED && !test.has(Features::EARLY_CLOSE) {
                continue;
            }
            let (reader, writer) = io::pipe().unwrap();
            fill(&writer);
            test.change(&writer, NOTHING, interest);
            drop(reader);
            let [answer] = test.wait(None)[..] else { panic!("one is watched") };
            assert!(answer.ready.contains(interest.into()), "{interest:?}: {answer:?}");
            test.change(&writer, interest, NOTHING);
        }
    }

    fn a_hang_up_wakes_every_interest(test) {
        for interest in [READ, WRITE, CLOSED] {
            // select reports a pipe without writers as readable only.
            if interest != READ && !test.has(Features::EARLY_CLOSE) {
                continue;
            }
            let (reader, writer) = io::pipe().unwrap();
            test.change(&reader, NOTHING, interest);
            assert_eq!(test.now(), []);
            drop(writer);
            let [answer] = test.wait(None)[..] else { panic!("one is watched") };
            assert!(answer.ready.contains(interest.into()), "{interest:?}: {answer:?}");
            test.change(&reader, interest, NOTHING);
        }
    }

    fn the_peers_close_is_reported_before_its_data_is_read_where_claimed(test) {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        if !test.has(Features::EARLY_CLOSE) {
            test.apply(Change::of(stream.as_raw_fd(), NOTHING, CLOSED));
            let [refusal] = test.refused[..] else { panic!("an unsupported interest is refused") };
            assert_eq!(refusal.errno, libc::EOPNOTSUPP);
            return;
        }
        test.change(&stream, NOTHING, CLOSED);
        peer.write_all(b"unread").unwrap();
        assert_eq!(test.now(), []);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        for _ in 0..2 {
            let [answer] = test.now()[..] else { panic!("the close is a level") };
            assert!(answer.ready.contains(Ready::CLOSED));
        }
    }

    fn a_writer_is_not_woken_by_the_peers_half_close(test) {
        let (stream, peer) = UnixStream::pair().unwrap();
        fill(&stream);
        test.change(&stream, NOTHING, WRITE);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let started = Instant::now();
        let short = Duration::from_millis(20);
        // A backend may wake up twice without a report, but must not spin.
        for _ in 0..4 {
            assert_eq!(test.wait(Some(short)), []);
        }
        assert!(started.elapsed() >= 2 * short, "it spins");
        for _ in 0..3 {
            empty(&peer);
            assert_eq!(test.now(), [report(&stream, Ready::WRITE)]);
            assert_eq!(test.now(), [report(&stream, Ready::WRITE)]);
            fill(&stream);
            assert_eq!(test.now(), []);
        }
    }

    fn an_edge_is_reported_once_where_claimed(test) {
        if !test.has(Features::EDGE) {
            return;
        }
        let eventfd = signalled();
        test.must(edge(&eventfd, NOTHING, READ));
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        assert_eq!(test.now(), []);
        eventfd.signal().unwrap();
        eventfd.signal().unwrap();
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)], "edges between waits are one");
        assert_eq!(test.now(), []);
        test.must(edge(&eventfd, READ, READ));
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)], "a change arms it again");
        test.must(edge(&eventfd, READ, NOTHING));
        eventfd.signal().unwrap();
        assert_eq!(test.now(), []);
    }

    fn a_one_shot_edge_is_reported_once_until_the_next_change(test) {
        if !test.has(Features::EDGE) {
            return;
        }
        let eventfd = signalled();
        test.must(Change { edge: true, ..once(&eventfd, NOTHING, READ) });
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
        eventfd.signal().unwrap();
        assert_eq!(test.now(), []);
        test.must(Change { edge: true, disarmed: true, ..once(&eventfd, NOTHING, READ) });
        assert_eq!(test.now(), [report(&eventfd, Ready::READ)]);
    }

    fn a_change_of_trigger_takes_effect(test) {
        if !test.has(Features::EDGE) {
            return;
        }
        let eventfd = signalled();
        test.must(edge(&eventfd, NOTHING, READ));
        assert_eq!((test.now().len(), test.now().len()), (1, 0));
        test.change(&eventfd, READ, READ);
        assert_eq!((test.now().len(), test.now().len()), (1, 1));
        test.must(edge(&eventfd, READ, READ));
        assert_eq!((test.now().len(), test.now().len()), (1, 0));
    }

    fn a_regular_file_is_always_ready_where_claimed_and_else_refused(test) {
        let file = File::open("Cargo.toml").unwrap();
        test.apply(Change::of(file.as_raw_fd(), NOTHING, READ));
        if test.has(Features::FDS) {
            assert_eq!(test.refused, []);
            for _ in 0..2 {
                let [answer] = test.now()[..] else { panic!("always ready") };
                assert!(answer.ready.contains(Ready::READ));
            }
        } else {
            let [refusal] = test.refused[..] else { panic!("refused") };
            assert_eq!(refusal.errno, libc::EPERM);
            assert_eq!(refusal.op, "epoll_ctl(ADD)");
        }
    }

    fn many_ready_descriptors_are_each_reported_once(test) {
        for count in [100, 5_000] {
            if count > 100 && test_needs::missing_for_part(Need::Descriptors(2 * count)) {
                continue;
            }
            let many: Vec<EventFd> = (0..count).map(|_| signalled()).collect();
            let changes: Vec<Change> = many.iter().map(|fd| once(fd, NOTHING, READ)).collect();
            test.backend.apply(&changes, &mut test.refused);
            assert_eq!(test.refused, []);
            let mut all = Vec::new();
            loop {
                let some = test.now();
                if some.is_empty() {
                    break;
                }
                all.extend(some);
            }
            all.sort_by_key(|answer| answer.fd);
            let mut expected: Vec<FdReady> =
                many.iter().map(|fd| report(fd, Ready::READ)).collect();
            expected.sort_by_key(|answer| answer.fd);
            assert!(all == expected, "{} of {count} reported", all.len());
            for fd in &many {
                test.change(fd, NOTHING, NOTHING);
            }
        }
    }

    fn no_level_among_many_is_starved(test) {
        let many: Vec<EventFd> = (0..300).map(|_| signalled()).collect();
        for fd in &many {
            test.change(fd, NOTHING, READ);
        }
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10 {
            seen.extend(test.now().iter().map(|answer| answer.fd));
        }
        assert_eq!(seen.len(), many.len());
    }

    fn a_timeout_counts_nanoseconds_and_is_never_early(test) {
        if test.kind == BackendKind::Epoll && test_needs::missing_for_part(Need::PreciseWait) {
            return;
        }
        let timeout = Duration::from_nanos(200_300);
        let mut shortest = Duration::MAX;
        for _ in 0..100 {
            let started = Instant::now();
            assert_eq!(test.wait(Some(timeout)), []);
            shortest = shortest.min(started.elapsed());
        }
        assert!(shortest >= timeout, "{shortest:?} is early");
        assert!(shortest < Duration::from_millis(1), "{shortest:?}: milliseconds");
    }

    fn the_longest_timeout_is_accepted(test) {
        let eventfd = signalled();
        test.change(&eventfd, NOTHING, READ);
        assert_eq!(test.wait(Some(Duration::MAX)), [report(&eventfd, Ready::READ)]);
    }

    fn a_backend_outlives_the_thread_that_made_it(test) {
        let (level, second) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let (first, other) = (level.as_raw_fd(), second.as_raw_fd());
        let (kind, flush) = (test.kind, test.flush);
        let mut test = std::thread::spawn(move || {
            let mut test = TestBackend::new(kind, flush);
            test.change(&first, NOTHING, READ);
            let edge = test.has(Features::EDGE);
            test.must(Change { edge, ..Change::of(other, NOTHING, READ) });
            assert_eq!(test.now(), []);
            test
        })
        .join()
        .unwrap();
        for eventfd in [&level, &second] {
            eventfd.signal().unwrap();
            let mut answers = Vec::new();
            while answers.is_empty() {
                answers = test.wait(None);
            }
            assert_eq!(answers, [report(eventfd, Ready::READ)]);
            eventfd.drain().unwrap();
            assert_eq!(test.now(), []);
        }
    }

    fn another_thread_ends_a_wait_without_a_timeout(test) {
        let eventfd = std::sync::Arc::new(EventFd::new().unwrap());
        test.change(&*eventfd, NOTHING, READ);
        for _ in 0..20 {
            let shared = std::sync::Arc::clone(&eventfd);
            let thread = std::thread::spawn(move || shared.signal().unwrap());
            let mut answers = Vec::new();
            while answers.is_empty() {
                answers = test.wait(None);
            }
            assert_eq!(answers, [report(&*eventfd, Ready::READ)]);
            thread.join().unwrap();
            eventfd.drain().unwrap();
        }
    }
}

#[test]
fn the_first_report_changes_from_wait_to_wait() {
    for kind in [BackendKind::Poll, BackendKind::Select] {
        let mut test = TestBackend::new(kind, ChangelistFlush::default());
        let many: Vec<EventFd> = (0..40).map(|_| signalled()).collect();
        for fd in &many {
            test.change(fd, NOTHING, READ);
        }
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..10 * many.len() {
            let ready = test.wait(Some(Duration::ZERO));
            assert_eq!(ready.len(), many.len());
            firsts.insert(ready[0].fd);
        }
        assert_eq!(firsts.len(), many.len(), "{kind:?}");
    }
}

/// Writes until the buffer is full.
pub(in crate::backend) fn fill(writer: &impl AsFd) {
    let mut copy = File::from(writer.as_fd().try_clone_to_owned().unwrap());
    nonblocking(writer);
    while copy.write(&[0; 65_536]).is_ok() {}
}

/// Reads until the buffer is empty.
pub(in crate::backend) fn empty(reader: &impl AsFd) {
    let mut copy = File::from(reader.as_fd().try_clone_to_owned().unwrap());
    nonblocking(reader);
    while matches!(copy.read(&mut [0; 65_536]), Ok(1..)) {}
}

fn nonblocking(fd: &impl AsFd) {
    // The mode belongs to the open file, so any handle of it sets the mode.
    let stream = UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap());
    stream.set_nonblocking(true).unwrap();
}
