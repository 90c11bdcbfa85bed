//! The base's own logic on a scripted backend: order, re-arming and the changelist, with a clock
//! that stands where a test puts it.

use std::time::Duration;

use super::*;
use crate::backend::Change;
use crate::backend::scripted::ScriptedBackend;
use crate::event::{EventId, Interest, Ready, Token};

const READ: Interest = Interest::READ;
const WRITE: Interest = Interest::WRITE;
const NOTHING: Interest = Interest::empty();
const MS: u64 = 1_000_000;

/// What fired, in order.
type Log = Vec<(u64, Ready)>;

fn log(_: &mut Registry<Log>, log: &mut Log, fired: Fired) {
    log.push((fired.token.0, fired.ready));
}

struct Rig {
    base: EventBase<Log>,
    script: ScriptedBackend,
    log: Log,
}

impl Rig {
    fn new(policy: ChangelistPolicy) -> Self {
        let script = ScriptedBackend::default();
        let mut base = EventBase::with_backend(Box::new(script.clone()), policy).unwrap();
        base.registry().flush_changes();
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
        self.registry().clock.pretend(now_ns);
        self.registry().activate_expired();
        self.base.run_active(&mut self.log);
        self.registry().check();
        std::mem::take(&mut self.log)
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.script.0.lock().unwrap().changes)
    }
}

fn change(fd: i32, old: Interest, new: Interest) -> Change {
    Change { fd, old, new, edge: false }
}

#[test]
fn descriptors_fire_in_the_order_reported_and_the_newest_event_of_each_first() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    for (token, fd) in [(1, 0), (2, 1), (3, 0)] {
        rig.waiting(fd, READ, token);
    }
    rig.report(&[(1, Ready::READ), (0, Ready::READ)]);
    assert_eq!(rig.turn(), [(2, Ready::READ), (3, Ready::READ), (1, Ready::READ)]);
}

#[test]
fn each_event_of_a_descriptor_is_told_only_what_it_asked_for() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    rig.waiting(0, READ, 1);
    rig.waiting(0, WRITE, 2);
    rig.waiting(0, READ | WRITE, 3);
    rig.report(&[(0, Ready::READ | Ready::WRITE)]);
    let both = Ready::READ | Ready::WRITE;
    assert_eq!(rig.turn(), [(3, both), (2, Ready::WRITE), (1, Ready::READ)]);
    rig.report(&[(0, Ready::WRITE)]);
    assert_eq!(rig.turn(), [(3, Ready::WRITE), (2, Ready::WRITE)]);
}

#[test]
fn readiness_and_timeout_in_one_turn_are_one_call() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::io(&0, READ), 1);
    rig.registry().add(id, Some(Duration::ZERO)).unwrap();
    rig.report(&[(0, Ready::READ)]);
    assert_eq!(rig.turn(), [(1, Ready::READ | Ready::TIMEOUT)]);
    assert_eq!(rig.registry().pending(id), Ready::empty(), "a one-shot event is idle again");
}

#[test]
fn timers_run_after_descriptors_in_the_order_they_are_due() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    rig.waiting(0, READ, 1);
    rig.registry().clock.pretend(0);
    for (token, due_ns) in [(2, 30), (3, 10), (4, 20)] {
        let id = rig.create(EventSpec::timer(), token);
        rig.registry().add(id, Some(Duration::from_nanos(due_ns))).unwrap();
    }
    rig.report(&[(0, Ready::READ)]);
    let tokens: Vec<u64> = rig.turn().into_iter().map(|(token, _)| token).collect();
    assert_eq!(tokens, [1, 3, 4, 2]);
}

#[test]
fn an_interval_counts_from_the_moment_it_was_due() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::timer().persist(), 1);
    rig.registry().clock.pretend(0);
    rig.registry().add(id, Some(Duration::from_millis(10))).unwrap();
    assert_eq!(rig.at(9 * MS), []);
    assert_eq!(rig.at(13 * MS), [(1, Ready::TIMEOUT)]);
    assert_eq!(rig.at(19 * MS), []);
    assert_eq!(rig.at(20 * MS), [(1, Ready::TIMEOUT)], "not 23: no drift");
}

