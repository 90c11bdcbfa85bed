//! How a loop runs and ends: flags, exits, breaks, and what keeps it alive.

use crate::app::*;
use crate::on_every_base;

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

    fn a_stop_is_told_from_a_loop_that_is_done(config: Config) {
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

    fn an_exit_asked_for_before_the_loop_counts_and_a_break_does_not(config: Config) {
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
}
