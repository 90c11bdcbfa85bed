//! Signals as events, by a handler and by signalfd, on every base.
//!
//! It is a program of its own and runs one test at a time, because the whole process shares the
//! dispositions of signals.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evshard::{
    Config, Error, EventBase, EventId, EventSpec, Fired, Handler, LoopEnd, LoopFlags, Ready,
    Registry, SignalMethod, Token,
};
use signal_hook::consts::{SIGKILL, SIGSTOP, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;

/// A real-time signal: the kernel queues it instead of folding deliveries into one.
const QUEUED: i32 = 40;
const SHORT: Duration = Duration::from_millis(3);
const METHODS: [SignalMethod; 2] = [SignalMethod::Handler, SignalMethod::SignalFd];

#[derive(Default)]
struct App {
    fired: Vec<(u64, Ready)>,
    ids: Vec<EventId>,
}

type Base = EventBase<App>;

fn log(_: &mut Registry<App>, app: &mut App, fired: Fired) {
    app.fired.push((fired.token.0, fired.ready));
}

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new(config: Config, method: SignalMethod) -> (Base, App) {
    (Base::new(config.signals(method)).unwrap(), App::default())
}

fn add(base: &mut Base, number: i32, token: u64, handler: Handler<App>) -> EventId {
    let spec = EventSpec::signal(number).persist().token(Token(token));
    let id = base.registry().create(spec, handler);
    base.registry().add(id, None).unwrap();
    id
}

fn raise_times(number: i32, times: usize) {
    (0..times).for_each(|_| raise(number).unwrap());
}

/// What is ready now; what fired.
fn drain(base: &mut Base, app: &mut App) -> Vec<(u64, Ready)> {
    base.run_with(app, LoopFlags::NONBLOCK).unwrap();
    std::mem::take(&mut app.fired)
}

/// Whether a set of /proc/thread-self/status has a signal: `SigCgt` are those with a handler,
/// `SigBlk` those this thread blocks.
fn is_in(set: &str, number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(set)).unwrap();
    let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    bits >> (number - 1) & 1 == 1
}

fn is_taken(method: SignalMethod, number: i32) -> bool {
    match method {
        SignalMethod::Handler | SignalMethod::LastBase => is_in("SigCgt", number),
        SignalMethod::SignalFd => is_in("SigBlk", number),
    }
}

