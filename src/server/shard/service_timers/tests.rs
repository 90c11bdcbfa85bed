//! The timers of a service on a base whose time the test sets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::base::{Config, EventBase};
use crate::event::Ready;

const MS: u64 = 1_000_000;

/// The context of the handlers.
struct App {
    timers: ServiceTimers,
    fired: Vec<(TimerOwner, TimerId, u64)>,
    /// What the next handler cancels.
    to_cancel: Option<TimerId>,
}

impl App {
    fn new() -> Self {
        let timers = ServiceTimers::new(ShardNumbers::new(1, 3));
        Self { timers, fired: Vec::new(), to_cancel: None }
    }
}

fn on_timer(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    app.fired.push(app.timers.fired(registry, fired).expect("its timer ran"));
    if let Some(id) = app.to_cancel.take() {
        assert!(app.timers.cancel(registry, id));
    }
}

/// A handler that starts its timer again until its token is zero.
fn on_countdown(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    let (owner, id, token) = app.timers.fired(registry, fired).expect("its timer ran");
    app.fired.push((owner, id, token));
    if let Some(token) = token.checked_sub(1) {
        app.timers.start(registry, on_countdown, owner, Duration::from_millis(1), token);
    }
}

struct TestTimers {
    base: EventBase<App>,
    app: App,
    now_ns: u64,
}

impl TestTimers {
    fn new() -> Self {
        let mut test =
            Self { base: EventBase::new(Config::default()).unwrap(), app: App::new(), now_ns: 0 };
        test.pass(0);
        test
    }

    fn start(&mut self, owner: TimerOwner, after_ns: u64, token: u64) -> TimerId {
        let after = Duration::from_nanos(after_ns);
        self.app.timers.start(self.base.registry(), on_timer, owner, after, token)
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        self.app.timers.cancel(self.base.registry(), id)
    }

    fn end_connection(&mut self, connection: usize) {
        self.app.timers.end_connection(self.base.registry(), connection);
    }

    /// Lets time pass; returns what fired.
    fn pass(&mut self, ns: u64) -> Vec<(TimerOwner, TimerId, u64)> {
        self.now_ns += ns;
        self.base.run_at(&mut self.app, self.now_ns);
        std::mem::take(&mut self.app.fired)
    }

    fn pass_tokens(&mut self, ns: u64) -> Vec<u64> {
        self.pass(ns).into_iter().map(|(_, _, token)| token).collect()
    }

    /// Panics unless lists, entries and events agree, and unless nothing is held for no timer.
    fn check(&mut self) {
        let (timers, registry) = (&self.app.timers, self.base.registry());
        assert_eq!(registry.len(), timers.len(), "an event for each timer");
        let mut listed = BTreeSet::new();
        for (&connection, &newest) in &timers.newest {
            let (mut key, mut newer) = (newest, NONE);
            while key != NONE {
                let timer = &timers.timers[key as usize];
                assert_eq!(timer.owner, TimerOwner::Connection(connection));
                assert_eq!(timer.newer, newer);
                assert!(listed.insert(key), "twice in lists");
                (newer, key) = (key, timer.older);
            }
        }
        for (key, timer) in &timers.timers {
            assert_eq!(registry.pending(timer.event), Ready::TIMEOUT);
            let is_listed = listed.contains(&(key as u32));
            assert_eq!(is_listed, timer.owner != TimerOwner::Shard);
        }
        if timers.len() == 0 {
            assert_eq!((timers.timers.capacity(), timers.newest.capacity()), (0, 0));
        }
    }
}

#[test]
fn a_timer_calls_its_handler_once_and_not_before_its_time() {
    let mut test = TestTimers::new();
    let owner = TimerOwner::Connection(3);
    let id = test.start(owner, 5 * MS, 17);
    assert_eq!(test.pass(5 * MS - 1), []);
    assert_eq!(test.pass(1), [(owner, id, 17)]);
    assert_eq!(test.pass(100 * MS), []);
    test.check();
}

#[test]
fn the_loop_of_a_base_runs_timers_in_their_order_and_ends_after_the_last() {
    let (mut base, mut app) = (EventBase::new(Config::default()).unwrap(), App::new());
    // All start at one moment, and are due when the loop begins or soon after.
    base.run_at(&mut app, 0);
    for token in [3, 1, 2] {
        let after = Duration::from_millis(token);
        app.timers.start(base.registry(), on_timer, TimerOwner::Shard, after, token);
    }
    base.run(&mut app).unwrap();
    let tokens: Vec<u64> = app.fired.iter().map(|(_, _, token)| *token).collect();
    assert_eq!(tokens, [1, 2, 3]);
}

#[test]
fn a_stale_id_names_no_later_timer() {
    let mut test = TestTimers::new();
    let owner = TimerOwner::Connection(0);
    let mut stale = Vec::new();
    for round in 0..100 {
        let id = test.start(owner, MS, round);
        match round % 3 {
            0 => assert!(test.cancel(id)),
            1 => assert_eq!(test.pass_tokens(MS), [round]),
            _ => test.end_connection(0),
        }
        stale.push(id);
        // It is stored where the others were.
        let running = test.start(owner, MS, round);
        assert_eq!(running.key, id.key);
        assert!(!stale.contains(&running));
        for &id in &stale {
            assert!(!test.cancel(id), "{id:?}");
        }
        assert_eq!(test.app.timers.len(), 1);
        assert!(test.cancel(running));
        test.check();
    }
}

#[test]
fn a_handler_that_cancels_a_timer_that_is_due_too_prevents_its_call() {
    let mut test = TestTimers::new();
    test.start(TimerOwner::Shard, MS, 1);
    let second = test.start(TimerOwner::Shard, MS, 2);
    test.app.to_cancel = Some(second);
    assert_eq!(test.pass_tokens(MS), [1]);
    assert!(!test.cancel(second));
    test.check();
}