#[test]
fn ticks_that_were_missed_collapse_into_one() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::timer().persist(), 1);
    rig.registry().clock.pretend(0);
    rig.registry().add(id, Some(Duration::from_millis(10))).unwrap();
    assert_eq!(rig.at(57 * MS), [(1, Ready::TIMEOUT)], "one call for five ticks");
    assert_eq!(rig.at(66 * MS), []);
    assert_eq!(rig.at(67 * MS), [(1, Ready::TIMEOUT)], "an interval after the late one");
}

#[test]
fn an_interval_starts_anew_when_the_event_fires_for_another_reason() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::io(&0, READ).persist(), 1);
    rig.registry().clock.pretend(0);
    rig.registry().add(id, Some(Duration::from_millis(200))).unwrap();
    rig.registry().clock.pretend(100 * MS);
    rig.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(rig.at(100 * MS), [(1, Ready::READ)]);
    assert_eq!(rig.at(299 * MS), []);
    assert_eq!(rig.at(300 * MS), [(1, Ready::TIMEOUT)]);
    assert_eq!(rig.at(500 * MS), [(1, Ready::TIMEOUT)]);
}

#[test]
fn a_zero_interval_fires_once() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::io(&0, READ).persist(), 1);
    rig.registry().clock.pretend(0);
    rig.registry().add(id, Some(Duration::ZERO)).unwrap();
    assert_eq!(rig.at(0), [(1, Ready::TIMEOUT)]);
    assert_eq!(rig.registry().pending(id), Ready::READ, "still waits for its descriptor");
    assert_eq!(rig.at(MS), []);
}

#[test]
fn a_new_timeout_supersedes_an_expiry_that_was_not_told_yet() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let [timer, both] = [(EventSpec::timer(), 1), (EventSpec::io(&0, READ), 2)]
        .map(|(spec, token)| rig.create(spec, token));
    rig.registry().clock.pretend(0);
    for id in [timer, both] {
        rig.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    }
    rig.registry().clock.pretend(5);
    rig.registry().activate_expired();
    rig.registry().activate(both, Ready::READ).unwrap();
    for id in [timer, both] {
        rig.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    }
    assert_eq!(rig.at(5), [(2, Ready::READ)], "the other reason stays");
    assert_eq!(rig.at(10), [(1, Ready::TIMEOUT)]);
}

#[test]
fn adding_a_pending_event_changes_only_its_timeout() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let id = rig.create(EventSpec::io(&0, READ), 1);
    rig.registry().clock.pretend(0);
    rig.registry().add(id, Some(Duration::from_nanos(5))).unwrap();
    rig.registry().add(id, None).unwrap();
    assert_eq!(rig.registry().pending(id), Ready::READ | Ready::TIMEOUT, "the timeout stays");
    rig.registry().add(id, Some(Duration::from_nanos(9))).unwrap();
    assert_eq!(rig.at(8), []);
    rig.registry().remove_timeout(id);
    assert_eq!(rig.at(9), []);
    assert_eq!(rig.registry().pending(id), Ready::READ);
    assert_eq!(rig.changes(), [change(0, NOTHING, READ)], "registered once");
}

#[test]
fn waits_last_until_the_next_timer_and_for_ever_without_one() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    let reader = rig.waiting(0, READ, 1);
    rig.report(&[(0, Ready::READ)]);
    rig.base.run_once(&mut rig.log).unwrap();
    rig.registry().add(reader, Some(Duration::from_secs(60))).unwrap();
    rig.report(&[(0, Ready::READ)]);
    rig.base.run_once(&mut rig.log).unwrap();
    let timeouts = rig.script.0.lock().unwrap().timeouts.clone();
    let [None, Some(until_timer)] = timeouts[..] else { panic!("{timeouts:?}") };
    assert!(until_timer <= Duration::from_secs(60) && until_timer > Duration::from_secs(50));
}

#[test]
fn interest_turned_on_and_off_in_one_turn_costs_nothing_when_deferred() {
    let mut rig = Rig::new(ChangelistPolicy::Deferred);
    rig.waiting(0, READ, 1);
    rig.turn();
    assert_eq!(rig.changes(), [change(0, NOTHING, READ)]);
    let writer = rig.create(EventSpec::io(&0, WRITE), 2);
    for _ in 0..3 {
        rig.registry().add(writer, None).unwrap();
        rig.registry().del(writer);
    }
    rig.turn();
    assert_eq!(rig.changes(), []);
    assert_eq!(rig.registry().stats().changes, 2, "the notifier's and the reader's");
}

