//! Numbers and queries: the bits are libevent's, and an event's description can be read back.

use crate::app::*;
use crate::{common, on_every_base};

#[test]
fn the_bits_are_libevents() {
    let reasons = [
        (Ready::TIMEOUT, 0x01),
        (Ready::READ, 0x02),
        (Ready::WRITE, 0x04),
        (Ready::SIGNAL, 0x08),
        (Ready::CLOSED, 0x80),
    ];
    for (ready, number) in reasons {
        assert_eq!(ready.bits(), number, "{ready:?}");
    }
    let interests = [(Interest::READ, 0x02), (Interest::WRITE, 0x04), (Interest::CLOSED, 0x80)];
    for (interest, number) in interests {
        assert_eq!(interest.bits(), number, "{interest:?}");
    }
    let flags = [(LoopFlags::ONCE, 1), (LoopFlags::NONBLOCK, 2), (LoopFlags::NO_EXIT_ON_EMPTY, 4)];
    for (flag, number) in flags {
        assert_eq!(flag.bits(), number, "{flag:?}");
    }
    let features =
        [(Features::EDGE, 1), (Features::O1, 2), (Features::FDS, 4), (Features::EARLY_CLOSE, 8)];
    for (feature, number) in features {
        assert_eq!(feature.bits(), number, "{feature:?}");
    }
}

on_every_base! {
    fn everything_an_event_was_made_with_can_be_read_back(config: Config) {
        let mut base = Base::new(config.priorities(4)).unwrap();
        let (reader, _writer) = pair();
        let spec = EventSpec::io(&reader, Interest::READ | Interest::WRITE).token(Token(9));
        let id = base.registry().create(spec.persist(), log);
        let info = base.registry().info(id).unwrap();
        assert_eq!((info.id, info.token), (id, Token(9)));
        assert_eq!((info.fd, info.signal), (Some(reader.as_raw_fd()), None));
        assert_eq!(info.interest, Interest::READ | Interest::WRITE);
        assert_eq!((info.persist, info.edge, info.priority), (true, false, 2));
        assert_eq!((info.inserted, info.deadline, info.active), (false, None, Ready::empty()));
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        let info = base.registry().info(id).unwrap();
        assert!(info.inserted);
        assert_eq!(info.deadline, base.registry().deadline(id));
        let plain = base.registry().create(EventSpec::signal(3).edge(), log);
        let info = base.registry().info(plain).unwrap();
        assert_eq!((info.fd, info.signal), (None, Some(3)));
        assert_eq!((info.persist, info.edge), (false, true));
        base.registry().free(id);
        assert!(base.registry().info(id).is_none());
    }

    fn a_handler_gets_its_own_event_its_token_and_its_descriptor(config: Config) {
        fn check(_: &mut Registry<App>, app: &mut App, fired: Fired) {
            assert_eq!(fired.id, app.ids[fired.token.0 as usize]);
            app.fired.push((fired.fd().unwrap_or(-1) as u64, fired.ready));
            assert_eq!(fired.signal(), None);
        }
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).token(Token(0));
        app.ids.push(add(&mut base, spec, check));
        let spec = EventSpec::timer().token(Token(1));
        let timer = base.registry().create(spec, check);
        base.registry().add(timer, Some(Duration::ZERO)).unwrap();
        app.ids.push(timer);
        base.run(&mut app).unwrap();
        let (fd, none) = (reader.as_raw_fd() as u64, -1_i32 as u64);
        app.fired.sort_unstable_by_key(|(fd, _)| *fd);
        assert_eq!(app.fired, [(fd, Ready::READ), (none, Ready::TIMEOUT)]);
    }

    fn pending_returns_the_interest_the_timeout_and_the_active_reasons(config: Config) {
        let mut base = Base::new(config).unwrap();
        let (reader, _writer) = pair();
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ).persist(), log);
        let registry = base.registry();
        assert_eq!(registry.pending(id), Ready::empty(), "an idle one is pending for nothing");
        registry.add(id, None).unwrap();
        assert_eq!(registry.pending(id), Ready::READ, "and never for persisting");
        assert_eq!(registry.deadline(id), None);
        let before = registry.now();
        registry.add(id, Some(common::TEST_TIMEOUT)).unwrap();
        assert_eq!(registry.pending(id), Ready::READ | Ready::TIMEOUT);
        assert!(registry.deadline(id).unwrap() >= before + common::TEST_TIMEOUT);
        registry.activate(id, Ready::CLOSED).unwrap();
        assert_eq!(registry.pending(id), Ready::READ | Ready::TIMEOUT | Ready::CLOSED);
        registry.remove_timeout(id);
        assert_eq!(registry.pending(id), Ready::READ | Ready::CLOSED);
        registry.del(id);
        assert_eq!((registry.pending(id), registry.deadline(id)), (Ready::empty(), None));
        registry.free(id);
        assert_eq!((registry.pending(id), registry.deadline(id)), (Ready::empty(), None));
    }
}
