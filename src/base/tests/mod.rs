//! The base's own logic on a scripted backend: order, re-arming and the changelist. The test sets
//! the clock.

mod closing;
mod firing;
mod kernel;
#[cfg(loom)]
mod lending;
mod model;
mod priority;
mod reinit;
mod scripted_app;
mod steps;
mod turn;

use std::time::Duration;

use super::setup::selection::Selected;
use super::*;
use crate::backend::tests::scripted::ScriptedBackend;
use crate::backend::{Backend, BackendKind, Change, FdReady, Features, RefusedChange, Reported};
use crate::error::Error;
use crate::event::{EventId, EventSpec, Fired, Interest, Ready, Token};

const READ: Interest = Interest::READ;
const WRITE: Interest = Interest::WRITE;
const NOTHING: Interest = Interest::empty();
const MS: u64 = 1_000_000;

/// What fired, in order.
type Log = Vec<(u64, Ready)>;

fn log(_: &mut Registry<Log>, log: &mut Log, fired: Fired) {
    log.push((fired.token.0, fired.ready));
}

/// A backend as if it had been chosen.
fn selected(backend: impl Backend + 'static) -> Selected {
    let (kind, backend) = (BackendKind::ALL[0], Box::new(backend));
    Selected { kind, backend, passed_over: Vec::new() }
}

struct TestBase {
    base: EventBase<Log>,
    script: ScriptedBackend,
    log: Log,
}

impl TestBase {
    fn new(policy: ChangelistPolicy) -> Self {
        Self::with(Config::default().changelist(policy))
    }

    fn with(config: Config) -> Self {
        let script = ScriptedBackend::default();
        let base = EventBase::with_backend(&config, selected(script.clone())).unwrap();
        script.0.lock().unwrap().changes.clear();
        Self { base, script, log: Log::new() }
    }

    fn registry(&mut self) -> &mut Registry<Log> {
        self.base.registry()
    }

    fn create(&mut self, spec: EventSpec, token: u64) -> EventId {
        self.registry().create(spec.token(Token(token)), log)
    }

    /// An event that waits for `interest`, pending.
    fn waiting(&mut self, fd: i32, interest: Interest, token: u64) -> EventId {
        let id = self.create(EventSpec::io(&fd, interest).persist(), token);
        self.registry().add(id, None).unwrap();
        id
    }

    /// Makes the next wait report this.
    fn report(&mut self, ready: &[(i32, Ready)]) {
        let ready = ready.iter().map(|&(fd, ready)| FdReady { fd, ready }).collect();
        self.script.0.lock().unwrap().waits.push_back(ready);
    }

    /// One turn that does not block; returns what fired in it.
    fn turn(&mut self) -> Log {
        let flags = LoopFlags::ONCE | LoopFlags::NONBLOCK;
        self.base.run_with(&mut self.log, flags).unwrap();
        self.registry().check();
        std::mem::take(&mut self.log)
    }

    /// Expires what is due at `now_ns` and calls its handlers at that moment.
    fn at(&mut self, now_ns: u64) -> Log {
        self.base.run_at(&mut self.log, now_ns);
        self.registry().check();
        std::mem::take(&mut self.log)
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.script.0.lock().unwrap().changes)
    }
}

fn change(fd: i32, old: Interest, new: Interest) -> Change {
    Change::of(fd, old, new)
}

#[test]
fn descriptors_fire_in_the_order_reported_and_the_newest_event_of_each_first() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    for (token, fd) in [(1, 0), (2, 1), (3, 0)] {
        test.waiting(fd, READ, token);
    }
    test.report(&[(1, Ready::READ), (0, Ready::READ)]);
    assert_eq!(test.turn(), [(2, Ready::READ), (3, Ready::READ), (1, Ready::READ)]);
}

#[test]
fn each_event_of_a_descriptor_gets_only_its_own_interest() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    test.waiting(0, READ, 1);
    test.waiting(0, WRITE, 2);
    test.waiting(0, READ | WRITE, 3);
    test.report(&[(0, Ready::READ | Ready::WRITE)]);
    let both = Ready::READ | Ready::WRITE;
    assert_eq!(test.turn(), [(3, both), (2, Ready::WRITE), (1, Ready::READ)]);
    test.report(&[(0, Ready::WRITE)]);
    assert_eq!(test.turn(), [(3, Ready::WRITE), (2, Ready::WRITE)]);
}

#[test]
fn readiness_and_timeout_in_one_turn_are_one_call() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::io(&0, READ), 1);
    test.registry().add(id, Some(Duration::ZERO)).unwrap();
    test.report(&[(0, Ready::READ)]);
    assert_eq!(test.turn(), [(1, Ready::READ | Ready::TIMEOUT)]);
    assert_eq!(test.registry().pending(id), Ready::empty(), "a one-shot event is idle again");
}

