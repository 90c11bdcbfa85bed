//! The states of an event: created, pending, active, idle, freed. Handlers change their own event
//! and others.

use crate::app::*;
use crate::on_every_base;

on_every_base! {
    fn a_one_shot_event_is_idle_when_its_handler_runs_and_may_be_added_again(config: Config) {
        fn again(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            assert_eq!(registry.pending(fired.id), Ready::empty());
            app.fired.push((fired.token.0, fired.ready));
            if app.ids.pop().is_some() {
                registry.add(fired.id, None).unwrap();
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let id = add(&mut base, EventSpec::io(&reader, Interest::READ), again);
        app.ids.push(id);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(0, Ready::READ); 2]);
    }

    fn a_handler_may_free_its_own_event_and_delete_one_that_is_due(config: Config) {
        fn kill_all(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            app.fired.push((fired.token.0, fired.ready));
            for id in app.ids.drain(..) {
                registry.free(id);
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist();
        app.ids = (0..3).map(|_| add(&mut base, spec, kill_all)).collect();
        let ids = app.ids.clone();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired.len(), 1, "the others were freed while they were active");
        for id in ids {
            base.registry().del(id);
            base.registry().free(id);
            let error = base.registry().add(id, None).unwrap_err();
            assert!(matches!(error, Error::Stale(stale) if stale == id), "{error}");
        }
        assert!(base.registry().is_empty());
    }

    fn an_event_that_a_handler_activates_runs_in_the_same_pass(config: Config) {
        fn pass_on(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            app.fired.push((fired.token.0, fired.ready));
            if let Some(next) = app.ids.pop() {
                registry.activate(next, Ready::WRITE).unwrap();
            }
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let spec = |token| EventSpec::timer().token(Token(token));
        let first = base.registry().create(spec(1), pass_on);
        app.ids = [3, 2].map(|token| base.registry().create(spec(token), pass_on)).to_vec();
        base.registry().activate(first, Ready::READ).unwrap();
        let fired = poll(&mut base, &mut app);
        assert_eq!(fired, [(1, Ready::READ), (2, Ready::WRITE), (3, Ready::WRITE)]);
    }

    fn level_and_edge_do_not_mix_on_one_descriptor(config: Config)
        where Features::EDGE; {
        let mut base = Base::new(config).unwrap();
        let (reader, _writer) = pair();
        add(&mut base, EventSpec::io(&reader, Interest::READ), log);
        let edge = base.registry().create(EventSpec::io(&reader, Interest::WRITE).edge(), log);
        let error = base.registry().add(edge, None).unwrap_err();
        assert!(matches!(error, Error::MixedTrigger { .. }), "{error}");
    }

    fn a_number_that_is_no_descriptor_is_an_error_that_names_it(config: Config) {
        let mut base = Base::new(config).unwrap();
        for number in [-1, 1_000_000_000] {
            let id = base.registry().create(EventSpec::io(&number, Interest::READ), log);
            let error = base.registry().add(id, None).unwrap_err().to_string();
            assert!(error.contains(&number.to_string()), "{error}");
        }
    }

    fn adding_a_pending_event_twice_registers_it_once(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let id = add(&mut base, EventSpec::io(&reader, Interest::READ).persist(), log);
        base.registry().add(id, None).unwrap();
        assert_eq!(poll(&mut base, &mut app).len(), 1);
        base.registry().del(id);
        assert_eq!(poll(&mut base, &mut app), []);
    }
}
