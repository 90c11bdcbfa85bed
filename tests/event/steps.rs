//! A loop that its driver runs by steps, while other code uses the base.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use evshard::steps::Run;
use evshard::{BackendKind, Wake};

use crate::app::*;
use crate::common::TEST_TIMEOUT;
use crate::{common, on_every_base};

/// A wait that something must end: a timer far away keeps the loop alive.
struct Waiting {
    base: Base,
    app: App,
    run: Run,
    far: EventId,
}

impl Waiting {
    fn new(config: Config) -> Self {
        let mut base = Base::new(config).unwrap();
        let far = base.registry().create(EventSpec::timer().token(Token(99)), log);
        base.registry().add(far, Some(TEST_TIMEOUT)).unwrap();
        let run = base.begin_loop(LoopFlags::empty());
        Self { base, app: App::default(), run, far }
    }

    /// One turn, with `action` while the backend is lent; what fired, and why the loop ends. The
    /// action must end the wait.
    #[track_caller]
    fn turn(
        &mut self,
        action: impl FnOnce(&mut Registry<App>),
    ) -> (Vec<(u64, Ready)>, Option<LoopEnd>) {
        let start = Instant::now();
        let end = self.base.begin_turn(&mut self.run);
        assert_eq!(end, None);
        let mut wait = self.base.begin_wait(&self.run);
        self.base.act(action);
        wait.run();
        assert!(start.elapsed() < TEST_TIMEOUT / 2, "nothing ended the wait");
        self.base.end_wait(wait).unwrap();
        let fired = self.pass();
        (fired, self.base.end_turn(&mut self.run))
    }

    fn pass(&mut self) -> Vec<(u64, Ready)> {
        self.base.begin_pass(&mut self.run);
        while let Some(call) = self.base.begin_dispatch(&mut self.run) {
            self.base.call(call, &mut self.app);
            while self.base.calls_again() {
                self.base.call(call, &mut self.app);
            }
            self.base.end_dispatch(&mut self.run);
        }
        std::mem::take(&mut self.app.fired)
    }

    /// One turn that does not wait.
    fn poll(&mut self) -> Vec<(u64, Ready)> {
        poll(&mut self.base, &mut self.app)
    }
}

fn create(base: &mut Base, spec: EventSpec) -> EventId {
    base.registry().create(spec.token(Token(1)), log)
}

