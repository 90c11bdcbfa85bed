//! Random operations on the base against a model of independent events, without lists or heaps.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PRIORITIES: u8 = 3;
/// The one common timeout.
const COMMON_NS: u64 = 20;

#[derive(Clone, Debug)]
enum Step {
    Create { fd: Option<i32>, interest: u8, persist: bool, stable: bool, priority: u8 },
    Once { fd: Option<i32>, timeout_ns: u64 },
    Add { pick: usize, timeout_ns: Option<u64> },
    AddCommon { pick: usize },
    RemoveTimeout { pick: usize },
    Del { pick: usize },
    Free { pick: usize },
    Activate { pick: usize, how: u8 },
    ActivateFd { fd: i32 },
    Pass { report: Vec<i32>, later_ns: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let pick = 0..20_usize;
    prop_oneof![
        3 => (prop::option::weighted(0.8, 0..3), 0..7_u8, any::<bool>(), any::<bool>(),
              0..PRIORITIES).prop_map(|(fd, interest, persist, stable, priority)| {
                  Step::Create { fd, interest, persist, stable, priority }
              }),
        1 => (prop::option::of(0..3), 0..50_u64)
            .prop_map(|(fd, timeout_ns)| Step::Once { fd, timeout_ns }),
        5 => (pick.clone(), prop::option::of(0..50_u64))
            .prop_map(|(pick, timeout_ns)| Step::Add { pick, timeout_ns }),
        2 => pick.clone().prop_map(|pick| Step::AddCommon { pick }),
        1 => pick.clone().prop_map(|pick| Step::RemoveTimeout { pick }),
        2 => pick.clone().prop_map(|pick| Step::Del { pick }),
        1 => pick.clone().prop_map(|pick| Step::Free { pick }),
        2 => (pick, 0..3_u8).prop_map(|(pick, how)| Step::Activate { pick, how }),
        1 => (0..3).prop_map(|fd| Step::ActivateFd { fd }),
        4 => (prop::collection::vec(0..3, 0..3), 0..40_u64)
            .prop_map(|(report, later_ns)| Step::Pass { report, later_ns }),
    ]
}

/// The interest of each number of a step; never empty.
fn interest_of(number: u8) -> Interest {
    let bits = [READ, WRITE, Interest::CLOSED];
    let chosen = (0..3).filter(|bit| (number + 1) >> bit & 1 == 1).map(|bit| bits[bit]);
    chosen.fold(NOTHING, |all, bit| all | bit)
}

#[derive(Clone, Debug)]
struct Model {
    id: EventId,
    token: u64,
    fd: Option<i32>,
    interest: Interest,
    persist: bool,
    /// Ends when it fires.
    once: bool,
    priority: u8,
    watched: bool,
    due_ns: Option<u64>,
    interval_ns: u64,
    ready: Ready,
}

impl Model {
    fn pending(&self) -> Ready {
        let watched: Ready = if self.watched { self.interest.into() } else { Ready::empty() };
        let timed = if self.due_ns.is_some() { Ready::TIMEOUT } else { Ready::empty() };
        self.ready | watched | timed
    }

    fn idle(&mut self) {
        self.watched = false;
        self.due_ns = None;
        self.ready = Ready::empty();
    }

    fn add(&mut self, timeout_ns: Option<u64>, now_ns: u64) {
        self.watched = self.fd.is_some();
        if let Some(timeout_ns) = timeout_ns {
            self.ready -= Ready::TIMEOUT;
            self.due_ns = Some(now_ns + timeout_ns);
            if self.persist {
                self.interval_ns = timeout_ns;
            }
        }
    }

    fn report(&mut self, fd: i32, ready: Ready) {
        if self.watched && self.fd == Some(fd) {
            self.ready |= ready & self.interest.into();
        }
    }

