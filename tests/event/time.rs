//! Time: the current time inside and outside the loop, intervals, and common timeouts.

use crate::app::*;
use crate::{common, on_every_base};

/// Computes until the clock that the base shows has moved.
fn spin_until_time_moves(since: Instant) {
    while since.elapsed() < Duration::from_millis(30) {}
}

on_every_base! {
    fn now_is_one_moment_in_a_turn_unless_it_is_read_anew(config: Config) {
        fn look(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            let now = registry.now();
            spin_until_time_moves(Instant::now());
            assert_eq!(registry.now(), now, "however long the handler takes");
            registry.update_time();
            assert!(registry.now() > now);
            log(registry, app, fired);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), look).unwrap();
        base.run(&mut app).unwrap();
        assert_eq!(app.fired.len(), 1);
        let now = base.registry().now();
        spin_until_time_moves(Instant::now());
        assert!(base.registry().now() > now, "outside the loop it is read afresh");
    }

    fn without_a_cache_now_is_always_read_afresh(config: Config) {
        fn look(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            let now = registry.now();
            spin_until_time_moves(Instant::now());
            assert!(registry.now() > now);
            log(registry, app, fired);
        }
        let (mut base, mut app) = (Base::new(config.cached_time(false)).unwrap(), App::default());
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), look).unwrap();
        base.run(&mut app).unwrap();
        assert_eq!(app.fired.len(), 1);
    }

    fn the_wall_clock_is_read_at_the_same_moment(config: Config) {
        fn look(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            let (now, wall) = (registry.now(), registry.system_time());
            spin_until_time_moves(Instant::now());
            assert_eq!(registry.now(), now);
            let again = registry.system_time();
            let apart = again.duration_since(wall).unwrap_or_else(|error| error.duration());
            // Setting the clock or a stopped process may separate them, but not by this much.
            assert!(apart < Duration::from_secs(1), "{apart:?}");
            log(registry, app, fired);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), look).unwrap();
        base.run(&mut app).unwrap();
        assert_eq!(app.fired.len(), 1);
        let (ours, theirs) = (base.registry().system_time(), std::time::SystemTime::now());
        let apart = theirs.duration_since(ours).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_secs(1), "outside the loop it is the wall clock's");
    }

    fn a_stalled_loop_makes_up_for_no_missed_ticks(config: Config) {
        fn stall(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            let begun = Instant::now();
            while app.fired.len() == 1 && begun.elapsed() < Duration::from_millis(60) {}
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let ticker = base.registry().create(EventSpec::timer().persist(), stall);
        base.registry().add(ticker, Some(SHORT)).unwrap();
        base.run_once(&mut app).unwrap();
        assert_eq!(app.fired.len(), 1);
        base.run_with(&mut app, LoopFlags::NONBLOCK).unwrap();
        let ticks = app.fired.len() - 1;
        assert!((1..10).contains(&ticks), "twenty ticks passed, {ticks} fired");
    }

    fn many_of_one_common_timeout_expire_in_the_order_they_were_set(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let common = base.registry().common_timeout(SHORT).unwrap();
        for token in 0..100 {
            let id = base.registry().create(EventSpec::timer().token(Token(token)), log);
            base.registry().add_common(id, common).unwrap();
        }
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(app.fired.iter().map(|(token, _)| *token).eq(0..100));
        assert!(app.fired.iter().all(|(_, ready)| *ready == Ready::TIMEOUT));
    }

    fn a_common_timeout_is_an_interval_for_a_persistent_event(config: Config) {
        fn thrice(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            assert_eq!(registry.pending(fired.id), Ready::TIMEOUT);
            if app.fired.len() == 3 {
                registry.free(fired.id);
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let common = base.registry().common_timeout(SHORT).unwrap();
        let id = base.registry().create(EventSpec::timer().persist(), thrice);
        base.registry().add_common(id, common).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired.len(), 3);
    }

    fn one_duration_is_one_common_timeout_and_there_are_256_at_most(config: Config) {
        let mut base = Base::new(config).unwrap();
        let timeout = |base: &mut Base, ms| base.registry().common_timeout(
            Duration::from_millis(ms));
        let made: Vec<_> = (0..256).map(|ms| timeout(&mut base, ms).unwrap()).collect();
        assert!(matches!(timeout(&mut base, 256), Err(Error::TooManyTimeouts)));
        assert_eq!(timeout(&mut base, 5).unwrap(), made[5], "known durations are found again");
        let five = base.registry().common_timeout(Duration::from_micros(5000)).unwrap();
        assert_eq!(five, made[5], "however they are written");

        let mut other = Base::new(config).unwrap();
        let id = other.registry().create(EventSpec::timer(), log);
        let error = other.registry().add_common(id, made[200]).unwrap_err();
        assert!(matches!(error, Error::ForeignTimeout), "{error}");
        assert_eq!(other.registry().pending(id), Ready::empty());
        other.registry().free(id);
        let own = other.registry().common_timeout(SHORT).unwrap();
        assert!(matches!(other.registry().add_common(id, own), Err(Error::Stale(_))));
    }

    fn a_timeout_set_again_counts_from_then(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let soon = base.registry().create(EventSpec::timer().token(Token(1)), log);
        let late = base.registry().create(EventSpec::timer().token(Token(2)), log);
        base.registry().add(soon, Some(SHORT)).unwrap();
        base.registry().add(late, Some(SHORT * 10)).unwrap();
        base.registry().add(soon, Some(SHORT * 30)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(2, Ready::TIMEOUT), (1, Ready::TIMEOUT)]);
    }

    fn the_longest_timeout_is_for_ever(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let id = base.registry().create(EventSpec::timer(), log);
        base.registry().add(id, Some(Duration::MAX)).unwrap();
        assert_eq!(poll(&mut base, &mut app), []);
        base.registry().loop_exit_after(SHORT);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped);
        assert_eq!(app.fired, []);
        assert_eq!(base.registry().pending(id), Ready::TIMEOUT);
        let far = base.registry().deadline(id).unwrap() - base.registry().now();
        assert!(far > common::TEST_TIMEOUT);
    }
}

#[test]
fn time_is_precise_unless_configured_coarse() {
    let mut base = Base::new(Config::default().ignore_environment()).unwrap();
    assert_eq!(base.registry().clock_kind(), ClockKind::Precise);
    let config = Config::default().ignore_environment().clock(ClockKind::Coarse);
    assert_eq!(Base::new(config).unwrap().registry().clock_kind(), ClockKind::Coarse);
}
