//! Random operations on every backend against a naive model that computes the expected reports.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;

use test_needs::Need;

use super::suite::{TestBackend, empty, every_way, fill};
use crate::backend::*;

/// A watched stream, its peer, and their state.
struct WatchedStream {
    stream: UnixStream,
    peer: UnixStream,
    watched: Interest,
    once: bool,
    /// Whether the kernel may hold a registration that a report disarmed.
    disarmed: bool,
    unread: bool,
    full: bool,
    peer_ended: bool,
}

impl WatchedStream {
    fn new() -> Self {
        let (stream, peer) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        Self {
            stream,
            peer,
            watched: Interest::empty(),
            once: false,
            disarmed: false,
            unread: false,
            full: false,
            peer_ended: false,
        }
    }

    fn truth(&self) -> Ready {
        let mut truth = Ready::empty();
        truth.set(Ready::READ, self.unread || self.peer_ended);
        truth.set(Ready::WRITE, !self.full);
        truth.set(Ready::CLOSED, self.peer_ended);
        truth & Ready::from(self.watched)
    }

    fn change(&mut self, new: Interest, once: bool) -> Change {
        let (fd, disarmed) = (self.stream.as_raw_fd(), self.disarmed);
        let old = std::mem::replace(&mut self.watched, new);
        self.once = once;
        self.disarmed &= new.is_empty();
        Change { once, disarmed, ..Change::of(fd, old, new) }
    }
}

/// What may happen between two waits.
#[derive(Clone, Debug)]
enum Step {
    Change { interest: u8, once: bool, deferred: bool },
    Send,
    Receive,
    Fill,
    Empty,
    End,
    Reopen,
    Wait,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let change = (0..8_u8, any::<bool>(), any::<bool>())
        .prop_map(|(interest, once, deferred)| Step::Change { interest, once, deferred });
    let step = prop_oneof![
        6 => change,
        2 => Just(Step::Send),
        2 => Just(Step::Receive),
        1 => Just(Step::Fill),
        1 => Just(Step::Empty),
        1 => Just(Step::End),
        1 => Just(Step::Reopen),
        6 => Just(Step::Wait),
    ];
    (0..5_usize, step)
}

fn interest_of(bits: u8, has_closed: bool) -> Interest {
    let mut interest = Interest::empty();
    interest.set(Interest::READ, bits & 1 != 0);
    interest.set(Interest::WRITE, bits & 2 != 0);
    interest.set(Interest::CLOSED, bits & 4 != 0 && has_closed);
    interest
}

/// A backend, the streams it watches, and the changes that the next wait applies.
struct Run {
    test: TestBackend,
    streams: Vec<WatchedStream>,
    deferred: Vec<Change>,
}

impl Run {
    fn of(test: TestBackend) -> Self {
        Self { test, streams: (0..5).map(|_| WatchedStream::new()).collect(), deferred: Vec::new() }
    }

    /// Changes of one descriptor keep their order, deferred or not.
    fn change(&mut self, change: Change, deferred: bool) {
        if deferred {
            self.deferred.push(change);
        } else {
            for change in self.deferred.drain(..).chain([change]) {
                self.test.apply(change);
            }
        }
    }

    fn step(&mut self, at: usize, step: &Step) {
        let has_closed = self.test.has(Features::EARLY_CLOSE);
        let stream = &mut self.streams[at];
        match *step {
            Step::Change { interest, once, deferred } => {
                let change = stream.change(interest_of(interest, has_closed), once);
                if !(change.old.is_empty() && change.new.is_empty()) {
                    self.change(change, deferred);
                }
            }
            Step::Send if !stream.peer_ended && !stream.unread => {
                stream.unread = true;
                stream.peer.write_all(b"x").unwrap();
            }
            Step::Receive if stream.unread => {
                stream.unread = false;
                stream.stream.read_exact(&mut [0]).unwrap();
            }
            Step::Fill if !stream.full => {
                stream.full = true;
                fill(&stream.stream);
            }
            Step::Empty if stream.full => {
                stream.full = false;
                empty(&stream.peer);
            }
            Step::End => {
                stream.peer_ended = true;
                stream.peer.shutdown(Shutdown::Write).unwrap();
            }
            Step::Reopen => {
                // The owner deletes before it closes; another file takes the number at once.
                let change = stream.change(Interest::empty(), false);
                self.change(change, false);
                self.streams[at] = WatchedStream::new();
            }
            Step::Wait => self.wait(),
            _ => {}
        }
    }

    fn wait(&mut self) {
        let mut ready = Vec::new();
        let (test, now) = (&mut self.test, Some(Duration::ZERO));
        test.backend.apply_and_wait(&self.deferred, &mut test.refused, now, &mut ready).unwrap();
        self.deferred.clear();
        assert_eq!(self.test.refused, []);
        let mut expected = Vec::new();
        for stream in &mut self.streams {
            let truth = stream.truth();
            if truth.is_empty() {
                continue;
            }
            expected.push(FdReady { fd: stream.stream.as_raw_fd(), ready: truth });
            if stream.once {
                stream.watched = Interest::empty();
                stream.disarmed = true;
            }
        }
        // The base masks bits outside the interest.
        let masked = |report: FdReady| {
            let of = expected.iter().find(|expected| expected.fd == report.fd);
            FdReady { ready: of.map_or(report.ready, |of| report.ready & of.ready), ..report }
        };
        let mut reports: Vec<FdReady> = ready.into_iter().map(masked).collect();
        reports.sort_by_key(|report| report.fd);
        expected.sort_by_key(|expected| expected.fd);
        assert_eq!(reports, expected, "{:?}", self.test.kind);
    }
}

fn run(test: TestBackend, steps: &[(usize, Step)]) {
    let mut run = Run::of(test);
    for (at, step) in steps {
        run.step(*at, step);
    }
    run.wait();
}

proptest! {
    #[test]
    fn every_backend_reports_what_is_true_and_nothing_else(
        steps in prop::collection::vec(step(), 1..120))
    {
        for (kind, flush) in every_way() {
            run(TestBackend::new(kind, flush), &steps);
        }
    }

    #[test]
    fn a_ring_that_is_always_too_small_reports_the_same(
        steps in prop::collection::vec(step(), 1..120))
    {
        if test_needs::missing(Need::IoUring) {
            return Ok(());
        }
        let backend = uring::UringBackend::with_entries(1, 2).unwrap();
        run(TestBackend::of(BackendKind::IoUring, Box::new(backend)), &steps);
    }
}
