//! Once events: they end when they fire, and their ids need not be kept.

use crate::app::*;
use crate::{common, on_every_base};

on_every_base! {
    fn a_once_event_fires_once_and_is_gone_when_its_handler_runs(config: Config) {
        fn gone(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
            assert!(matches!(registry.add(fired.id, None), Err(Error::Stale(_))));
            assert!(registry.is_empty());
            registry.del(fired.id);
            registry.free(fired.id);
            log(registry, app, fired);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        for (interest, timeout, reasons) in [
            (Some(Interest::READ), None, Ready::READ),
            (Some(Interest::WRITE), Some(common::TEST_TIMEOUT), Ready::WRITE),
            (None, Some(SHORT), Ready::TIMEOUT),
            (None, Some(Duration::ZERO), Ready::TIMEOUT),
        ] {
            let spec = match interest {
                Some(interest) => EventSpec::io(&reader, interest),
                None => EventSpec::timer(),
            };
            base.registry().once(spec.token(Token(5)), timeout, gone).unwrap();
            assert_eq!(base.registry().len(), 1);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(std::mem::take(&mut app.fired), [(5, reasons)]);
        }
    }

    fn a_once_event_whose_descriptor_stays_silent_times_out(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (silent, _peer) = pair();
        base.registry().once(EventSpec::io(&silent, Interest::READ), Some(SHORT), log).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(0, Ready::TIMEOUT)]);
    }

    fn zero_timeouts_keep_their_order_among_events_activated_by_hand(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        for token in 0..6 {
            let spec = EventSpec::timer().token(Token(token));
            if token % 2 == 0 {
                base.registry().once(spec, Some(Duration::ZERO), log).unwrap();
            } else {
                let id = base.registry().create(spec, log);
                base.registry().activate(id, Ready::WRITE).unwrap();
            }
        }
        let tokens = poll(&mut base, &mut app).into_iter().map(|(token, _)| token);
        assert!(tokens.eq(0..6));
    }

    fn an_event_that_cannot_be_once_is_refused_and_not_created(config: Config) {
        let mut base = Base::new(config).unwrap();
        let (reader, _writer) = pair();
        for (spec, timeout) in [
            (EventSpec::io(&reader, Interest::READ).persist(), None),
            (EventSpec::signal(10), None),
            (EventSpec::signal(10), Some(SHORT)),
            (EventSpec::timer(), None),
            (EventSpec::io(&reader, Interest::empty()), None),
            (EventSpec::notify(), None),
        ] {
            let error = base.registry().once(spec, timeout, log).unwrap_err();
            assert!(matches!(error, Error::NotOnce), "{error}");
        }
        let bad = EventSpec::io(&-1, Interest::READ);
        assert!(matches!(base.registry().once(bad, None, log), Err(Error::Fd { .. })));
        assert!(base.registry().is_empty(), "a failed addition leaves nothing behind");
    }

    fn a_once_event_can_be_deleted_and_freed_before_it_fires(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let registry = base.registry();
        let first = registry.once(EventSpec::io(&reader, Interest::READ), None, log).unwrap();
        let second = registry.once(EventSpec::timer(), Some(Duration::ZERO), log).unwrap();
        registry.free(first);
        registry.free(second);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, []);
    }

    fn once_events_that_never_fired_end_with_their_base(config: Config) {
        let mut base = Base::new(config).unwrap();
        let (silent, mut peer) = pair();
        for _ in 0..10 {
            base.registry().once(EventSpec::io(&silent, Interest::READ), None, log).unwrap();
            base.registry().once(EventSpec::timer(), Some(common::TEST_TIMEOUT), log).unwrap();
        }
        drop(base);
        peer.write_all(b"x").unwrap();
        (&silent).read_exact(&mut [0]).unwrap();
    }
}
