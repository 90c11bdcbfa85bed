//! Other threads: what they add, delete and end, and how often they wake the base.

use std::sync::mpsc;
use std::thread;

use evshard::{Remote, Wake};

use crate::app::*;
use crate::{common, on_every_base};

/// Runs the base until it ends, while `act` does something in another thread. `act` starts when
/// the loop runs, and mostly when it sleeps.
fn run_beside(
    base: &mut Base,
    app: &mut App,
    act: impl FnOnce(Remote<App>) + Send + 'static,
) -> LoopEnd {
    let (remote, (running, runs)) = (base.remote(), mpsc::channel());
    remote.post(move |_, _| running.send(()).unwrap()).unwrap();
    let actor = thread::spawn(move || {
        runs.recv_timeout(common::TEST_TIMEOUT).expect("the loop runs");
        act(remote);
    });
    let ended = base.run(app).unwrap();
    actor.join().unwrap();
    ended
}

on_every_base! {
    fn another_thread_adds_deletes_activates_and_frees_events(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).token(Token(1));
        let added = base.registry().create(spec, log);
        let user = base.registry().create(EventSpec::timer().token(Token(2)), log);
        base.registry().hold();
        let ended = run_beside(&mut base, &mut app, move |remote| {
            remote.add(added, Some(common::TEST_TIMEOUT)).unwrap();
            remote.activate(user, Ready::WRITE).unwrap();
            // Done when the second turn from here has begun.
            for _ in 0..2 {
                let (done, is_done) = mpsc::channel();
                remote.post(move |_, _| done.send(()).unwrap()).unwrap();
                is_done.recv_timeout(common::TEST_TIMEOUT).unwrap();
            }
            remote.free(user).unwrap();
            remote.activate(user, Ready::WRITE).unwrap();
            remote.del(added).unwrap();
            remote.post(|registry, _| registry.release()).unwrap();
        });
        assert_eq!(ended, LoopEnd::Empty);
        let by_2 = app.fired.iter().filter(|(token, _)| *token == 2).count();
        assert_eq!(by_2, 1, "activating what was freed does nothing");
        assert!(app.fired.contains(&(1, Ready::READ)));
        assert_eq!(base.registry().pending(added), Ready::empty());
        assert_eq!(base.registry().len(), 1);
    }

    fn an_event_that_a_remote_cannot_add_gets_the_reason(config: Config) {
        fn why(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            let message = registry.take_refusal(fired.id).unwrap().to_string();
            assert!(message.contains("fd -1"), "{message}");
            registry.loop_exit();
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let bad = base.registry().create(EventSpec::io(&-1, Interest::READ), why);
        base.remote().add(bad, None).unwrap();
        base.run_until_exit(&mut app).unwrap();
        assert_eq!(app.fired, [(0, Ready::REFUSED)]);
    }

    fn deleting_the_earliest_timer_or_the_last_event_ends_a_long_wait(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (silent, _peer) = pair();
        let begun = Instant::now();
        let timer = base.registry().create(EventSpec::timer(), log);
        base.registry().add(timer, Some(common::TEST_TIMEOUT)).unwrap();
        let reader = add(&mut base, EventSpec::io(&silent, Interest::READ), log);
        let ended = run_beside(&mut base, &mut app, move |remote| {
            remote.del(timer).unwrap();
            remote.free(reader).unwrap();
        });
        assert_eq!((ended, app.fired.len()), (LoopEnd::Empty, 0));
        assert!(begun.elapsed() < common::TEST_TIMEOUT / 2);
    }

    fn an_earlier_timer_added_by_another_thread_shortens_the_wait(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let begun = Instant::now();
        let late = base.registry().create(EventSpec::timer(), log);
        base.registry().add(late, Some(common::TEST_TIMEOUT)).unwrap();
        let early = base.registry().create(EventSpec::timer(), |registry, _, _| {
            registry.loop_exit();
        });
        let ended = run_beside(&mut base, &mut app, move |remote| {
            remote.add(early, Some(SHORT)).unwrap();
        });
        assert_eq!(ended, LoopEnd::Stopped);
        assert!(begun.elapsed() < common::TEST_TIMEOUT / 2);
    }

    fn a_break_by_another_thread_ends_a_long_wait_and_leaves_active_events_active(config: Config) {
        let (mut base, mut app) = (Base::new(config.priorities(2)).unwrap(), App::default());
        let id = base.registry().create(EventSpec::timer(), log);
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        let ended = run_beside(&mut base, &mut app, |remote| {
            remote.loop_break();
        });
        assert_eq!(ended, LoopEnd::Stopped);
        assert!(base.registry().got_break() && !base.registry().got_exit());
        assert_eq!(base.registry().pending(id), Ready::TIMEOUT);
    }

    fn a_break_by_another_thread_stops_a_pass_after_the_running_handler(config: Config) {
        fn wait_for_break(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            let remote = registry.remote();
            thread::spawn(move || remote.loop_break()).join().unwrap();
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        for token in 0..2 {
            let spec = EventSpec::timer().token(Token(token));
            let id = base.registry().create(spec, wait_for_break);
            base.registry().activate(id, Ready::WRITE).unwrap();
        }
        for token in 0..2 {
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
            assert!(base.registry().got_break());
            assert_eq!(std::mem::take(&mut app.fired), [(token, Ready::WRITE)]);
        }
    }

    fn an_exit_by_another_thread_counts_before_the_loop_and_a_break_does_not(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.remote().loop_exit();
        assert_eq!(base.run_until_exit(&mut app).unwrap(), LoopEnd::Stopped);
        assert!(base.registry().got_exit());
        base.remote().loop_break();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(!base.registry().got_break());
    }

    fn closures_posted_before_an_empty_loop_ends_still_count(config: Config) {
        fn post_more(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            let remote = registry.remote();
            let add = move |registry: &mut Registry<App>, _: &mut App| {
                registry.once(EventSpec::timer().token(Token(2)), Some(SHORT), log).unwrap();
            };
            thread::spawn(move || remote.post(add).unwrap()).join().unwrap();
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let user = base.registry().create(EventSpec::timer().token(Token(1)), post_more);
        base.remote().activate(user, Ready::WRITE).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(1, Ready::WRITE), (2, Ready::TIMEOUT)]);
    }

    fn a_base_that_is_awake_costs_no_system_call(config: Config) {
        fn post_to_self(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            let remote = registry.remote();
            let wakes = thread::spawn(move || {
                let id = fired.id;
                [
                    remote.post(|_, _| ()).unwrap(),
                    remote.del(id).unwrap(),
                    remote.free(id).unwrap(),
                    remote.notifier().notify(),
                    remote.loop_exit(),
                ]
            });
            assert_eq!(wakes.join().unwrap(), [Wake::Suppressed; 5]);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        assert_eq!(base.remote().post(|_, _| ()).unwrap(), Wake::Suppressed, "it does not run");
        let id = base.registry().create(EventSpec::timer(), post_to_self);
        base.registry().activate(id, Ready::WRITE).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
        assert_eq!(app.fired.len(), 1);
    }

    fn a_base_that_sleeps_is_woken_once_for_many(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().hold();
        let ended = run_beside(&mut base, &mut app, |remote| {
            // Until it sleeps, which shows by the wake that is sent.
            common::eventually("the base sleeps", || {
                remote.post(|_, _| ()).unwrap() == Wake::Sent
            });
            // From here on it has something to do until it is released.
            let (release, held) = mpsc::channel();
            remote.post(move |_, _| held.recv_timeout(common::TEST_TIMEOUT).unwrap()).unwrap();
            for _ in 0..1000 {
                assert_eq!(remote.post(|_, _| ()).unwrap(), Wake::Suppressed);
            }
            remote.post(|registry, _| registry.release()).unwrap();
            release.send(()).unwrap();
        });
        assert_eq!(ended, LoopEnd::Empty);
    }

    fn the_same_event_may_be_added_from_several_threads(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, mut writer) = pair();
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ), log);
        base.registry().hold();
        run_beside(&mut base, &mut app, move |remote| {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..100).for_each(|_| {
                        remote.add(id, Some(common::TEST_TIMEOUT)).unwrap();
                    }));
                }
            });
            remote.post(|registry, _| registry.release()).unwrap();
            writer.write_all(b"x").unwrap();
        });
        assert_eq!(app.fired, [(0, Ready::READ)]);
        assert_eq!(base.registry().counts(), evshard::EventCounts::default());
    }
}