    /// Its handler's token and reasons in a pass at `now_ns`, if it runs.
    fn pass(&mut self, report: &BTreeSet<i32>, now_ns: u64) -> Option<(u64, Ready)> {
        for fd in report {
            self.report(*fd, Ready::all());
        }
        let due_ns = self.due_ns.filter(|due| *due <= now_ns);
        if due_ns.is_some() {
            self.due_ns = None;
            self.ready |= Ready::TIMEOUT;
        }
        let ready = self.ready;
        if ready.is_empty() {
            return None;
        }
        self.ready = Ready::empty();
        if !self.persist {
            self.idle();
        } else if self.interval_ns > 0 {
            let on_time = due_ns.map(|due| due + self.interval_ns).filter(|at| *at >= now_ns);
            self.due_ns = Some(on_time.unwrap_or(now_ns + self.interval_ns));
        }
        Some((self.token, ready))
    }
}

/// The base under test, the models of its events, and the current time of both.
struct Comparison {
    test: TestBase,
    models: Vec<Model>,
    freed: Vec<EventId>,
    common: CommonTimeout,
    now_ns: u64,
}

impl Comparison {
    fn new(policy: ChangelistPolicy) -> Self {
        let mut test = TestBase::with(Config::default().changelist(policy).priorities(PRIORITIES));
        let common = test.registry().common_timeout(Duration::from_nanos(COMMON_NS)).unwrap();
        Self { test, models: Vec::new(), freed: Vec::new(), common, now_ns: 0 }
    }

    fn step(&mut self, token: u64, step: Step) {
        self.test.registry().timers.clock.pretend(self.now_ns);
        match step {
            Step::Create { fd, interest, persist, stable, priority } => {
                let interest = if fd.is_some() { interest_of(interest) } else { NOTHING };
                let mut spec = fd.map_or(EventSpec::timer(), |fd| EventSpec::io(&fd, interest));
                (spec.persist, spec.stable_fd) = (persist, stable);
                let id = self.test.create(spec, token);
                self.test.registry().set_priority(id, priority).unwrap();
                let model = self.model(id, token, fd, interest);
                self.models.push(Model { persist, priority, ..model });
            }
            Step::Once { fd, timeout_ns } => self.once(token, fd, timeout_ns),
            Step::ActivateFd { fd } => {
                self.test.registry().activate_by_fd(fd, Ready::WRITE);
                self.models.iter_mut().for_each(|model| model.report(fd, Ready::WRITE));
            }
            Step::Pass { report, later_ns } => self.pass(&report, later_ns),
            Step::Add { pick, .. }
            | Step::AddCommon { pick }
            | Step::RemoveTimeout { pick }
            | Step::Del { pick }
            | Step::Free { pick }
            | Step::Activate { pick, .. } => {
                if !self.models.is_empty() {
                    self.act_on(pick % self.models.len(), &step);
                }
            }
        }
    }

    fn model(&self, id: EventId, token: u64, fd: Option<i32>, interest: Interest) -> Model {
        Model {
            id,
            token,
            fd,
            interest,
            persist: false,
            once: false,
            priority: PRIORITIES / 2,
            watched: false,
            due_ns: None,
            interval_ns: 0,
            ready: Ready::empty(),
        }
    }

    fn once(&mut self, token: u64, fd: Option<i32>, timeout_ns: u64) {
        let interest = if fd.is_some() { READ } else { NOTHING };
        let spec = fd.map_or(EventSpec::timer(), |fd| EventSpec::io(&fd, interest));
        let timeout = Some(Duration::from_nanos(timeout_ns));
        let id = self.test.registry().once(spec.token(Token(token)), timeout, log).unwrap();
        let mut model = self.model(id, token, fd, interest);
        model.once = true;
        if fd.is_none() && timeout_ns == 0 {
            model.ready = Ready::TIMEOUT;
        } else {
            model.add(Some(timeout_ns), self.now_ns);
        }
        self.models.push(model);
    }