#[test]
fn turning_from_reading_to_writing_is_one_change_when_deferred_and_two_when_not() {
    for (policy, expected) in [
        (ChangelistPolicy::Deferred, vec![change(0, READ, WRITE)]),
        (ChangelistPolicy::Immediate, vec![change(0, READ, NOTHING), change(0, NOTHING, WRITE)]),
    ] {
        let mut rig = Rig::new(policy);
        let reader = rig.waiting(0, READ, 1);
        rig.turn();
        rig.changes();
        rig.registry().del(reader);
        rig.waiting(0, WRITE, 2);
        rig.turn();
        assert_eq!(rig.changes(), expected);
    }
}

#[test]
fn a_refusal_at_the_flush_reaches_every_event_of_the_descriptor() {
    let mut rig = Rig::new(ChangelistPolicy::Deferred);
    rig.script.0.lock().unwrap().refuses.push(0);
    let reader = rig.waiting(0, READ, 1);
    let writer = rig.create(EventSpec::io(&0, WRITE), 2);
    rig.registry().add(writer, Some(Duration::from_secs(60))).unwrap();
    assert_eq!(rig.turn(), [(2, Ready::REFUSED), (1, Ready::REFUSED)]);
    for id in [reader, writer] {
        assert_eq!(rig.registry().pending(id), Ready::empty());
        let why = rig.registry().take_refusal(id).unwrap().to_string();
        assert!(why.contains("fd 0") && why.contains("not permitted"), "{why}");
        assert!(rig.registry().take_refusal(id).is_none(), "told once");
    }
    assert_eq!(rig.base.run(&mut rig.log).unwrap(), LoopEnd::Empty);
}

#[test]
fn a_refusal_at_once_leaves_the_event_as_it_was() {
    let mut rig = Rig::new(ChangelistPolicy::Immediate);
    rig.script.0.lock().unwrap().refuses.push(0);
    let id = rig.create(EventSpec::io(&0, READ), 1);
    let error = rig.registry().add(id, Some(Duration::ZERO)).unwrap_err();
    assert!(matches!(error, Error::Fd { fd: 0, .. }), "{error}");
    assert_eq!(rig.registry().pending(id), Ready::empty());
    rig.registry().check();
}

mod random {
    //! Random operations against a model that knows only sets.

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Create { fd: i32, interest: u8, persist: bool },
        Add { pick: usize, timeout_ns: Option<u64> },
        Del { pick: usize },
        Free { pick: usize },
        Activate { pick: usize },
        Pass { report: Vec<i32>, later_ns: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let pick = 0..20_usize;
        prop_oneof![
            2 => (0..3, 0..3_u8, any::<bool>())
                .prop_map(|(fd, interest, persist)| Step::Create { fd, interest, persist }),
            4 => (pick.clone(), prop::option::of(0..50_u64))
                .prop_map(|(pick, timeout_ns)| Step::Add { pick, timeout_ns }),
            2 => pick.clone().prop_map(|pick| Step::Del { pick }),
            1 => pick.clone().prop_map(|pick| Step::Free { pick }),
            1 => pick.prop_map(|pick| Step::Activate { pick }),
            3 => (prop::collection::vec(0..3, 0..3), 0..40_u64)
                .prop_map(|(report, later_ns)| Step::Pass { report, later_ns }),
        ]
    }

    #[derive(Clone, Debug)]
    struct Model {
        id: EventId,
        token: u64,
        fd: i32,
        interest: Interest,
        persist: bool,
        watched: bool,
        due_ns: Option<u64>,
        interval_ns: u64,
        ready: Ready,
    }

    impl Model {
        fn idle(&mut self) {
            self.watched = false;
            self.due_ns = None;
            self.ready = Ready::empty();
        }

        fn add(&mut self, timeout_ns: Option<u64>, now_ns: u64) {
            self.watched = true;
            if let Some(timeout_ns) = timeout_ns {
                self.ready -= Ready::TIMEOUT;
                self.due_ns = Some(now_ns + timeout_ns);
                if self.persist {
                    self.interval_ns = timeout_ns;
                }
            }
        }