on_every_base! {
    fn an_event_that_is_added_during_a_wait_is_watched_from_the_next_turn_on(config: Config) {
        let mut waiting = Waiting::new(config);
        let (reader, _writer) = readable_pair();
        let id = create(&mut waiting.base, EventSpec::io(&reader, Interest::READ).persist());
        let (fired, end) = waiting.turn(|registry| registry.add(id, None).unwrap());
        assert_eq!((fired, end), (vec![], None));
        assert_eq!(waiting.poll(), [(1, Ready::READ)]);
    }

    fn an_event_that_is_freed_during_a_wait_does_not_fire(config: Config) {
        let mut waiting = Waiting::new(config);
        let (reader, _writer) = readable_pair();
        for spec in [EventSpec::io(&reader, Interest::READ),
                     EventSpec::io(&reader, Interest::READ).persist()] {
            let id = create(&mut waiting.base, spec);
            waiting.base.registry().add(id, None).unwrap();
            let (fired, _) = waiting.turn(|registry| registry.free(id));
            assert_eq!(fired, []);
            assert_eq!(waiting.poll(), [], "nor later");
            // The same descriptor can be watched again.
            let id = create(&mut waiting.base, spec);
            waiting.base.registry().add(id, None).unwrap();
            assert_eq!(waiting.poll(), [(1, Ready::READ)]);
            waiting.base.registry().free(id);
        }
    }

    fn an_event_that_is_deleted_and_added_during_a_wait_fires_for_what_was_and_is_ready(
        config: Config) {
        let mut waiting = Waiting::new(config);
        let (reader, _writer) = readable_pair();
        let id = create(&mut waiting.base, EventSpec::io(&reader, Interest::READ));
        waiting.base.registry().add(id, None).unwrap();
        let (mut fired, _) = waiting.turn(|registry| {
            registry.del(id);
            registry.add(id, None).unwrap();
        });
        fired.append(&mut waiting.poll());
        assert_eq!(fired, [(1, Ready::READ)], "once, because it does not persist");
    }

    fn an_earlier_timer_that_is_added_during_a_wait_is_not_late(config: Config) {
        let mut waiting = Waiting::new(config);
        let id = create(&mut waiting.base, EventSpec::timer());
        let begin = Instant::now();
        let (fired, _) = waiting.turn(|registry| registry.add(id, Some(SHORT)).unwrap());
        assert_eq!(fired, [], "its time counts from when it was added");
        let due = waiting.base.registry().deadline(id).unwrap();
        waiting.base.run_once(&mut waiting.app).unwrap();
        assert_eq!(waiting.app.fired, [(1, Ready::TIMEOUT)]);
        assert!(Instant::now() >= due && due >= begin + SHORT);
    }

    fn a_timeout_that_is_set_during_a_wait_counts_from_then(config: Config) {
        let mut waiting = Waiting::new(config);
        let id = create(&mut waiting.base, EventSpec::timer());
        waiting.turn(|registry| registry.activate(id, Ready::WRITE).unwrap());
        let moment = waiting.base.registry().now();
        assert_eq!(waiting.base.registry().now(), moment, "one moment in a turn");
        assert_eq!(waiting.base.begin_turn(&mut waiting.run), None);
        let wait = waiting.base.begin_wait(&waiting.run);
        let later = moment + SHORT * 40;
        common::eventually("time passes in the wait", || Instant::now() >= later);
        waiting.base.act(|registry| registry.add(id, Some(SHORT)).unwrap());
        // A coarse clock may lag.
        assert!(waiting.base.registry().deadline(id).unwrap() >= moment + SHORT * 20);
        waiting.base.end_wait(wait).unwrap();
    }

    fn a_later_timer_does_not_end_a_wait_and_the_deletion_of_the_last_event_does(
        config: Config) {
        let mut waiting = Waiting::new(config);
        let far = waiting.far;
        let later = create(&mut waiting.base, EventSpec::timer());
        assert_eq!(waiting.base.begin_turn(&mut waiting.run), None);
        let wait = waiting.base.begin_wait(&waiting.run);
        let notifier = waiting.base.registry().notifier();
        waiting.base.act(|registry| registry.add(later, Some(TEST_TIMEOUT * 2)).unwrap());
        waiting.base.act(|registry| registry.del(far));
        waiting.base.act(|registry| registry.pending(far));
        assert_eq!(notifier.notify(), Wake::Sent, "it slept until now");
        waiting.base.end_wait(wait).unwrap();
        let (fired, _) = waiting.turn(|registry| registry.del(later));
        assert_eq!(fired, []);
        assert_eq!(waiting.base.begin_turn(&mut waiting.run), Some(LoopEnd::Empty));
    }

    fn an_event_that_is_activated_during_a_wait_fires(config: Config) {
        let mut waiting = Waiting::new(config);
        let id = create(&mut waiting.base, EventSpec::timer());
        let (fired, _) = waiting.turn(|registry| registry.activate(id, Ready::WRITE).unwrap());
        assert_eq!(fired, [(1, Ready::WRITE)]);
        let (fired, _) = waiting.turn(|registry| assert!(registry.schedule(id).unwrap()));
        assert_eq!(fired, [(1, Ready::DEFERRED)]);
        let (fired, _) =
            waiting.turn(|registry| registry.activate_later(id, Ready::WRITE).unwrap());
        assert_eq!(fired, [], "that is for the next turn");
        assert_eq!(waiting.poll(), [(1, Ready::WRITE)]);
    }

    fn a_loop_that_is_stopped_during_a_wait_ends(config: Config) {
        for stop in [Registry::<App>::loop_exit, Registry::loop_break] {
            let mut waiting = Waiting::new(config);
            assert_eq!(waiting.turn(stop), (vec![], Some(LoopEnd::Stopped)));
        }
    }

    fn calls_from_several_threads_while_a_loop_runs_lose_nothing(config: Config) {
        let base = Mutex::new(EventBase::<()>::new(config).unwrap());
        base.lock().unwrap().registry().hold();
        let fired = [const { AtomicU64::new(0) }; THREADS];
        let running = AtomicU64::new(THREADS as u64);
        std::thread::scope(|scope| {
            for (token, fired) in (0..).zip(&fired) {
                let (base, running) = (&base, &running);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        fire_one(base, Token(token), round, fired);
                    }
                    if running.fetch_sub(1, Ordering::Relaxed) == 1 {
                        base.lock().unwrap().act(Registry::release);
                    }
                });
            }
            assert_eq!(drive(&base, &fired).unwrap(), LoopEnd::Empty);
        });
        assert!(fired.iter().all(|fired| fired.load(Ordering::Relaxed) == ROUNDS));
        assert!(base.lock().unwrap().registry().is_empty());
    }
}

const THREADS: usize = 3;
const ROUNDS: u64 = 60;

/// The driver knows by the token what to call.
fn unused(_: &mut Registry<()>, _: &mut (), _: Fired) {}