on_every_base! {
    fn a_signal_is_reported_with_its_number(config: Config) {
        fn check(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            assert_eq!((fired.signal(), fired.fd()), (Some(SIGUSR1), None));
            assert_eq!(registry.pending(fired.id), Ready::SIGNAL);
            log(registry, app, fired);
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            add(&mut base, SIGUSR1, 7, check);
            assert_eq!(drain(&mut base, &mut app), []);
            for _ in 0..2 {
                raise(SIGUSR1).unwrap();
                assert_eq!(base.run_once(&mut app).unwrap(), LoopEnd::Done);
                assert_eq!(std::mem::take(&mut app.fired), [(7, Ready::SIGNAL)]);
            }
            assert_eq!(drain(&mut base, &mut app), []);
        }
    }

    fn every_delivery_is_a_call(config: Config) {
        let _alone = alone();
        for (method, number, expected) in [
            (SignalMethod::Handler, SIGUSR1, 5),
            (SignalMethod::Handler, QUEUED, 5),
            (SignalMethod::SignalFd, QUEUED, 5),
            // What the kernel folds into one.
            (SignalMethod::SignalFd, SIGUSR1, 1),
        ] {
            let (mut base, mut app) = new(config, method);
            add(&mut base, number, 0, log);
            raise_times(number, 5);
            let calls = drain(&mut base, &mut app).len();
            assert_eq!(calls, expected, "{method:?} of {number}");
        }
    }

    fn all_events_of_a_signal_and_of_several_signals_fire(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            for (number, token) in [(SIGUSR1, 1), (SIGUSR1, 2), (SIGUSR2, 3), (QUEUED, 4)] {
                add(&mut base, number, token, log);
            }
            for number in [SIGUSR1, SIGUSR2] {
                raise(number).unwrap();
            }
            let mut fired = drain(&mut base, &mut app);
            fired.sort_unstable_by_key(|(token, _)| *token);
            assert_eq!(fired, [1, 2, 3].map(|token| (token, Ready::SIGNAL)));
        }
    }

    fn an_event_freed_or_deleted_in_its_handler_is_not_called_for_the_rest(config: Config) {
        fn free(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.free(fired.id);
        }
        fn delete(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.del(fired.id);
        }
        let _alone = alone();
        for method in METHODS {
            for handler in [free as Handler<App>, delete] {
                let (mut base, mut app) = new(config, method);
                add(&mut base, QUEUED, 1, handler);
                add(&mut base, QUEUED, 2, log);
                raise_times(QUEUED, 3);
                let fired = drain(&mut base, &mut app);
                let by = |token| fired.iter().filter(|(other, _)| *other == token).count();
                assert_eq!((by(1), by(2)), (1, 3));
            }
        }
    }

    fn a_break_is_honoured_between_calls_and_drops_those_that_are_left(config: Config) {
        fn break_off(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.loop_break();
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            add(&mut base, QUEUED, 0, break_off);
            raise_times(QUEUED, 3);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
            assert_eq!(std::mem::take(&mut app.fired).len(), 1);
            assert_eq!(drain(&mut base, &mut app), []);
        }
    }

    fn a_signal_raised_while_its_handler_runs_is_reported_afterwards(config: Config) {
        fn again(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            if app.fired.len() < 5 {
                raise(SIGUSR1).unwrap();
            }
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            add(&mut base, SIGUSR1, 0, again);
            raise(SIGUSR1).unwrap();
            assert_eq!(drain(&mut base, &mut app).len(), 5);
        }
    }

    fn the_signal_is_taken_with_its_first_event_and_given_back_with_its_last(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, _) = new(config, method);
            assert!(!is_taken(method, SIGUSR1));
            let first = add(&mut base, SIGUSR1, 0, log);
            let second = add(&mut base, SIGUSR1, 0, log);
            let other = base.registry().create(EventSpec::signal(SIGUSR2), log);
            assert!(is_taken(method, SIGUSR1) && !is_taken(method, SIGUSR2));
            base.registry().del(first);
            assert!(is_taken(method, SIGUSR1));
            base.registry().del(second);
            assert!(!is_taken(method, SIGUSR1));
            base.registry().add(first, None).unwrap();
            base.registry().add(other, None).unwrap();
            assert!(is_taken(method, SIGUSR1) && is_taken(method, SIGUSR2));
            drop(base);
            assert!(!is_taken(method, SIGUSR1) && !is_taken(method, SIGUSR2), "also with the base");
        }
    }

    fn an_event_that_does_not_persist_gives_its_signal_back_before_its_handler_runs(
        config: Config) {
        fn given_back(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            assert_eq!(registry.pending(fired.id), Ready::empty());
            assert!(!is_in("SigCgt", SIGUSR1) && !is_in("SigBlk", SIGUSR1));
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            let id = base.registry().create(EventSpec::signal(SIGUSR1), given_back);
            for _ in 0..2 {
                base.registry().add(id, None).unwrap();
                raise(SIGUSR1).unwrap();
                assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            }
            assert_eq!(app.fired, [(0, Ready::SIGNAL); 2]);
        }
    }

    fn an_event_that_does_not_persist_is_called_for_all_that_came_before_it_ran(
        config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            let id = base.registry().create(EventSpec::signal(QUEUED), log);
            base.registry().add(id, None).unwrap();
            raise_times(QUEUED, 3);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(app.fired, [(0, Ready::SIGNAL); 3]);
        }
    }

    fn an_active_signal_event_that_another_handler_deletes_is_not_called(config: Config) {
        fn delete_others(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            for id in app.ids.drain(..).filter(|id| *id != fired.id) {
                registry.del(id);
                registry.activate(id, Ready::SIGNAL).unwrap();
            }
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            app.ids = [1, 2].map(|token| add(&mut base, QUEUED, token, delete_others)).to_vec();
            raise_times(QUEUED, 3);
            let fired = drain(&mut base, &mut app);
            assert_eq!(fired.len(), 3 + 1, "activated by hand it is called once");
        }
    }

    fn every_base_that_waits_for_a_signal_gets_it(config: Config) {
        let _alone = alone();
        let mut bases: Vec<_> = (0..3).map(|_| new(config, SignalMethod::Handler)).collect();
        for (base, _) in &mut bases {
            add(base, SIGUSR1, 0, log);
        }
        raise_times(SIGUSR1, 2);
        for (base, app) in &mut bases {
            assert_eq!(drain(base, app).len(), 2);
        }
        bases.pop();
        raise(SIGUSR1).unwrap();
        for (base, app) in &mut bases {
            assert_eq!(drain(base, app).len(), 1, "also when one of them has gone");
        }
    }

    fn only_the_last_base_gets_a_signal_where_that_is_the_method(config: Config) {
        let _alone = alone();
        let (mut every, mut app) = new(config, SignalMethod::Handler);
        add(&mut every, SIGUSR1, 9, log);
        let [(mut first, _), (mut second, _)] =
            [(); 2].map(|()| new(config, SignalMethod::LastBase));
        add(&mut first, SIGUSR1, 1, log);
        add(&mut second, SIGUSR1, 2, log);
        raise(SIGUSR1).unwrap();
        assert_eq!(drain(&mut second, &mut app), [(2, Ready::SIGNAL)], "it was added last");
        assert_eq!(drain(&mut first, &mut app), []);
        raise(SIGUSR1).unwrap();
        assert_eq!(drain(&mut first, &mut app), [(1, Ready::SIGNAL)], "its loop began last");
        assert_eq!(drain(&mut second, &mut app), []);
        drop(second);
        raise(SIGUSR1).unwrap();
        assert_eq!(drain(&mut first, &mut app), [], "the last one is gone");
        raise(SIGUSR1).unwrap();
        assert_eq!(drain(&mut first, &mut app), [(1, Ready::SIGNAL)]);
        assert_eq!(drain(&mut every, &mut app).len(), 4, "the others get all");
    }

    fn a_signal_event_can_be_activated_for_several_calls(config: Config) {
        fn log_and_delete(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            if app.fired.len() == 2 {
                registry.del(fired.id);
            }
        }
        let _alone = alone();
        let (mut base, mut app) = new(config, SignalMethod::Handler);
        let id = add(&mut base, SIGUSR1, 0, log);
        for (times, calls) in [(3, 3), (1, 1), (0, 1)] {
            base.registry().activate_times(id, Ready::SIGNAL, times).unwrap();
            assert_eq!(drain(&mut base, &mut app), vec![(0, Ready::SIGNAL); calls]);
        }
        base.registry().activate_times(id, Ready::READ, 2).unwrap();
        assert_eq!(drain(&mut base, &mut app), [(0, Ready::READ); 2], "for any reason");
        base.registry().activate_times(id, Ready::SIGNAL, 2).unwrap();
        base.registry().del(id);
        base.registry().activate(id, Ready::SIGNAL).unwrap();
        assert_eq!(drain(&mut base, &mut app), [(0, Ready::SIGNAL)], "a deletion drops them");
        let id = add(&mut base, SIGUSR1, 0, log_and_delete);
        base.registry().activate_times(id, Ready::SIGNAL, 5).unwrap();
        assert_eq!(drain(&mut base, &mut app).len(), 2, "also one in the handler");
        let timer = base.registry().create(EventSpec::timer(), log);
        base.registry().activate_times(timer, Ready::TIMEOUT, 5).unwrap();
        assert_eq!(drain(&mut base, &mut app), [(0, Ready::TIMEOUT)], "other events: one call");
    }

    fn a_signals_timeout_is_not_rearmed(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            let id = base.registry().create(EventSpec::signal(SIGUSR1).persist(), log);
            base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
            let deadline = base.registry().deadline(id);
            raise(SIGUSR1).unwrap();
            assert_eq!(drain(&mut base, &mut app), [(0, Ready::SIGNAL)]);
            assert_eq!(base.registry().deadline(id), deadline, "nor does firing move it");
            base.registry().add(id, Some(SHORT)).unwrap();
            assert_eq!(base.run_once(&mut app).unwrap(), LoopEnd::Done);
            assert_eq!(std::mem::take(&mut app.fired), [(0, Ready::TIMEOUT)]);
            assert_eq!(base.registry().pending(id), Ready::SIGNAL);
        }
    }

    fn a_number_that_is_no_signal_is_refused_with_the_number(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, _) = new(config, method);
            for number in [0, -1, 65, 1_000_000, i32::MAX, i32::MIN, SIGKILL, SIGSTOP] {
                let id = base.registry().create(EventSpec::signal(number), log);
                let error = base.registry().add(id, Some(SHORT)).unwrap_err();
                assert!(matches!(error, Error::Signal { .. }), "{error}");
                if (1..65).contains(&number) {
                    assert!(error.to_string().contains(&format!("signal {number}")), "{error}");
                }
                assert_eq!(base.registry().pending(id), Ready::empty());
                base.registry().activate_by_signal(number);
            }
            assert_eq!(base.registry().counts(), evshard::EventCounts::default());
            add(&mut base, 64, 0, log);
        }
    }

    fn a_signal_event_keeps_the_loop_alive_and_the_bases_own_does_not(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            let id = add(&mut base, SIGUSR1, 0, log);
            base.registry().loop_exit_after(SHORT);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
            assert_eq!(base.registry().counts().added, 1);
            base.registry().del(id);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(base.registry().len(), 1);
        }
    }

    fn events_of_a_signal_are_activated_by_its_number(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            add(&mut base, SIGUSR1, 1, log);
            add(&mut base, SIGUSR2, 2, log);
            base.registry().activate_by_signal(SIGUSR1);
            base.registry().activate_by_signal(QUEUED);
            assert_eq!(drain(&mut base, &mut app), [(1, Ready::SIGNAL)]);
        }
    }

    fn deliveries_to_an_event_that_is_active_already_add_up(config: Config) {
        fn raise_more(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            if app.fired.len() == 2 {
                raise_times(QUEUED, 3);
            }
            if app.fired.len() < 3 {
                registry.activate_later(fired.id, Ready::WRITE).unwrap();
            }
        }
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config.priorities(2), method);
            add(&mut base, QUEUED, 1, log);
            let urgent = base.registry().create(EventSpec::timer().token(Token(0)), raise_more);
            base.registry().set_priority(urgent, 0).unwrap();
            raise_times(QUEUED, 2);
            base.registry().activate(urgent, Ready::WRITE).unwrap();
            let fired = drain(&mut base, &mut app);
            assert_eq!(fired[..3], [(0, Ready::WRITE); 3], "the other one waits meanwhile");
            assert_eq!(fired[3..], [(1, Ready::SIGNAL); 5]);
        }
    }

    fn deliveries_before_addition_or_after_deletion_are_not_reported(
        config: Config) {
        let _alone = alone();
        let (mut keeper, mut kept) = new(config, SignalMethod::Handler);
        add(&mut keeper, SIGUSR1, 0, log);
        let (mut base, mut app) = new(config, SignalMethod::Handler);
        let id = add(&mut base, SIGUSR1, 0, log);
        raise(SIGUSR1).unwrap();
        base.registry().del(id);
        raise(SIGUSR1).unwrap();
        base.registry().add(id, None).unwrap();
        assert_eq!(drain(&mut base, &mut app), []);
        raise(SIGUSR1).unwrap();
        assert_eq!(drain(&mut base, &mut app).len(), 1);
        assert_eq!(drain(&mut keeper, &mut kept).len(), 3);
    }

    fn a_signal_in_another_thread_ends_a_long_wait(config: Config) {
        let _alone = alone();
        let (mut base, mut app) = new(config, SignalMethod::Handler);
        let id = base.registry().create(EventSpec::signal(SIGUSR1), log);
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        app.ids.push(id);
        let begun = std::time::Instant::now();
        let raiser = std::thread::spawn(|| raise(SIGUSR1).unwrap());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        raiser.join().unwrap();
        assert_eq!(app.fired, [(0, Ready::SIGNAL)]);
        assert!(begun.elapsed() < common::TEST_TIMEOUT / 2);
    }

    fn a_handler_that_panics_loses_only_the_calls_that_were_left(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            let id = add(&mut base, QUEUED, 0, |registry, app, fired| {
                log(registry, app, fired);
                std::panic::resume_unwind(Box::new("given up"));
            });
            raise_times(QUEUED, 3);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                base.run(&mut app)
            }));
            ended.unwrap_err();
            assert_eq!(std::mem::take(&mut app.fired).len(), 1);
            assert_eq!(base.registry().pending(id), Ready::SIGNAL);
            base.registry().free(id);
            add(&mut base, QUEUED, 1, log);
            raise_times(QUEUED, 2);
            assert_eq!(drain(&mut base, &mut app), [(1, Ready::SIGNAL); 2]);
        }
    }

    fn a_delivery_without_waiting_events_does_nothing(config: Config) {
        let _alone = alone();
        for method in METHODS {
            let (mut base, mut app) = new(config, method);
            // By default, either signal ends the process.
            for number in [SIGUSR1, QUEUED] {
                let id = add(&mut base, number, 1, log);
                raise_times(number, 3);
                base.registry().free(id);
                assert_eq!(drain(&mut base, &mut app), []);
            }
        }
    }
}

#[test]
fn the_previous_action_handles_the_signal_again_afterwards() {
    let _alone = alone();
    const NUMBER: i32 = 41;
    let handled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(NUMBER, handled.clone()).unwrap();
    for config in common::all_configs() {
        let (mut base, mut app) = new(config, SignalMethod::Handler);
        let id = add(&mut base, NUMBER, 0, log);
        raise(NUMBER).unwrap();
        assert_eq!(drain(&mut base, &mut app).len(), 1);
        assert!(!handled.load(Ordering::Relaxed), "it is ours meanwhile");
        base.registry().del(id);
        raise(NUMBER).unwrap();
        assert!(handled.swap(false, Ordering::Relaxed));
    }
}
