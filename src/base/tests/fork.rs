//! A base in a forked child: what the child does is not felt by its parent.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;
use crate::sys::process::{exit_at_once, fork, wait_for};

/// Runs in a child and returns what it says is wrong, if anything.
fn in_child(check: impl FnOnce() -> bool) -> i32 {
    match fork().unwrap() {
        0 => {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
            exit_at_once(if checked.unwrap_or(false) { 0 } else { 1 })
        }
        child => wait_for(child).unwrap(),
    }
}

fn poll(base: &mut EventBase<Log>) -> Log {
    let mut fired = Log::new();
    base.run_with(&mut fired, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    fired
}

fn configs() -> impl Iterator<Item = Config> {
    BackendKind::ALL.iter().flat_map(|&kind| {
        [SignalMethod::Handler, SignalMethod::SignalFd]
            .map(|method| Config::default().ignore_environment().backend(kind).signals(method))
    })
}

#[test]
fn a_child_watches_what_its_parent_did_and_its_changes_stay_its_own() {
    for config in configs() {
        let mut base = EventBase::<Log>::new(config).unwrap();
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let spec = EventSpec::io(&reader, READ).persist().token(Token(1));
        let id = base.registry().create(spec, log);
        base.registry().add(id, None).unwrap();
        assert_eq!(poll(&mut base), []);
        writer.write_all(b"x").unwrap();
        let status = in_child(|| {
            base.reinit().unwrap();
            let told = poll(&mut base) == [(1, Ready::READ)];
            base.registry().del(id);
            told && poll(&mut base).is_empty()
        });
        assert_eq!(status, 0, "in the child with {config:?}");
        assert_eq!(poll(&mut base), [(1, Ready::READ)], "the parent still watches");
    }
}

#[test]
fn a_child_gets_its_own_signals_and_notifications() {
    // Nothing else in this test program uses this signal.
    let number = libc::SIGWINCH;
    for config in configs() {
        let mut base = EventBase::<Log>::new(config).unwrap();
        let signal = base.registry().create(EventSpec::signal(number).persist(), log);
        base.registry().add(signal, None).unwrap();
        let told = base.registry().create(EventSpec::notify().token(Token(2)), log);
        base.registry().add(told, None).unwrap();
        assert_eq!(poll(&mut base), []);
        let status = in_child(|| {
            base.reinit().unwrap();
            signal_hook::low_level::raise(number).unwrap();
            let signalled = poll(&mut base) == [(0, Ready::SIGNAL)];
            base.registry().notifier().notify();
            signalled && poll(&mut base) == [(2, Ready::READ)]
        });
        assert_eq!(status, 0, "in the child with {config:?}");
        assert_eq!(poll(&mut base), [], "the parent heard nothing of it");
    }
}

#[test]
fn a_child_that_drops_its_base_does_not_disturb_its_parent() {
    for config in configs() {
        let mut base = EventBase::<Log>::new(config).unwrap();
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let id = base.registry().create(EventSpec::io(&reader, READ), log);
        base.registry().add(id, None).unwrap();
        assert_eq!(poll(&mut base), []);
        let mut base = Some(base);
        let status = in_child(|| {
            base.take();
            true
        });
        assert_eq!(status, 0);
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base.unwrap()), [(0, Ready::READ)], "with {config:?}");
    }
}
