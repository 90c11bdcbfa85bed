//! The steps of the loop on a scripted backend: what reaches the backend while it is lent and when
//! it is back.

use super::*;
use crate::base::steps::Run;

fn run() -> Run {
    Run::new(LoopFlags::NONBLOCK)
}

impl TestBase {
    /// A turn, with `action` between its wait and the end of that; what fired.
    fn turn_with(&mut self, action: impl FnOnce(&mut Registry<Log>)) -> Log {
        let mut wait = self.base.begin_wait(&run());
        wait.run();
        self.base.act(action);
        assert_eq!(self.changes(), [], "the backend is away");
        self.registry().check();
        self.base.end_wait(wait).unwrap();
        self.base.run_active(&mut self.log);
        self.registry().check();
        std::mem::take(&mut self.log)
    }
}

#[test]
fn changes_during_a_wait_are_made_when_the_backend_is_back_or_with_the_next_wait() {
    for policy in [ChangelistPolicy::Immediate, ChangelistPolicy::Deferred] {
        let mut test = TestBase::new(policy);
        let reader = test.waiting(0, READ, 1);
        test.turn();
        test.changes();
        let writer = test.create(EventSpec::io(&0, WRITE).persist(), 2);
        test.report(&[(0, Ready::READ | Ready::WRITE)]);
        let fired = test.turn_with(|registry| registry.add(writer, None).unwrap());
        // As in libevent, what the wait found counts for all events that wait for it now.
        assert_eq!(fired, [(2, Ready::WRITE), (1, Ready::READ)]);
        if policy == ChangelistPolicy::Deferred {
            assert_eq!(test.changes(), []);
            test.turn();
        }
        assert_eq!(test.changes(), [change(0, READ, READ | WRITE)]);
        test.turn_with(|registry| registry.free(reader));
        test.turn();
        assert_eq!(test.changes(), [change(0, READ | WRITE, WRITE)]);
    }
}

#[test]
fn a_report_of_an_event_that_was_deleted_during_the_wait_is_dropped() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let once = test.create(EventSpec::io(&0, READ), 1);
    test.registry().add(once, None).unwrap();
    test.changes();
    test.report(&[(0, Ready::READ)]);
    assert_eq!(test.turn_with(|registry| registry.del(once)), []);
    let gone = Change { was_once: true, once: true, ..change(0, READ, NOTHING) };
    assert_eq!(test.changes(), [gone]);
    test.registry().add(once, None).unwrap();
    let added = Change { once: true, ..change(0, NOTHING, READ) };
    assert_eq!(test.changes(), [added], "an ADD: the kernel has no disarmed registration");
}

#[test]
fn a_slot_that_is_given_back_leaves_what_is_known_of_its_descriptor() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    for disarmed in [true, false] {
        let once = test.create(EventSpec::io(&0, READ), 1);
        test.registry().add(once, None).unwrap();
        test.report(&[(0, Ready::READ)]);
        assert_eq!(test.turn(), [(1, Ready::READ)]);
        match disarmed {
            true => test.registry().give_back(once),
            false => test.registry().free(once),
        }
        test.changes();
        let next = test.create(EventSpec::io(&0, READ), 2);
        test.registry().add(next, None).unwrap();
        let added = Change { once: true, disarmed, ..change(0, NOTHING, READ) };
        assert_eq!(test.changes(), [added]);
        test.registry().free(next);
    }
}

#[test]
fn a_call_of_a_timeout_knows_when_that_was_due() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    test.registry().timers.clock.pretend(0);
    let common = test.registry().common_timeout(Duration::from_nanos(30)).unwrap();
    let once = test.create(EventSpec::timer(), 1);
    let persistent = test.create(EventSpec::timer().persist(), 2);
    let of_common = test.create(EventSpec::timer(), 3);
    let reader = test.waiting(0, READ, 4);
    test.registry().add(once, Some(Duration::from_nanos(10))).unwrap();
    test.registry().add(persistent, Some(Duration::from_nanos(20))).unwrap();
    test.registry().add_common(of_common, common).unwrap();
    test.registry().timers.clock.pretend(1_000);
    test.registry().activate_expired();
    test.registry().activate(reader, Ready::READ).unwrap();
    let mut run = run();
    test.base.begin_pass(&mut run);
    let mut due = Vec::new();
    while let Some(call) = test.base.begin_dispatch(&mut run) {
        let Fired { id, ready, token, .. } = call.fired();
        due.push((token.0, test.base.due(id, ready)));
        test.base.end_dispatch(&mut run);
    }
    let at = |ns| Some(test.base.registry.timers.clock.instant(ns));
    assert_eq!(due, [(1, at(10)), (2, at(20)), (3, at(30)), (4, None)]);
}

#[test]
fn an_event_that_was_reset_has_no_interval() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    for is_reset in [false, true] {
        test.registry().add(id, Some(Duration::from_secs(1))).unwrap();
        if is_reset {
            test.registry().reset(id);
        } else {
            test.registry().del(id);
        }
        test.registry().check();
        test.registry().add(id, None).unwrap();
        test.report(&[(0, Ready::READ)]);
        assert_eq!(test.turn(), [(1, Ready::READ)]);
        let has_timeout = test.registry().pending(id).contains(Ready::TIMEOUT);
        assert_eq!(has_timeout, !is_reset, "`del` keeps the interval, as libevent does");
    }
}

#[test]
fn an_event_that_replaces_another_has_its_slot_and_nothing_else_of_it() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let old = test.waiting(0, READ, 1);
    test.changes();
    let new = test.registry().replace(old, EventSpec::timer().token(Token(2)), log);
    test.registry().check();
    assert_eq!(test.changes(), [change(0, READ, NOTHING)]);
    assert_eq!((new.index, test.registry().len()), (old.index, 1));
    assert!(matches!(test.registry().add(old, None), Err(Error::Stale(id)) if id == old));
    test.registry().activate(new, Ready::TIMEOUT).unwrap();
    assert_eq!(test.turn(), [(2, Ready::TIMEOUT)]);
    let third = test.registry().replace(old, EventSpec::timer(), log);
    assert_ne!(third.index, new.index, "a stale id has no slot to give");
}

#[test]
#[should_panic(expected = "each wait is returned")]
fn a_second_wait_before_the_end_of_the_first_is_a_defect_of_the_driver() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let _first = test.base.begin_wait(&run());
    let _second = test.base.begin_wait(&run());
}

#[test]
fn a_base_that_was_renewed_while_its_backend_was_away_has_the_new_one() {
    for kind in BackendKind::usable() {
        let config = Config::default().backend(kind).ignore_environment();
        let mut base = EventBase::<Log>::new(config).unwrap();
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let spec = EventSpec::io(&reader, READ).persist().token(Token(1));
        let id = base.registry().create(spec, log);
        base.registry().add(id, None).unwrap();
        let wait = base.begin_wait(&run());
        base.reinit().unwrap();
        base.end_wait(wait).unwrap();
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        let mut fired = Log::new();
        base.run_with(&mut fired, LoopFlags::ONCE).unwrap();
        assert_eq!(fired, [(1, Ready::READ)]);
    }
}
