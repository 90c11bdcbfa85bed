//! Descriptors closed while their events are pending, and other files that reuse their numbers.
//!
//! It is a program of its own and runs one test at a time. The tests depend on the number that the
//! next descriptor gets, and no other test may open one under a number they closed.

mod common;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use evshard::{
    Config, EventBase, EventId, EventSpec, Fired, Interest, LoopFlags, Ready, Registry, Token,
};

/// Runs a test with every way to set up a base, while no other test of this program runs. The lock
/// comes first, because trying the backends opens descriptors, too.
fn alone_on_every_base(test: impl Fn(Config)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _alone = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for config in common::all_configs() {
        test(config);
    }
}

fn count(_: &mut Registry<u32>, calls: &mut u32, fired: Fired) {
    assert_eq!(fired.ready, Ready::READ);
    *calls += 1;
}

/// A pair whose first end is readable.
fn readable_pair() -> (UnixStream, UnixStream) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.write_all(b"x").unwrap();
    (reader, writer)
}

fn spec(reader: &UnixStream) -> EventSpec {
    EventSpec::io(reader, Interest::READ).persist()
}

#[test]
fn closing_a_watched_descriptor_is_tolerated_and_its_number_can_be_watched_again() {
    alone_on_every_base(|config| {
        let mut base = EventBase::<u32>::new(config).unwrap();
        let poll = |base: &mut EventBase<u32>| {
            let mut calls = 0;
            base.run_with(&mut calls, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
            calls
        };
        let watch = |base: &mut EventBase<u32>, spec: EventSpec| {
            let id = base.registry().create(spec, count);
            base.registry().add(id, None).unwrap();
            id
        };

        let first = readable_pair();
        let number = first.0.as_raw_fd();
        let id = watch(&mut base, spec(&first.0));
        assert_eq!(poll(&mut base), 1);

        // Closed before it is deleted, reopened, and both changes made in one turn.
        drop(first);
        let second = readable_pair();
        assert_eq!(second.0.as_raw_fd(), number, "the kernel gives the lowest free number");
        base.registry().free(id);
        let id = watch(&mut base, spec(&second.0));
        assert_eq!(poll(&mut base), 1, "the new file is watched");

        // Closed and never deleted: nothing fires, and nothing breaks when it is.
        drop(second);
        assert_eq!(poll(&mut base), 0);
        base.registry().free(id);
        assert_eq!(poll(&mut base), 0);

        // An owner that promises not to close while its event exists, frees it, and then closes.
        let third = readable_pair();
        let id = watch(&mut base, spec(&third.0).stable_fd());
        assert_eq!(poll(&mut base), 1);
        let idle = base.registry().create(spec(&third.0).stable_fd(), count);
        base.registry().del(id);
        base.registry().free(id);
        drop(third);
        let fourth = readable_pair();
        assert_eq!(fourth.0.as_raw_fd(), number);
        let id = watch(&mut base, spec(&fourth.0).stable_fd());
        assert_eq!(poll(&mut base), 1, "the new file is watched in spite of the promise");
        base.registry().free(idle);
        base.registry().free(id);
    });
}

type Log = Vec<(u64, Ready)>;

fn log(_: &mut Registry<Log>, log: &mut Log, fired: Fired) {
    log.push((fired.token.0, fired.ready));
}

fn watch(base: &mut EventBase<Log>, reader: &UnixStream, token: u64) -> EventId {
    let spec = EventSpec::io(reader, Interest::READ).persist().token(Token(token));
    let id = base.registry().create(spec, log);
    base.registry().add(id, None).unwrap();
    id
}

fn poll(base: &mut EventBase<Log>) -> Log {
    let mut fired = Log::new();
    base.run_with(&mut fired, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    fired.sort_unstable_by_key(|(token, _)| *token);
    fired
}

#[test]
fn a_duplicate_is_watched_apart_from_its_original() {
    alone_on_every_base(|config| {
        let mut base = EventBase::new(config).unwrap();
        let (reader, _writer) = readable_pair();
        let duplicate = reader.try_clone().unwrap();
        let original = watch(&mut base, &reader, 1);
        let copy = watch(&mut base, &duplicate, 2);
        assert_eq!(poll(&mut base), [(1, Ready::READ), (2, Ready::READ)]);
        base.registry().free(original);
        // With deferred changes this turn flushes the deletion; then it may be closed.
        assert_eq!(poll(&mut base), [(2, Ready::READ)]);
        drop(reader);
        assert_eq!(poll(&mut base), [(2, Ready::READ)]);
        let events = base.registry().stats().events;
        poll(&mut base);
        assert_eq!(base.registry().stats().events, events + 1, "the other is not reported");
        base.registry().free(copy);
        assert_eq!(poll(&mut base), []);
    });
}

#[test]
fn a_duplicate_that_takes_a_watched_number_is_watched_in_its_place() {
    alone_on_every_base(|config| {
        let mut base = EventBase::new(config).unwrap();
        let (first, _kept) = readable_pair();
        let (second, _kept) = readable_pair();
        let number = first.as_raw_fd();
        let id = watch(&mut base, &first, 1);
        assert_eq!(poll(&mut base), [(1, Ready::READ)]);
        base.registry().free(id);
        drop(first);
        let duplicate = second.try_clone().unwrap();
        assert_eq!(duplicate.as_raw_fd(), number, "the kernel gives the lowest free number");
        watch(&mut base, &duplicate, 2);
        assert_eq!(poll(&mut base), [(2, Ready::READ)]);
    });
}

#[test]
fn a_descriptor_closed_before_the_flush_does_no_harm() {
    alone_on_every_base(|config| {
        let mut base = EventBase::new(config).unwrap();
        let (other, _writer) = readable_pair();
        watch(&mut base, &other, 1);
        poll(&mut base);
        let (closed, peer) = readable_pair();
        let id = watch(&mut base, &closed, 2);
        drop((closed, peer));
        for _ in 0..3 {
            let mut fired = poll(&mut base);
            fired.retain(|(token, _)| *token == 1);
            assert_eq!(fired, [(1, Ready::READ)]);
        }
        base.registry().free(id);
        assert_eq!(poll(&mut base), [(1, Ready::READ)]);
        let events = base.registry().stats().events;
        poll(&mut base);
        assert_eq!(base.registry().stats().events, events + 1, "and nothing else is reported");
    });
}

#[test]
fn changes_of_a_closed_descriptor_that_cancel_out_are_forgotten() {
    alone_on_every_base(|config| {
        let mut base = EventBase::new(config).unwrap();
        let (closed, peer) = readable_pair();
        let number = closed.as_raw_fd();
        let id = watch(&mut base, &closed, 1);
        base.registry().free(id);
        drop((closed, peer));
        assert_eq!(poll(&mut base), []);
        let (reader, _writer) = readable_pair();
        assert_eq!(reader.as_raw_fd(), number);
        watch(&mut base, &reader, 2);
        assert_eq!(poll(&mut base), [(2, Ready::READ)]);
    });
}