/// Makes an event that is ready, or due soon, or active, waits until it has fired, and frees it.
/// The loop may wait meanwhile, or call.
fn fire_one(base: &Mutex<EventBase<()>>, token: Token, round: u64, fired: &AtomicU64) {
    let (reader, _writer) = readable_pair();
    let act = |action: &dyn Fn(&mut Registry<()>) -> EventId| base.lock().unwrap().act(action);
    let id = act(&|registry| {
        let timer = EventSpec::timer().token(token);
        let id = match round % 3 {
            0 => registry.create(EventSpec::io(&reader, Interest::READ).token(token), unused),
            _ => registry.create(timer, unused),
        };
        match round % 3 {
            0 => registry.add(id, None).unwrap(),
            1 => registry.add(id, Some(Duration::from_micros(50))).unwrap(),
            _ => registry.activate(id, Ready::WRITE).unwrap(),
        }
        id
    });
    common::eventually("the event fires", || fired.load(Ordering::Relaxed) > round);
    act(&|registry| {
        registry.free(id);
        id
    });
}

/// Runs the loop. It gives up the lock while it waits and while it calls.
fn drive(base: &Mutex<EventBase<()>>, fired: &[AtomicU64]) -> evshard::Result<LoopEnd> {
    let mut locked = base.lock().unwrap();
    let mut run = locked.begin_loop(LoopFlags::empty());
    let end = loop {
        if let Some(end) = locked.begin_turn(&mut run) {
            break end;
        }
        let mut wait = locked.begin_wait(&run);
        drop(locked);
        wait.run();
        locked = base.lock().unwrap();
        locked.end_wait(wait)?;
        locked.begin_pass(&mut run);
        while let Some(call) = locked.begin_dispatch(&mut run) {
            if call.is_internal() {
                locked.call(call, &mut ());
            } else {
                drop(locked);
                fired[call.fired().token.0 as usize].fetch_add(1, Ordering::Relaxed);
                locked = base.lock().unwrap();
            }
            locked.end_dispatch(&mut run);
        }
        if let Some(end) = locked.end_turn(&mut run) {
            break end;
        }
    };
    locked.end_loop();
    Ok(end)
}

#[test]
fn a_refusal_of_the_kernel_during_a_wait_reaches_the_handler() {
    let file = tempfile::tempfile().unwrap();
    let epoll = Config::default().ignore_environment().backend(BackendKind::Epoll);
    let mut waiting = Waiting::new(epoll);
    let id = create(&mut waiting.base, EventSpec::io(&file, Interest::READ));
    let (fired, _) = waiting.turn(|registry| registry.add(id, None).unwrap());
    assert_eq!(fired, [(1, Ready::REFUSED)]);
    let why = waiting.base.registry().take_refusal(id).unwrap().to_string();
    assert!(why.contains("epoll_ctl(ADD)"), "{why}");
}

#[test]
fn a_wait_names_its_backend_and_a_base_without_its_backend_knows_it_still() {
    for kind in common::usable_backends() {
        let mut base = Base::new(Config::default().ignore_environment().backend(kind)).unwrap();
        let run = base.begin_loop(LoopFlags::NONBLOCK);
        let (features, capacity) = (base.registry().features(), base.registry().stats());
        let wait = base.begin_wait(&run);
        assert!(format!("{wait:?}").contains(kind.name()), "{wait:?}");
        assert_eq!(base.registry().backend_name(), kind.name());
        assert_eq!(base.registry().features(), features);
        assert_eq!(base.registry().stats(), capacity);
        base.end_wait(wait).unwrap();
    }
}

#[test]
fn the_reasons_of_a_call_are_libevents_and_have_the_edge_where_a_descriptor_is_a_reason() {
    let mut waiting = Waiting::new(Config::default().ignore_environment());
    let (reader, _writer) = readable_pair();
    let edge = EventSpec::io(&reader, Interest::READ).edge();
    let id = create(&mut waiting.base, edge);
    for (reason, what) in [
        (Ready::READ, 0x22),
        (Ready::TIMEOUT, 0x01),
        (Ready::READ | Ready::TIMEOUT, 0x23),
        (Ready::DEFERRED, 0),
    ] {
        waiting.base.registry().activate(id, reason).unwrap();
        assert_eq!(waiting.base.begin_turn(&mut waiting.run), None);
        waiting.base.begin_pass(&mut waiting.run);
        let call = waiting.base.begin_dispatch(&mut waiting.run).unwrap();
        assert_eq!((call.what(), call.fired().ready), (what, reason));
        waiting.base.end_dispatch(&mut waiting.run);
        assert!(waiting.base.begin_dispatch(&mut waiting.run).is_none());
    }
}
