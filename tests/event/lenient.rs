//! What a base accepts only if its configuration is lenient, as programs for libevent expect it.

use evshard::{BackendKind, Leniency};

use crate::app::*;
use crate::{common, on_every_base};

on_every_base! {
    fn the_event_that_was_added_last_decides_between_edge_and_level(config: Config)
        where Features::EDGE; {
        let config = config.lenient(Leniency::MIXED_TRIGGERS);
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist();
        let [level, edge] = [spec.token(Token(1)), spec.edge().token(Token(2))]
            .map(|spec| base.registry().create(spec, log));
        let both = [(2, Ready::READ), (1, Ready::READ)];
        base.registry().add(level, None).unwrap();
        base.registry().add(edge, None).unwrap();
        assert_eq!(poll(&mut base, &mut app), both, "the edge");
        assert_eq!(poll(&mut base, &mut app), [], "and no level");
        base.registry().del(level);
        base.registry().add(level, None).unwrap();
        for _ in 0..3 {
            assert_eq!(poll(&mut base, &mut app).len(), 2, "the level");
        }
        base.registry().free(level);
        base.registry().free(edge);
        assert_eq!(poll(&mut base, &mut app), []);
    }

    fn an_edge_is_reported_by_level_where_the_backend_has_no_edges(config: Config) {
        let mut base = Base::new(config).unwrap();
        if base.registry().features().contains(Features::EDGE) {
            continue;
        }
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist().edge();
        let id = base.registry().create(spec, log);
        assert!(matches!(base.registry().add(id, None), Err(Error::Unsupported { .. })));
        let config = config.lenient(Leniency::EDGE_AS_LEVEL);
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let id = base.registry().create(spec, log);
        base.registry().add(id, None).unwrap();
        for _ in 0..2 {
            assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
        }
    }

    fn an_event_of_a_negative_descriptor_is_counted_and_fires_by_its_timeout(config: Config) {
        let config = config.lenient(Leniency::NEGATIVE_FD);
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let spec = EventSpec::io(&-1, Interest::READ).persist();
        let id = base.registry().create(spec, log);
        base.registry().add(id, None).unwrap();
        assert_eq!(base.registry().pending(id), Ready::READ);
        assert_eq!((base.registry().counts().added, base.registry().counts().held), (1, 0));
        base.registry().add(id, Some(SHORT)).unwrap();
        assert_eq!(base.registry().counts().added, 2);
        assert_eq!(visited(&mut base), [id], "each is visited once");
        assert_eq!(base.run_once(&mut app).unwrap(), LoopEnd::Done);
        assert_eq!(std::mem::take(&mut app.fired), [(0, Ready::TIMEOUT)]);
        base.registry().remove_timeout(id);
        base.registry().activate(id, Ready::READ).unwrap();
        assert_eq!(base.registry().max_counts().added, 2);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
        assert_eq!(visited(&mut base), [id], "it waits on, and keeps the loop alive");
        base.registry().free_closing(id);
        assert_eq!(base.registry().counts().added, 0);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        let once = base.registry().create(EventSpec::io(&-7, Interest::WRITE), log);
        base.registry().add(once, Some(SHORT)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(0, Ready::TIMEOUT)]);
        assert_eq!(base.registry().counts().added, 0, "it does not persist");
    }

    fn a_slot_is_given_back_and_the_next_event_of_its_descriptor_takes_over(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        for _ in 0..3 {
            let id = base.registry().create(EventSpec::io(&reader, Interest::READ), log);
            base.registry().add(id, None).unwrap();
            assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
            base.registry().give_back(id);
            assert!(base.registry().is_empty());
            base.registry().give_back(id);
        }
    }
}

fn visited(base: &mut Base) -> Vec<EventId> {
    let mut ids = Vec::new();
    let _ = base.registry().for_each(|info| {
        ids.push(info.id);
        std::ops::ControlFlow::<()>::Continue(())
    });
    ids
}

#[test]
fn poll_reports_a_descriptor_that_was_closed_while_an_event_waited_for_it() {
    for (leniency, expected) in
        [(Leniency::CLOSED_IS_READY, vec![(0, Ready::READ)]), (Leniency::empty(), vec![])]
    {
        let config = Config::default().ignore_environment().backend(BackendKind::Poll);
        let (mut base, mut app) = (Base::new(config.lenient(leniency)).unwrap(), App::default());
        // A number that no other test takes when it is free.
        let (reader, writer) = pair();
        let high = rustix::io::fcntl_dupfd_cloexec(&reader, 900).unwrap();
        add(&mut base, EventSpec::io(&high, Interest::READ).persist(), log);
        assert_eq!(poll(&mut base, &mut app), []);
        drop((high, reader, writer));
        assert_eq!(poll(&mut base, &mut app), expected);
        assert_eq!(poll(&mut base, &mut app), [], "once");
    }
}

#[test]
fn what_is_not_asked_for_is_refused_as_before() {
    for kind in common::usable_backends() {
        let plain = Config::default().ignore_environment().backend(kind);
        for leniency in [Leniency::empty(), Leniency::all() - Leniency::NEGATIVE_FD] {
            let mut base = Base::new(plain.lenient(leniency)).unwrap();
            let id = base.registry().create(EventSpec::io(&-1, Interest::READ), log);
            let error = base.registry().add(id, None).unwrap_err();
            assert!(matches!(error, Error::Fd { fd: -1, .. }), "{error}");
        }
    }
}
