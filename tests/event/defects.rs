//! Cases where libevent has a defect or leaves the behaviour undefined.

use crate::app::*;
use crate::{common, on_every_base};

on_every_base! {
    fn a_hang_up_is_reported_to_a_close_only_event_and_nothing_spins(config: Config)
        where Features::EARLY_CLOSE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        // The reader of a pipe gets only a hang-up, the writer only an error.
        for keep_reader in [true, false] {
            let (reader, writer) = std::io::pipe().unwrap();
            let (kept, closed): (std::os::fd::OwnedFd, std::os::fd::OwnedFd) =
                if keep_reader { (reader.into(), writer.into()) } else {
                    (writer.into(), reader.into())
                };
            add(&mut base, EventSpec::io(&kept, Interest::CLOSED), log);
            assert_eq!(poll(&mut base, &mut app), []);
            drop(closed);
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(std::mem::take(&mut app.fired), [(0, Ready::CLOSED)]);
        }
    }

    fn an_event_on_a_descriptor_that_waits_for_its_timeout_alone_sees_no_hang_up(
        config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (watched, peer) = pair();
        drop(peer);
        let spec = EventSpec::io(&watched, Interest::empty());
        let id = base.registry().create(spec, log);
        base.registry().add(id, Some(SHORT)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired, [(0, Ready::TIMEOUT)]);
        assert_eq!(base.registry().stats().events, 0, "the descriptor is not registered");
    }

    fn a_timeout_and_readiness_due_in_one_turn_are_one_call(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        for spec in [
            EventSpec::io(&reader, Interest::READ),
            EventSpec::io(&reader, Interest::READ).persist(),
        ] {
            let id = base.registry().create(spec, log);
            base.registry().add(id, Some(Duration::ZERO)).unwrap();
            let due = base.registry().deadline(id).unwrap();
            common::eventually("the timeout is due", || base.registry().now() >= due);
            assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ | Ready::TIMEOUT)]);
            base.registry().free(id);
        }
    }

    fn level_and_edge_do_not_mix_whichever_came_first(config: Config)
        where Features::EDGE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let level = EventSpec::io(&reader, Interest::READ).persist();
        for (first, second) in [(level, level.edge()), (level.edge(), level)] {
            let [first, second] = [(first, 1), (second, 2)].map(|(spec, token)| {
                base.registry().create(spec.token(Token(token)), log)
            });
            base.registry().add(first, None).unwrap();
            let error = base.registry().add(second, Some(SHORT)).unwrap_err();
            assert!(matches!(error, Error::MixedTrigger { .. }), "{error}");
            assert_eq!(base.registry().pending(second), Ready::empty());
            assert_eq!(poll(&mut base, &mut app), [(1, Ready::READ)], "which is not disturbed");
            base.registry().del(first);
            base.registry().add(second, None).unwrap();
            assert_eq!(poll(&mut base, &mut app), [(2, Ready::READ)]);
            base.registry().free(first);
            base.registry().free(second);
        }
    }

    fn an_edge_outlives_another_event_of_its_descriptor(config: Config)
        where Features::EDGE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (both, mut writer) = readable_pair();
        let spec = |interest| EventSpec::io(&both, interest).persist().edge();
        add(&mut base, spec(Interest::READ).token(Token(1)), log);
        let other = add(&mut base, spec(Interest::WRITE).token(Token(2)), log);
        assert_eq!(poll(&mut base, &mut app).len(), 2);
        base.registry().free(other);
        poll(&mut base, &mut app);
        assert_eq!(poll(&mut base, &mut app), [], "it is still an edge");
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base, &mut app), [(1, Ready::READ)]);
    }

    fn the_65536th_event_of_a_kind_on_one_descriptor_is_refused(config: Config) {
        let mut base = Base::new(config).unwrap();
        let (reader, _writer) = pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist();
        let ids: Vec<EventId> =
            (0..65_536).map(|_| base.registry().create(spec, log)).collect();
        let (last, others) = ids.split_last().unwrap();
        for id in others {
            base.registry().add(*id, None).unwrap();
        }
        let error = base.registry().add(*last, Some(SHORT)).unwrap_err();
        assert!(matches!(error, Error::TooManyEvents { .. }), "{error}");
        assert_eq!(base.registry().counts().added, 65_535);
        assert_eq!(base.registry().pending(*last), Ready::empty());
        base.registry().free(others[0]);
        base.registry().add(*last, None).unwrap();
    }

    fn an_event_can_be_added_any_number_of_times_and_fires_once(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ);
        let (first, second) =
            (base.registry().create(spec, log), base.registry().create(spec, log));
        for _ in 0..100 {
            for id in [first, second] {
                base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
            }
        }
        assert_eq!(base.registry().counts().added, 4);
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        assert_eq!(app.fired.len(), 2);
    }

    fn many_descriptors_ready_at_once_each_fire_exactly_once(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let pairs: Vec<_> = (0..70).map(|_| readable_pair()).collect();
        for (token, (reader, _)) in (0..).zip(&pairs) {
            let spec = EventSpec::io(reader, Interest::READ | Interest::WRITE);
            add(&mut base, spec.token(Token(token)), log);
        }
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
        app.fired.sort_unstable_by_key(|(token, _)| *token);
        assert!(app.fired.iter().map(|(token, _)| *token).eq(0..70));
    }

    fn the_peers_close_is_reported_with_the_data_still_unread(config: Config)
        where Features::EARLY_CLOSE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (watched, peer) = readable_pair();
        let both = Interest::READ | Interest::CLOSED;
        let id = add(&mut base, EventSpec::io(&watched, both).persist(), log);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ | Ready::CLOSED)]);
        drop(peer);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ | Ready::CLOSED)]);
        let mut bytes = Vec::new();
        (&watched).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"x");
        base.registry().free(id);
    }
}
