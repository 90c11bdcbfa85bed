//! Handlers that panic: the base stays consistent, and the remaining events still run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::app::*;
use crate::{common, on_every_base};

/// Panics without the default hook's output.
fn give_up() {
    std::panic::resume_unwind(Box::new("given up"));
}

fn panic_once(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    log(registry, app, fired);
    give_up();
}

/// Runs until something panics.
#[track_caller]
fn run_into_panic(base: &mut Base, app: &mut App) {
    let ended = catch_unwind(AssertUnwindSafe(|| base.run(app)));
    assert_eq!(*ended.unwrap_err().downcast::<&str>().unwrap(), "given up");
}

on_every_base! {
    fn events_behind_a_handler_that_panics_run_next_time(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        for (token, handler) in [(0, log as Handler<App>), (1, panic_once), (2, log)] {
            let id = base.registry().create(EventSpec::timer().token(Token(token)), handler);
            base.registry().activate(id, Ready::WRITE).unwrap();
        }
        run_into_panic(&mut base, &mut app);
        assert_eq!(std::mem::take(&mut app.fired), [(0, Ready::WRITE), (1, Ready::WRITE)]);
        assert_eq!(base.registry().running(), None);
        assert!(!base.registry().got_exit() && !base.registry().got_break());
        let now = base.registry().now();
        common::eventually("time goes on", || base.registry().now() > now);
        let spec = EventSpec::io(&reader, Interest::READ).token(Token(3));
        add(&mut base, spec, log);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(2, Ready::WRITE), (3, Ready::READ)]);
        assert_eq!(base.registry().counts(), evshard::EventCounts::default());
    }

    fn a_persistent_event_whose_handler_panics_stays_pending_and_a_plain_one_is_idle(
        config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ);
        let persistent = base.registry().create(spec.persist(), panic_once);
        base.registry().add(persistent, Some(common::TEST_TIMEOUT)).unwrap();
        for _ in 0..2 {
            run_into_panic(&mut base, &mut app);
            assert_eq!(base.registry().pending(persistent), Ready::READ | Ready::TIMEOUT);
        }
        base.registry().free(persistent);
        let plain = add(&mut base, spec, panic_once);
        run_into_panic(&mut base, &mut app);
        assert_eq!(base.registry().pending(plain), Ready::empty());
        assert_eq!(app.fired, [(0, Ready::READ); 3]);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
    }

    fn a_once_event_whose_handler_panics_is_gone(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), panic_once).unwrap();
        run_into_panic(&mut base, &mut app);
        assert!(base.registry().is_empty());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
    }

    fn an_exit_requested_before_a_panic_ends_only_that_loop(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let id = base.registry().create(EventSpec::timer(), |registry, _, _| {
            registry.loop_exit();
            give_up();
        });
        base.registry().activate(id, Ready::WRITE).unwrap();
        run_into_panic(&mut base, &mut app);
        assert!(base.registry().got_exit());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(!base.registry().got_exit());
    }

    fn closures_posted_behind_one_that_panics_run_next_time(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        // Keeps the loop alive, and ends it if what was posted is lost.
        let end = base.registry().loop_exit_after(common::TEST_TIMEOUT);
        let remote = base.remote();
        let note = |token| move |_: &mut Registry<App>, app: &mut App| {
            app.fired.push((token, Ready::empty()));
        };
        remote.post(note(0)).unwrap();
        remote.post(|_, _| give_up()).unwrap();
        remote.post(note(1)).unwrap();
        remote.post(|_, _| give_up()).unwrap();
        remote.post(note(2)).unwrap();
        remote.post(move |registry, _| registry.free(end)).unwrap();
        run_into_panic(&mut base, &mut app);
        assert_eq!(app.fired.len(), 1);
        run_into_panic(&mut base, &mut app);
        assert_eq!(app.fired.len(), 2);
        remote.post(note(3)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(app.fired.iter().map(|(token, _)| *token).eq(0..4), "in the order posted");
    }

    fn a_watcher_that_panics_loses_nothing(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).edge();
        let spec = if base.registry().features().contains(Features::EDGE) { spec } else {
            EventSpec::io(&reader, Interest::READ)
        };
        let id = base.registry().create(spec, log);
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        let prepare = base.registry().watch_prepare(|_, _, _| give_up());
        run_into_panic(&mut base, &mut app);
        base.registry().unwatch(prepare);
        let check = base.registry().watch_check(|_, _| give_up());
        run_into_panic(&mut base, &mut app);
        base.registry().unwatch(check);
        let id = base.registry().create(EventSpec::timer().token(Token(1)), log);
        base.registry().add(id, Some(Duration::ZERO)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        app.fired.sort_unstable_by_key(|(token, _)| *token);
        assert_eq!(app.fired, [(0, Ready::READ), (1, Ready::TIMEOUT)], "not even an edge");
    }
}
