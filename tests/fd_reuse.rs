//! Descriptors closed under pending events, and their numbers given to other files.
//!
//! One test in a program of its own: it counts on which number the next descriptor gets, and no
//! other test may open one meanwhile.

mod common;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use evshard::{EventBase, EventSpec, Fired, Interest, LoopFlags, Ready, Registry};

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
    for config in common::all_configs() {
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
    }
}
