//! Activation by hand: user events, events of a descriptor, and handlers that act on each other.

use crate::app::*;
use crate::{common, on_every_base};

/// Acts on event 1 in its context, which is active behind it.
fn acting(config: Config, act: Handler<App>) -> (Base, App, [(UnixStream, UnixStream); 2]) {
    let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
    let pairs = [readable_pair(), readable_pair()];
    for (token, handler) in [(0, act), (1, log)] {
        let reader = &pairs[token as usize].0;
        let spec = EventSpec::io(reader, Interest::READ).persist().token(Token(token));
        app.ids.push(add(&mut base, spec, handler));
    }
    for id in app.ids.clone() {
        base.registry().activate(id, Ready::READ).unwrap();
    }
    (base, app, pairs)
}

on_every_base! {
    fn a_user_event_runs_when_activated_and_keeps_no_loop_alive(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let user = base.registry().create(EventSpec::timer(), log);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        for ready in [Ready::READ, Ready::TIMEOUT | Ready::CLOSED] {
            base.registry().activate(user, ready).unwrap();
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(std::mem::take(&mut app.fired), [(0, ready)]);
        }
        base.registry().free(user);
        assert!(matches!(base.registry().activate(user, Ready::READ), Err(Error::Stale(_))));
        assert!(matches!(base.registry().activate_later(user, Ready::READ), Err(Error::Stale(_))));
    }

    fn a_handler_that_activates_itself_runs_again_in_the_same_pass(config: Config) {
        fn again(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            if app.fired.len() < 4 {
                registry.activate(fired.id, Ready::READ).unwrap();
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let id = base.registry().create(EventSpec::timer(), again);
        base.registry().activate(id, Ready::WRITE).unwrap();
        let before = base.registry().stats().waits;
        assert_eq!(base.run_once(&mut app).unwrap(), LoopEnd::Done);
        assert_eq!(app.fired.len(), 4);
        assert_eq!(base.registry().stats().waits, before + 1);
    }

    fn a_handler_may_delete_another_that_is_about_to_run(config: Config) {
        fn delete(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.del(app.ids[1]);
        }
        let (mut base, mut app, _pairs) = acting(config, delete);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
        assert_eq!(base.registry().pending(app.ids[1]), Ready::empty());
        base.registry().add(app.ids[1], None).unwrap();
        let mut fired = poll(&mut base, &mut app);
        fired.retain(|(token, _)| *token == 1);
        assert!(fired.len() <= 1, "it may be deleted again before its turn");
    }

    fn a_handler_may_delete_and_add_another_that_is_about_to_run(config: Config) {
        fn renew(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            registry.del(app.ids[1]);
            registry.add(app.ids[1], None).unwrap();
            registry.del(fired.id);
        }
        let (mut base, mut app, _pairs) = acting(config, renew);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)], "its activation is dropped");
        assert_eq!(poll(&mut base, &mut app), [(1, Ready::READ)], "it is still ready");
    }

    fn a_one_shot_event_may_be_deleted_and_added_before_it_runs(config: Config) {
        fn renew(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            for id in app.ids.drain(..).filter(|id| *id != fired.id) {
                registry.del(id);
                registry.add(id, None).unwrap();
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let pairs = [readable_pair(), readable_pair()];
        app.ids = pairs
            .iter()
            .map(|(reader, _)| add(&mut base, EventSpec::io(reader, Interest::READ), renew))
            .collect();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired.len(), 2, "what was reported before is reported again");
    }

    fn deleting_an_idle_deleted_or_freed_event_has_no_effect(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ), log);
        for _ in 0..3 {
            base.registry().del(id);
        }
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        for _ in 0..3 {
            base.registry().del(id);
            base.registry().remove_timeout(id);
        }
        assert_eq!(base.registry().counts(), evshard::EventCounts::default());
        base.registry().free(id);
        base.registry().del(id);
        base.registry().remove_timeout(id);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, []);
    }

    fn events_of_a_descriptor_are_activated_by_its_number(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (silent, _peer) = pair();
        let (other, _peer) = pair();
        let spec = |fd: &UnixStream, interest, token| {
            EventSpec::io(fd, interest).persist().token(Token(token))
        };
        add(&mut base, spec(&silent, Interest::READ, 1), log);
        add(&mut base, spec(&silent, Interest::READ, 2), log);
        add(&mut base, spec(&other, Interest::READ, 3), log);
        let timed = base.registry().create(spec(&silent, Interest::empty(), 4), log);
        base.registry().add(timed, Some(common::TEST_TIMEOUT)).unwrap();
        let unadded = base.registry().create(spec(&silent, Interest::READ, 5), log);
        let fd = silent.as_raw_fd();

        base.registry().activate_by_fd(fd, Ready::READ | Ready::CLOSED);
        assert_eq!(poll(&mut base, &mut app), [(2, Ready::READ), (1, Ready::READ)]);
        base.registry().activate_by_fd(fd, Ready::TIMEOUT);
        assert_eq!(poll(&mut base, &mut app), [(4, Ready::TIMEOUT)], "whose timeout runs");
        for (fd, ready) in [(fd, Ready::WRITE), (-1, Ready::all()), (1_000_000, Ready::all())] {
            base.registry().activate_by_fd(fd, ready);
        }
        assert_eq!(poll(&mut base, &mut app), [], "no event waits for that");
        base.registry().free(unadded);
    }

    fn an_io_event_activated_before_it_is_added_is_registered(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, mut writer) = pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist();
        let id = base.registry().create(spec, log);
        base.registry().activate(id, Ready::WRITE).unwrap();
        base.registry().add(id, None).unwrap();
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::WRITE)]);
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
    }

    fn a_handler_may_make_add_and_activate_new_events(config: Config) {
        fn grow(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            log(registry, app, fired);
            if fired.token.0 < 5 {
                let spec = EventSpec::timer().token(Token(fired.token.0 + 1));
                let id = registry.create(spec, grow);
                registry.add(id, Some(Duration::ZERO)).unwrap();
            }
            registry.free(fired.id);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().once(EventSpec::timer(), Some(Duration::ZERO), grow).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert!(app.fired.iter().map(|(token, _)| *token).eq(0..=5));
        assert!(base.registry().is_empty());
    }
}
