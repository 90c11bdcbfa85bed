//! Random operations on the base against a model of independent events, without lists or heaps.

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

/// The base under test, the models of its events, and the time both believe it is.
struct Both {
    rig: Rig,
    models: Vec<Model>,
    freed: Vec<EventId>,
    now_ns: u64,
}

impl Both {
    fn new(policy: ChangelistPolicy) -> Self {
        Self { rig: Rig::new(policy), models: Vec::new(), freed: Vec::new(), now_ns: 0 }
    }

    fn step(&mut self, token: u64, step: Step) {
        self.rig.registry().clock.pretend(self.now_ns);
        let count = self.models.len().max(1);
        match step {
            Step::Create { fd, interest, persist } => self.create(token, fd, interest, persist),
            Step::Add { pick, timeout_ns } => {
                if let Some(model) = self.models.get_mut(pick % count) {
                    let timeout = timeout_ns.map(Duration::from_nanos);
                    self.rig.registry().add(model.id, timeout).unwrap();
                    model.add(timeout_ns, self.now_ns);
                }
            }
            Step::Del { pick } => {
                if let Some(model) = self.models.get_mut(pick % count) {
                    self.rig.registry().del(model.id);
                    model.idle();
                }
            }
            Step::Free { pick } => {
                if pick % count < self.models.len() {
                    let model = self.models.swap_remove(pick % count);
                    self.rig.registry().free(model.id);
                    self.freed.push(model.id);
                }
            }
            Step::Activate { pick } => {
                if let Some(model) = self.models.get_mut(pick % count) {
                    self.rig.registry().activate(model.id, Ready::CLOSED).unwrap();
                    model.ready |= Ready::CLOSED;
                }
            }
            Step::Pass { report, later_ns } => self.pass(&report, later_ns),
        }
    }

    fn create(&mut self, token: u64, fd: i32, interest: u8, persist: bool) {
        let interest = [READ, WRITE, READ | WRITE][interest as usize];
        let mut spec = EventSpec::io(&fd, interest);
        spec.persist = persist;
        let id = self.rig.create(spec, token);
        self.models.push(Model {
            id,
            token,
            fd,
            interest,
            persist,
            watched: false,
            due_ns: None,
            interval_ns: 0,
            ready: Ready::empty(),
        });
    }

    fn pass(&mut self, report: &[i32], later_ns: u64) {
        self.now_ns += later_ns;
        self.rig.registry().flush_changes();
        for &fd in report {
            let ready = Ready::READ | Ready::WRITE;
            self.rig.registry().activate_fd(FdReady { fd, ready });
        }
        let mut fired = self.rig.at(self.now_ns);
        let report = report.iter().copied().collect();
        let told = |model: &mut Model| model.pass(&report, self.now_ns);
        let mut expected: Log = self.models.iter_mut().filter_map(told).collect();
        fired.sort_by_key(|(token, _)| *token);
        expected.sort_by_key(|(token, _)| *token);
        assert_eq!(fired, expected);
    }

    fn compare(&mut self) {
        let registry = self.rig.base.registry();
        registry.check();
        for model in &self.models {
            assert_eq!(registry.pending(model.id), model.pending(), "{model:?}");
        }
        for id in &self.freed {
            assert!(matches!(registry.add(*id, None), Err(Error::Stale(_))));
        }
        assert_eq!(registry.len(), self.models.len());
    }
}

proptest! {
    #[test]
    fn the_registry_agrees_with_a_naive_model(
        deferred: bool, steps in prop::collection::vec(step(), 1..80))
    {
        let policy =
            if deferred { ChangelistPolicy::Deferred } else { ChangelistPolicy::Immediate };
        let mut both = Both::new(policy);
        for (token, step) in (1..).zip(steps) {
            both.step(token, step);
            both.compare();
        }
    }
}
