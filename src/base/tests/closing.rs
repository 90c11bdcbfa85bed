//! Events whose descriptor their owner closes, on every backend with every changelist policy.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::*;
use crate::sys::fd::duplicate;

/// A number that no other test uses.
fn lowest_fd() -> i32 {
    let limit = rlimit::increase_nofile_limit(20_000).unwrap().min(2_048);
    limit as i32 / 16 * 15
}

/// A socket under the lowest free number of this test, with a byte to read, and its peer.
fn readable() -> (OwnedFd, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"x").unwrap();
    let socket = duplicate(&near, lowest_fd()).unwrap();
    (socket, far)
}

fn watch(base: &mut EventBase<Log>, fd: &OwnedFd, interest: Interest, token: u64) -> EventId {
    let spec = EventSpec::io(fd, interest).persist().token(Token(token));
    let id = base.registry().create(spec, log);
    base.registry().add(id, None).unwrap();
    id
}

fn poll(base: &mut EventBase<Log>) -> Log {
    let mut fired = Log::new();
    base.run_with(&mut fired, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    fired
}

fn bases() -> impl Iterator<Item = EventBase<Log>> {
    let policies = [ChangelistPolicy::Immediate, ChangelistPolicy::Deferred];
    BackendKind::usable().flat_map(move |kind| {
        let config = Config::default().backend(kind).ignore_environment();
        policies.map(|policy| EventBase::new(config.changelist(policy)).unwrap())
    })
}

/// Closes a descriptor after its events. Where the kernel forgets it, nothing is left to change.
/// Elsewhere another file may take the number before the next turn.
fn close(base: &mut EventBase<Log>, fd: OwnedFd, events: [EventId; 2]) {
    let changes = base.registry().stats().changes;
    for id in events {
        base.registry().free_closing(id);
    }
    drop(fd);
    if base.registry().kernel.forgets_closed() {
        assert_eq!(poll(base), []);
        assert_eq!(base.registry().stats().changes, changes);
    }
}

/// In one test, because all of it happens under one number.
#[test]
fn closing_a_descriptor_cost_a_call_of_its_own() {
    for mut base in bases() {
        // A turn without an event would not reach the kernel.
        base.registry().hold();
        let (first, _far) = readable();
        let number = first.as_raw_fd();
        let ids = [Interest::READ, Interest::WRITE].map(|i| watch(&mut base, &first, i, 1));
        assert_eq!(poll(&mut base).len(), 2);

        close(&mut base, first, ids);
        let (second, _far) = readable();
        assert_eq!(second.as_raw_fd(), number);
        let id = watch(&mut base, &second, Interest::READ, 2);
        assert_eq!(poll(&mut base), [(2, Ready::READ)]);
        assert_eq!(poll(&mut base), [(2, Ready::READ)], "the level is reported again");

        // One event was deleted before, and one was never flushed.
        let unflushed = watch(&mut base, &second, Interest::WRITE, 3);
        base.registry().del(id);
        close(&mut base, second, [id, unflushed]);
        let (third, _far) = readable();
        assert_eq!(third.as_raw_fd(), number);
        let id = watch(&mut base, &third, Interest::READ, 4);
        assert_eq!(poll(&mut base), [(4, Ready::READ)]);
        base.registry().check();
        // In the same turn.
        base.registry().free_closing(id);
        drop(third);
        let (fourth, _far) = readable();
        assert_eq!(fourth.as_raw_fd(), number);
        watch(&mut base, &fourth, Interest::READ, 5);
        assert_eq!(poll(&mut base), [(5, Ready::READ)]);
        assert!(base.registry().add(id, None).is_err(), "its id is stale");
        base.registry().free_closing(id);
        assert_eq!(base.registry().len(), 1, "a stale id has no effect");
    }
}
