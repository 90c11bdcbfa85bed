//! How a loop runs and ends: flags, exits, breaks, and what keeps it alive.

use crate::app::*;
use crate::{common, on_every_base};

on_every_base! {
    fn exit_finishes_the_pass_and_break_does_not(config: Config) {
        fn exit(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.loop_exit();
        }
        fn break_off(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.loop_break();
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let handlers: [(Handler<App>, usize); 2] = [(exit, 3), (break_off, 1)];
        for (handler, expected) in handlers {
            for token in 0..3 {
                let id = base.registry().create(EventSpec::timer().token(Token(token)), handler);
                base.registry().activate(id, Ready::TIMEOUT).unwrap();
            }
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
            assert_eq!(app.fired.len(), expected);
            assert_eq!(base.registry().got_exit(), expected == 3);
            assert_eq!(base.registry().got_break(), expected == 1);
            app.fired.clear();
        }
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped, "the rest is still active");
        assert_eq!(app.fired, [(1, Ready::TIMEOUT)]);
    }

    fn a_stopped_loop_differs_from_a_finished_one(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let handlers: [(Handler<App>, LoopEnd); 3] = [
            (log, LoopEnd::Done),
            (|registry, _, _| registry.loop_exit(), LoopEnd::Stopped),
            (|registry, _, _| registry.loop_break(), LoopEnd::Stopped),
        ];
        for (handler, expected) in handlers {
            let id = base.registry().create(EventSpec::timer(), handler);
            base.registry().activate(id, Ready::TIMEOUT).unwrap();
            assert_eq!(base.run_once(&mut app).unwrap(), expected);
        }
    }

    fn an_exit_requested_before_the_loop_counts_and_a_break_does_not(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().loop_exit();
        assert_eq!(base.run_until_exit(&mut app).unwrap(), LoopEnd::Stopped);
        base.registry().loop_break();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(!base.registry().got_break());
    }

    fn once_waits_for_something_and_nonblock_never_waits(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (silent, _peer) = pair();
        add(&mut base, EventSpec::io(&silent, Interest::READ).persist(), log);
        let ended = base.run_with(&mut app, LoopFlags::NONBLOCK).unwrap();
        assert_eq!((ended, app.fired.len()), (LoopEnd::Done, 0));
        let timer = base.registry().create(EventSpec::timer(), log);
        base.registry().add(timer, Some(SHORT)).unwrap();
        assert_eq!(base.run_once(&mut app).unwrap(), LoopEnd::Done);
        assert_eq!(app.fired, [(0, Ready::TIMEOUT)]);
    }

    fn nonblock_goes_on_until_a_poll_finds_nothing(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let pairs: Vec<_> = (0..100).map(|_| readable_pair()).collect();
        for (reader, _) in &pairs {
            add(&mut base, EventSpec::io(reader, Interest::READ), log);
        }
        base.run_with(&mut app, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(app.fired.len(), 100, "more than one event array holds, each exactly once");
    }

    fn a_loop_without_events_ends_at_once(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        base.registry().create(EventSpec::timer(), log);
        let ended = base.run(&mut app).unwrap();
        assert_eq!(ended, LoopEnd::Empty, "an idle event keeps no loop alive");
    }

    fn an_event_that_waits_for_nothing_keeps_no_loop_alive(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        add(&mut base, EventSpec::io(&reader, Interest::empty()).persist(), log);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
    }

    fn of_several_delayed_exits_the_earliest_ends_the_loop(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let registry = base.registry();
        registry.loop_exit_after(common::TEST_TIMEOUT);
        registry.loop_exit_after(SHORT);
        let other = registry.loop_exit_after(common::TEST_TIMEOUT * 2);
        registry.free(other);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
        assert!(base.registry().got_exit() && !base.registry().got_break());
        assert_eq!(base.registry().len(), 1, "the later one is still to come");
    }

    fn an_exit_that_was_freed_does_not_end_the_loop(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let exit = base.registry().loop_exit_after(Duration::ZERO);
        base.registry().free(exit);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(!base.registry().got_exit());
    }

    fn how_a_loop_ended_is_known_until_the_next_one_begins(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().loop_exit_after(Duration::ZERO);
        base.run(&mut app).unwrap();
        assert!(base.registry().got_exit());
        let spec = EventSpec::timer();
        let break_off: Handler<App> = |registry, _, _| {
            assert!(!registry.got_exit(), "that was the last loop");
            registry.loop_break();
        };
        base.registry().once(spec, Some(Duration::ZERO), break_off).unwrap();
        base.run(&mut app).unwrap();
        assert!(base.registry().got_break() && !base.registry().got_exit());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(!base.registry().got_break() && !base.registry().got_exit());
    }

    fn a_handler_sees_that_the_loop_must_exit(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let exit: Handler<App> = |registry, _, _| {
            assert!(!registry.got_exit());
            registry.loop_exit();
            assert!(registry.got_exit());
        };
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), exit).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
        assert!(base.registry().got_exit());
    }

    fn an_empty_loop_with_no_exit_on_empty_waits_for_another_thread(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (remote, waits) = (base.remote(), base.registry().stats().waits);
        let stopper = std::thread::spawn(move || remote.loop_exit());
        assert_eq!(base.run_until_exit(&mut app).unwrap(), LoopEnd::Stopped);
        stopper.join().unwrap();
        assert!(base.registry().got_exit());
        assert!(base.registry().stats().waits <= waits + 2, "it does not spin");
    }

    fn a_hold_keeps_an_empty_loop_alive_until_it_is_released(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().hold();
        base.registry().hold();
        base.registry().release();
        assert_eq!(base.registry().counts().held, 1);
        let remote = base.remote();
        let worker = std::thread::spawn(move || {
            remote.post(|registry, app: &mut App| {
                app.fired.push((7, Ready::empty()));
                registry.release();
            }).unwrap();
        });
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        worker.join().unwrap();
        assert_eq!(app.fired, [(7, Ready::empty())]);
        base.registry().release();
        assert_eq!((base.registry().counts().held, base.registry().max_counts().held), (0, 2));
    }

    fn the_event_whose_handler_runs_is_known_while_it_does(config: Config) {
        fn look(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            assert_eq!(registry.running(), Some(fired.id));
            log(registry, app, fired);
            registry.free(fired.id);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        assert_eq!(base.registry().running(), None);
        base.registry().watch_check(|registry, _| assert_eq!(registry.running(), None));
        for token in 0..2 {
            let id = base.registry().create(EventSpec::timer().token(Token(token)), look);
            base.registry().activate(id, Ready::READ).unwrap();
        }
        base.run(&mut app).unwrap();
        assert_eq!(app.fired.len(), 2);
        assert_eq!(base.registry().running(), None);
    }

    fn a_posted_closure_runs_on_behalf_of_no_event(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.remote().post(|registry, app: &mut App| {
            app.ids.extend(registry.running());
        }).unwrap();
        base.run(&mut app).unwrap();
        assert_eq!(app.ids, [], "handlers do not see the base's own event");
    }

    fn a_base_can_be_dropped_with_events_pending_and_closes_no_descriptor(config: Config) {
        let (reader, mut writer) = pair();
        let mut base = Base::new(config).unwrap();
        add(&mut base, EventSpec::io(&reader, Interest::READ).persist(), log);
        let timer = base.registry().create(EventSpec::timer(), log);
        base.registry().add(timer, Some(SHORT)).unwrap();
        base.registry().activate(timer, Ready::READ).unwrap();
        poll(&mut base, &mut App::default());
        drop(base);
        writer.write_all(b"x").unwrap();
        (&reader).read_exact(&mut [0]).unwrap();
    }
}