#[test]
fn timers_run_after_descriptors_in_the_order_they_are_due() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    test.waiting(0, READ, 1);
    test.registry().timers.clock.pretend(0);
    for (token, due_ns) in [(2, 30), (3, 10), (4, 20)] {
        let id = test.create(EventSpec::timer(), token);
        test.registry().add(id, Some(Duration::from_nanos(due_ns))).unwrap();
    }
    test.report(&[(0, Ready::READ)]);
    let tokens: Vec<u64> = test.turn().into_iter().map(|(token, _)| token).collect();
    assert_eq!(tokens, [1, 3, 4, 2]);
}

#[test]
fn an_interval_counts_from_the_moment_it_was_due() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::timer().persist(), 1);
    test.registry().timers.clock.pretend(0);
    test.registry().add(id, Some(Duration::from_millis(10))).unwrap();
    assert_eq!(test.at(9 * MS), []);
    assert_eq!(test.at(13 * MS), [(1, Ready::TIMEOUT)]);
    assert_eq!(test.at(19 * MS), []);
    assert_eq!(test.at(20 * MS), [(1, Ready::TIMEOUT)], "not 23: no drift");
}

#[test]
fn ticks_that_were_missed_collapse_into_one() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::timer().persist(), 1);
    test.registry().timers.clock.pretend(0);
    test.registry().add(id, Some(Duration::from_millis(10))).unwrap();
    assert_eq!(test.at(57 * MS), [(1, Ready::TIMEOUT)], "one call for five ticks");
    assert_eq!(test.at(66 * MS), []);
    assert_eq!(test.at(67 * MS), [(1, Ready::TIMEOUT)], "an interval after the late one");
}

#[test]
fn an_interval_starts_anew_when_the_event_fires_for_another_reason() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    test.registry().timers.clock.pretend(0);
    test.registry().add(id, Some(Duration::from_millis(200))).unwrap();
    test.registry().timers.clock.pretend(100 * MS);
    test.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(test.at(100 * MS), [(1, Ready::READ)]);
    assert_eq!(test.at(299 * MS), []);
    assert_eq!(test.at(300 * MS), [(1, Ready::TIMEOUT)]);
    assert_eq!(test.at(500 * MS), [(1, Ready::TIMEOUT)]);
}

#[test]
fn a_zero_interval_fires_once() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    test.registry().timers.clock.pretend(0);
    test.registry().add(id, Some(Duration::ZERO)).unwrap();
    assert_eq!(test.at(0), [(1, Ready::TIMEOUT)]);
    assert_eq!(test.registry().pending(id), Ready::READ, "still waits for its descriptor");
    assert_eq!(test.at(MS), []);
}

#[test]
fn a_new_timeout_replaces_an_expiry_that_was_not_reported_yet() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let [timer, both] = [(EventSpec::timer(), 1), (EventSpec::io(&0, READ), 2)]
        .map(|(spec, token)| test.create(spec, token));
    test.registry().timers.clock.pretend(0);
    for id in [timer, both] {
        test.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    }
    test.registry().timers.clock.pretend(5);
    test.registry().activate_expired();
    test.registry().activate(both, Ready::READ).unwrap();
    for id in [timer, both] {
        test.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    }
    assert_eq!(test.at(5), [(2, Ready::READ)], "the other reason stays");
    assert_eq!(test.at(10), [(1, Ready::TIMEOUT)]);
}

#[test]
fn adding_a_pending_event_changes_only_its_timeout() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let id = test.create(EventSpec::io(&0, READ), 1);
    test.registry().timers.clock.pretend(0);
    test.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    test.registry().add(id, None).unwrap();
    assert_eq!(test.registry().pending(id), Ready::READ | Ready::TIMEOUT, "the timeout stays");
    test.registry().add(id, Some(Duration::from_nanos(9))).unwrap();
    assert_eq!(test.at(8), []);
    test.registry().remove_timeout(id);
    assert_eq!(test.at(9), []);
    assert_eq!(test.registry().pending(id), Ready::READ);
    let once = Change { once: true, ..change(0, NOTHING, READ) };
    assert_eq!(test.changes(), [once], "registered once");
}