#[test]
fn a_handler_may_start_its_timer_again() {
    let mut test = TestTimers::new();
    let (owner, after) = (TimerOwner::Connection(0), Duration::from_millis(1));
    test.app.timers.start(test.base.registry(), on_countdown, owner, after, 30);
    let mut ids = BTreeSet::new();
    for token in (0..=30).rev() {
        let fired = test.pass(MS);
        assert_eq!(fired.len(), 1);
        assert_eq!((fired[0].0, fired[0].2), (owner, token));
        assert!(ids.insert(fired[0].1.number), "each has an id of its own");
    }
    test.check();
}

#[test]
fn memory_goes_back_to_nothing_when_the_connections_end() {
    let mut test = TestTimers::new();
    test.check();
    for connection in 0..100 {
        for token in 0..10 {
            test.start(TimerOwner::Connection(connection), MS * (token % 3), token);
        }
    }
    for connection in 0..100 {
        test.end_connection(connection);
        assert_eq!(test.app.timers.len(), 10 * (99 - connection));
        test.check();
    }
    assert_eq!(test.pass(10 * MS), []);
    test.end_connection(1_000_000);
    test.check();
}

/// A common timeout keeps the order of equal deadlines, the timer heap does not.
#[test]
fn timers_of_one_duration_share_a_common_timeout() {
    let mut test = TestTimers::new();
    let start = |test: &mut TestTimers, count| {
        for token in 0..count {
            test.start(TimerOwner::Connection(token as usize % 7), MS, token);
        }
    };
    start(&mut test, 20);
    assert_eq!(test.pass(MS).len(), 20);
    start(&mut test, 200);
    assert_eq!(test.pass_tokens(MS), (0..200).collect::<Vec<_>>());
    test.check();
}

#[test]
fn ten_thousand_random_durations_leave_all_common_timeouts_to_others() {
    let mut test = TestTimers::new();
    let mut random = fastrand::Rng::with_seed(2);
    for token in 0..10_000 {
        let id = test.start(TimerOwner::Shard, random.u64(1..60_000) * MS, token);
        if token % 2 == 0 {
            assert!(test.cancel(id));
        }
    }
    for second in 1..=256 {
        test.base.registry().common_timeout(Duration::from_secs(second)).unwrap();
    }
    assert_eq!(test.pass(60_000 * MS).len(), 5_000);
    test.check();
}

#[derive(Clone, Debug)]
enum Step {
    Start { owner: TimerOwner, after_ns: u64 },
    Cancel { pick: usize },
    EndConnection { connection: usize },
    Pass { ns: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let owner = prop_oneof![
        1 => Just(TimerOwner::Shard),
        3 => (0..3_usize).prop_map(TimerOwner::Connection),
    ];
    // Some are repeated and become common timeouts, others are random.
    let after_ns = prop_oneof![3 => prop::sample::select(vec![0, 7, 20]), 1 => 0..40_u64];
    prop_oneof![
        8 => (owner, after_ns).prop_map(|(owner, after_ns)| Step::Start { owner, after_ns }),
        2 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
        1 => (0..4_usize).prop_map(|connection| Step::EndConnection { connection }),
        2 => (0..15_u64).prop_map(|ns| Step::Pass { ns }),
    ]
}

/// A timer that was ever started.
#[derive(Debug)]
struct Model {
    owner: TimerOwner,
    id: TimerId,
    token: u64,
    due_ns: u64,
    is_running: bool,
}

proptest! {
    #[test]
    fn timers_agree_with_a_naive_model(steps in prop::collection::vec(step(), 1..300)) {
        let mut test = TestTimers::new();
        let mut models: Vec<Model> = Vec::new();
        for (token, step) in (0..).zip(steps) {
            match step {
                Step::Start { owner, after_ns } => {
                    let id = test.start(owner, after_ns, token);
                    prop_assert!(models.iter().all(|model| model.id != id));
                    let due_ns = test.now_ns + after_ns;
                    models.push(Model { owner, id, token, due_ns, is_running: true });
                }
                Step::Cancel { pick } if !models.is_empty() => {
                    let index = pick % models.len();
                    let model = &mut models[index];
                    prop_assert_eq!(test.cancel(model.id), model.is_running);
                    model.is_running = false;
                }
                Step::Cancel { .. } => {}
                Step::EndConnection { connection } => {
                    test.end_connection(connection);
                    let owner = TimerOwner::Connection(connection);
                    for model in models.iter_mut().filter(|model| model.owner == owner) {
                        model.is_running = false;
                    }
                }
                Step::Pass { ns } => {
                    let fired = test.pass(ns);
                    let now_ns = test.now_ns;
                    let is_due = |model: &&mut Model| model.is_running && model.due_ns <= now_ns;
                    let mut expected = Vec::new();
                    for model in models.iter_mut().filter(is_due) {
                        model.is_running = false;
                        expected.push((model.owner, model.id, model.token));
                    }
                    let due_ns = |token: u64| {
                        models.iter().find(|model| model.token == token).unwrap().due_ns
                    };
                    prop_assert!(fired.iter().map(|fired| due_ns(fired.2)).is_sorted());
                    let sorted = |mut fired: Vec<(TimerOwner, TimerId, u64)>| {
                        fired.sort_by_key(|(_, _, token)| *token);
                        fired
                    };
                    prop_assert_eq!(sorted(fired), expected);
                }
            }
            test.check();
            let running = models.iter().filter(|model| model.is_running).count();
            prop_assert_eq!(test.app.timers.len(), running);
        }
    }
}