    fn act_on(&mut self, index: usize, step: &Step) {
        let (registry, model) = (self.test.base.registry(), &mut self.models[index]);
        match *step {
            Step::Add { timeout_ns, .. } => {
                registry.add(model.id, timeout_ns.map(Duration::from_nanos)).unwrap();
                model.add(timeout_ns, self.now_ns);
            }
            Step::AddCommon { .. } => {
                registry.add_common(model.id, self.common).unwrap();
                model.add(Some(COMMON_NS), self.now_ns);
            }
            Step::RemoveTimeout { .. } => {
                registry.remove_timeout(model.id);
                (model.due_ns, model.interval_ns) = (None, 0);
            }
            Step::Del { .. } => {
                registry.del(model.id);
                model.idle();
            }
            Step::Activate { how: 0, .. } => {
                registry.activate(model.id, Ready::CLOSED).unwrap();
                model.ready |= Ready::CLOSED;
            }
            Step::Activate { how: 1, .. } => {
                registry.activate_later(model.id, Ready::CLOSED).unwrap();
                model.ready |= Ready::CLOSED;
            }
            Step::Activate { .. } => {
                assert_eq!(registry.schedule(model.id).unwrap(), model.ready.is_empty());
                model.ready |= Ready::DEFERRED;
            }
            Step::Free { .. } => {
                registry.free(model.id);
                self.freed.push(self.models.swap_remove(index).id);
            }
            _ => unreachable!("not about one event"),
        }
    }

    fn pass(&mut self, report: &[i32], later_ns: u64) {
        self.now_ns += later_ns;
        let registry = self.test.base.registry();
        registry.flush_changes();
        registry.control.begin_turn();
        registry.events.active.promote_later(&mut registry.events.slots);
        for &fd in report {
            registry.activate_reported(FdReady { fd, ready: Ready::all() });
        }
        let mut fired = self.test.at(self.now_ns);
        while self.test.registry().has_active() {
            self.test.base.run_active(&mut self.test.log);
            fired.append(&mut self.test.log);
        }
        let report = report.iter().copied().collect();
        let priority_of = |models: &[Model], token| {
            models.iter().find(|model| model.token == token).expect("a known event").priority
        };
        let order: Vec<u8> = fired.iter().map(|(t, _)| priority_of(&self.models, *t)).collect();
        assert!(order.is_sorted(), "urgent ones first: {order:?}");
        let ready = |model: &mut Model| model.pass(&report, self.now_ns);
        let mut expected: Log = self.models.iter_mut().filter_map(ready).collect();
        fired.sort_by_key(|(token, _)| *token);
        expected.sort_by_key(|(token, _)| *token);
        assert_eq!(fired, expected);
        let ended =
            |model: &Model| model.once && fired.iter().any(|(token, _)| *token == model.token);
        self.freed.extend(self.models.iter().filter(|model| ended(model)).map(|model| model.id));
        self.models.retain(|model| !ended(model));
    }

    fn compare(&mut self) {
        let registry = self.test.base.registry();
        registry.check();
        for model in &self.models {
            assert_eq!(registry.pending(model.id), model.pending(), "{model:?}");
        }
        for id in &self.freed {
            assert!(matches!(registry.add(*id, None), Err(Error::Stale(_))));
        }
        assert_eq!(registry.len(), self.models.len());
        let mut visited = 0;
        let _ = registry.for_each(|_| {
            visited += 1;
            std::ops::ControlFlow::<()>::Continue(())
        });
        let pending = self.models.iter().filter(|model| !model.pending().is_empty());
        assert_eq!(visited, pending.count(), "each pending or active event once");
    }
}

proptest! {
    #[test]
    fn the_registry_agrees_with_a_naive_model(
        deferred: bool, steps in prop::collection::vec(step(), 1..120))
    {
        let policy =
            if deferred { ChangelistPolicy::Deferred } else { ChangelistPolicy::Immediate };
        let mut both = Comparison::new(policy);
        for (token, step) in (1..).zip(steps) {
            both.step(token, step);
            both.compare();
        }
    }
}