#[test]
fn waits_last_until_the_next_timer_and_for_ever_without_one() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let reader = test.waiting(0, READ, 1);
    test.report(&[(0, Ready::READ)]);
    test.base.run_once(&mut test.log).unwrap();
    test.registry().add(reader, Some(Duration::from_secs(60))).unwrap();
    test.report(&[(0, Ready::READ)]);
    test.base.run_once(&mut test.log).unwrap();
    let timeouts = test.script.0.lock().unwrap().timeouts.clone();
    let [None, Some(until_timer)] = timeouts[..] else { panic!("{timeouts:?}") };
    assert!(until_timer <= Duration::from_secs(60) && until_timer > Duration::from_secs(50));
}

#[test]
fn interest_turned_on_and_off_in_one_turn_costs_nothing_when_deferred() {
    let mut test = TestBase::new(ChangelistPolicy::Deferred);
    test.waiting(0, READ, 1);
    test.turn();
    assert_eq!(test.changes(), [change(0, NOTHING, READ)]);
    let writer = test.create(EventSpec::io(&0, WRITE), 2);
    for _ in 0..3 {
        test.registry().add(writer, None).unwrap();
        test.registry().del(writer);
    }
    test.turn();
    assert_eq!(test.changes(), []);
    assert_eq!(test.registry().stats().changes, 2, "the notifier's and the reader's");
}

#[test]
fn turning_from_reading_to_writing_is_one_change_when_deferred_and_two_when_not() {
    for (policy, expected) in [
        (ChangelistPolicy::Deferred, vec![change(0, READ, WRITE)]),
        (ChangelistPolicy::Immediate, vec![change(0, READ, NOTHING), change(0, NOTHING, WRITE)]),
    ] {
        let mut test = TestBase::new(policy);
        let reader = test.waiting(0, READ, 1);
        test.turn();
        test.changes();
        test.registry().del(reader);
        test.waiting(0, WRITE, 2);
        test.turn();
        assert_eq!(test.changes(), expected);
    }
}

#[test]
fn a_refusal_at_the_flush_reaches_every_event_of_the_descriptor() {
    let mut test = TestBase::new(ChangelistPolicy::Deferred);
    test.script.0.lock().unwrap().refuses.push(0);
    let reader = test.waiting(0, READ, 1);
    let writer = test.create(EventSpec::io(&0, WRITE), 2);
    for id in [reader, writer] {
        test.registry().add(id, Some(Duration::from_secs(60))).unwrap();
    }
    assert_eq!(test.turn(), [(2, Ready::REFUSED), (1, Ready::REFUSED)]);
    for id in [reader, writer] {
        assert_eq!(test.registry().pending(id), Ready::empty());
        let why = test.registry().take_refusal(id).unwrap().to_string();
        assert!(why.contains("fd 0") && why.contains("not permitted"), "{why}");
        assert!(test.registry().take_refusal(id).is_none(), "reported once");
    }
    assert_eq!(test.base.run(&mut test.log).unwrap(), LoopEnd::Empty);
}

#[test]
fn a_base_whose_notifier_is_refused_cannot_be_created() {
    struct Refusing;

    impl Backend for Refusing {
        fn name(&self) -> &'static str {
            "refusing"
        }

        fn features(&self) -> Features {
            Features::all()
        }

        fn apply(&mut self, changes: &[Change], refused: &mut Vec<RefusedChange>) {
            let errno = libc::ENOSPC;
            refused.extend(changes.iter().map(|c| RefusedChange { fd: c.fd, op: "refuse", errno }));
        }

        fn wait(&mut self, _: Option<Duration>, _: &mut Vec<FdReady>) -> std::io::Result<Reported> {
            unreachable!("no base, no wait")
        }
    }

    for policy in [ChangelistPolicy::Immediate, ChangelistPolicy::Deferred] {
        let config = Config::default().changelist(policy);
        let error = EventBase::<Log>::with_backend(&config, selected(Refusing)).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
    }
}

#[test]
fn a_refused_addition_is_reported_to_the_events_watched_before() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    let reader = test.waiting(0, READ, 1);
    test.script.0.lock().unwrap().refuses.push(0);
    let writer = test.create(EventSpec::io(&0, WRITE), 2);
    test.registry().add(writer, None).unwrap_err();
    assert_eq!(test.registry().pending(writer), Ready::empty());
    assert_eq!(test.turn(), [(1, Ready::REFUSED)]);
    assert!(test.registry().take_refusal(reader).is_some());
}

#[test]
fn a_refusal_at_once_leaves_the_event_as_it_was() {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    test.script.0.lock().unwrap().refuses.push(0);
    let id = test.create(EventSpec::io(&0, READ), 1);
    let error = test.registry().add(id, Some(Duration::ZERO)).unwrap_err();
    assert!(matches!(error, Error::Fd { fd: 0, .. }), "{error}");
    assert_eq!(test.registry().pending(id), Ready::empty());
    test.registry().check();
}
