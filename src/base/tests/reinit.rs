//! A base in a forked child, on the real backends: it works there and leaves the parent's alone.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::sys::process::{exit_at_once, fork, wait_for};

/// Real-time signals that nothing else in this test program uses, one for each test.
const REPORTED: i32 = 45;
const UNNOTICED: i32 = 46;
const CHILDS_OWN: i32 = 47;

/// Forks, and fails unless `in_child` returns true in the child. A panic there counts as false.
#[track_caller]
fn expect_of_child(in_child: impl FnOnce() -> bool) {
    let child = fork().unwrap();
    if child == 0 {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(in_child));
        exit_at_once(i32::from(!matches!(held, Ok(true))));
    }
    assert_eq!(wait_for(child).unwrap(), 0, "what was expected of the child");
}

fn pair(with: &[u8]) -> (UnixStream, UnixStream) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.write_all(with).unwrap();
    (reader, writer)
}

fn watch(base: &mut EventBase<Log>, spec: EventSpec, token: u64) -> EventId {
    let id = base.registry().create(spec.token(Token(token)).persist(), log);
    base.registry().add(id, None).unwrap();
    id
}

/// What fires without waiting, by token.
fn poll(base: &mut EventBase<Log>) -> Log {
    let mut fired = Log::new();
    let flags = LoopFlags::ONCE | LoopFlags::NONBLOCK;
    if base.run_with(&mut fired, flags).is_err() {
        fired.push((u64::MAX, Ready::empty()));
    }
    fired.sort_unstable_by_key(|(token, _)| *token);
    fired
}

fn configs() -> impl Iterator<Item = Config> {
    let kinds = BackendKind::usable().map(|kind| Config::default().backend(kind));
    let policies = kinds.flat_map(|config| {
        [ChangelistPolicy::Immediate, ChangelistPolicy::Deferred].map(|p| config.changelist(p))
    });
    policies.flat_map(|config| {
        [SignalMethod::Handler, SignalMethod::SignalFd].map(|method| config.signals(method))
    })
}

#[test]
fn a_childs_base_reports_what_its_parents_would_have() {
    for config in configs() {
        let config = config.ignore_environment();
        let mut base = EventBase::<Log>::new(config).unwrap();
        let (ready, _kept) = pair(b"x");
        let (silent, mut other) = pair(b"");
        watch(&mut base, EventSpec::io(&ready, READ), 1);
        watch(&mut base, EventSpec::io(&silent, READ), 2);
        watch(&mut base, EventSpec::signal(REPORTED), 3);
        let timer = watch(&mut base, EventSpec::timer(), 4);
        base.registry().add(timer, Some(Duration::ZERO)).unwrap();
        assert_eq!(poll(&mut base)[..], [(1, Ready::READ), (4, Ready::TIMEOUT)]);
        // With the deferred changelist, this change has not reached the kernel yet.
        let (late, _kept) = pair(b"x");
        watch(&mut base, EventSpec::io(&late, READ), 5);
        base.registry().add(timer, Some(Duration::ZERO)).unwrap();

        expect_of_child(|| {
            base.reinit().unwrap();
            base.registry().check();
            signal_hook::low_level::raise(REPORTED).unwrap();
            other.write_all(b"x").unwrap();
            let read = Ready::READ;
            let signal = Ready::SIGNAL;
            let timeout = Ready::TIMEOUT;
            let expected = [(1, read), (2, read), (3, signal), (4, timeout), (5, read)];
            let fired_all = poll(&mut base) == expected;
            (&silent).read_exact(&mut [0]).unwrap();
            let posted = base.remote().post(|_, log| log.push((9, Ready::empty())));
            posted.is_ok() && fired_all && poll(&mut base).contains(&(9, Ready::empty()))
        });
        let expected = [(1, Ready::READ), (4, Ready::TIMEOUT), (5, Ready::READ)];
        assert_eq!(poll(&mut base), expected, "no signal, and nothing of the child's");
        base.registry().check();
    }
}

#[test]
fn a_parents_base_never_notices_what_its_child_does() {
    for config in configs() {
        let config = config.ignore_environment();
        let mut base = EventBase::<Log>::new(config).unwrap();
        let (reader, mut writer) = pair(b"");
        let id = watch(&mut base, EventSpec::io(&reader, READ), 1);
        watch(&mut base, EventSpec::signal(UNNOTICED), 2);
        poll(&mut base);
        let waits = base.registry().stats().events;

        let mut base = Some(base);
        expect_of_child(|| {
            let mut base = base.take().expect("the child's copy");
            base.reinit().unwrap();
            let notifier = base.registry().notifier();
            base.registry().free(id);
            let was_silent = poll(&mut base).is_empty();
            notifier.notify();
            signal_hook::low_level::raise(UNNOTICED).unwrap();
            drop(base);
            was_silent
        });
        // Without making it usable: only dropped.
        expect_of_child(|| {
            drop(base.take());
            true
        });

        let mut base = base.expect("the parent's copy");
        assert_eq!(poll(&mut base), []);
        assert_eq!(
            base.registry().stats().events,
            waits,
            "its eventfds stay unwritten: {config:?}"
        );
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base), [(1, Ready::READ)], "on {config:?}");
        signal_hook::low_level::raise(UNNOTICED).unwrap();
        assert_eq!(poll(&mut base).last(), Some(&(2, Ready::SIGNAL)));
    }
}

#[test]
fn a_signal_in_the_child_wakes_no_base_of_the_parent() {
    for config in configs() {
        let config = config.ignore_environment();
        let [mut copied, mut other] = [0, 1].map(|_| EventBase::<Log>::new(config).unwrap());
        for base in [&mut copied, &mut other] {
            watch(base, EventSpec::signal(CHILDS_OWN), 1);
            poll(base);
        }
        let before = other.registry().stats().events;
        expect_of_child(|| {
            // The other one belongs to a thread that the child does not have.
            copied.reinit().unwrap();
            signal_hook::low_level::raise(CHILDS_OWN).unwrap();
            poll(&mut copied) == [(1, Ready::SIGNAL)]
        });
        assert_eq!((poll(&mut copied), poll(&mut other)), (vec![], vec![]));
        assert_eq!(other.registry().stats().events, before, "on {config:?}");
    }
}

#[test]
fn a_wake_in_the_child_leaves_the_parents_eventfd_alone() {
    for config in configs() {
        let mut base = EventBase::<Log>::new(config.ignore_environment()).unwrap();
        base.registry().hold();
        poll(&mut base);
        let before = base.registry().stats().events;
        expect_of_child(|| {
            base.reinit().unwrap();
            let remote = base.remote();
            let waker = std::thread::spawn(move || {
                while remote.notifier().notify() != Wake::Sent {
                    std::thread::yield_now();
                }
                remote.loop_exit()
            });
            let ended = base.run_until_exit(&mut Log::new());
            waker.join().is_ok() && matches!(ended, Ok(LoopEnd::Stopped))
        });
        poll(&mut base);
        assert_eq!(base.registry().stats().events, before, "on {config:?}");
    }
}