        /// What its handler is told in a pass at `now_ns`, if it runs.
        fn pass(&mut self, report: &BTreeSet<i32>, now_ns: u64) -> Option<(u64, Ready)> {
            if self.watched && report.contains(&self.fd) {
                self.ready |= self.interest.into();
            }
            let due_ns = self.due_ns.filter(|due| *due <= now_ns);
            if due_ns.is_some() {
                self.due_ns = None;
                self.ready |= Ready::TIMEOUT;
            }
            let told = self.ready;
            if told.is_empty() {
                return None;
            }
            self.ready = Ready::empty();
            if !self.persist {
                self.idle();
            } else if self.interval_ns > 0 {
                let on_beat = due_ns.map(|due| due + self.interval_ns).filter(|at| *at >= now_ns);
                self.due_ns = Some(on_beat.unwrap_or(now_ns + self.interval_ns));
            }
            Some((self.token, told))
        }
    }

    fn run(policy: ChangelistPolicy, steps: Vec<Step>) {
        let mut rig = Rig::new(policy);
        let (mut models, mut freed): (Vec<Model>, Vec<EventId>) = (Vec::new(), Vec::new());
        let mut now_ns = 0;
        for (token, step) in (1..).zip(steps) {
            rig.registry().clock.pretend(now_ns);
            let count = models.len().max(1);
            match step {
                Step::Create { fd, interest, persist } => {
                    let interest = [READ, WRITE, READ | WRITE][interest as usize];
                    let mut spec = EventSpec::io(&fd, interest);
                    spec.persist = persist;
                    let id = rig.create(spec, token);
                    let (due_ns, ready) = (None, Ready::empty());
                    let (watched, interval_ns) = (false, 0);
                    models.push(Model {
                        id,
                        token,
                        fd,
                        interest,
                        persist,
                        watched,
                        due_ns,
                        interval_ns,
                        ready,
                    });
                }
                Step::Add { pick, timeout_ns } => {
                    if let Some(model) = models.get_mut(pick % count) {
                        let timeout = timeout_ns.map(Duration::from_nanos);
                        rig.registry().add(model.id, timeout).unwrap();
                        model.add(timeout_ns, now_ns);
                    }
                }
                Step::Del { pick } => {
                    if let Some(model) = models.get_mut(pick % count) {
                        rig.registry().del(model.id);
                        model.idle();
                    }
                }
                Step::Free { pick } => {
                    if pick % count < models.len() {
                        let model = models.swap_remove(pick % count);
                        rig.registry().free(model.id);
                        freed.push(model.id);
                    }
                }
                Step::Activate { pick } => {
                    if let Some(model) = models.get_mut(pick % count) {
                        rig.registry().activate(model.id, Ready::CLOSED).unwrap();
                        model.ready |= Ready::CLOSED;
                    }
                }
                Step::Pass { report, later_ns } => {
                    now_ns += later_ns;
                    rig.registry().flush_changes();
                    for &fd in &report {
                        let ready = Ready::READ | Ready::WRITE;
                        rig.registry().activate_fd(FdReady { fd, ready });
                    }
                    let mut fired = rig.at(now_ns);
                    let report = report.into_iter().collect();
                    let mut expected: Log =
                        models.iter_mut().filter_map(|m| m.pass(&report, now_ns)).collect();
                    fired.sort_by_key(|(token, _)| *token);
                    expected.sort_by_key(|(token, _)| *token);
                    assert_eq!(fired, expected);
                }
            }
            rig.registry().check();
            for model in &models {
                let mut pending = model.ready;
                if model.watched {
                    pending |= model.interest.into();
                }
                pending.set(
                    Ready::TIMEOUT,
                    pending.contains(Ready::TIMEOUT) || model.due_ns.is_some(),
                );
                assert_eq!(rig.registry().pending(model.id), pending, "{model:?}");
            }
            for id in &freed {
                assert!(matches!(rig.registry().add(*id, None), Err(Error::Stale(_))));
            }
            assert_eq!(rig.registry().len(), models.len());
        }
    }

    proptest! {
        #[test]
        fn the_registry_agrees_with_a_naive_model(
            deferred: bool, steps in prop::collection::vec(step(), 1..80))
        {
            let policy =
                if deferred { ChangelistPolicy::Deferred } else { ChangelistPolicy::Immediate };
            run(policy, steps);
        }
    }
}
