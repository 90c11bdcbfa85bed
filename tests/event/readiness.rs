//! Readiness of real descriptors and timeouts, on every backend.

use crate::app::*;
use crate::{common, on_every_base};

on_every_base! {
    fn a_readable_descriptor_fires_with_its_token(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, mut writer) = pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist().token(Token(7));
        add(&mut base, spec, log);
        assert_eq!(poll(&mut base, &mut app), []);
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base, &mut app), [(7, Ready::READ)]);
        assert_eq!(poll(&mut base, &mut app), [(7, Ready::READ)], "the level is still there");
        (&reader).read_exact(&mut [0]).unwrap();
        assert_eq!(poll(&mut base, &mut app), []);
    }

    fn an_edge_is_reported_once(config: Config) where Features::EDGE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, mut writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist().edge();
        add(&mut base, spec, log);
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
        assert_eq!(poll(&mut base, &mut app), []);
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
    }

    fn a_reader_and_a_writer_of_one_descriptor_each_get_their_own(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (both, mut writer) = pair();
        let reader = EventSpec::io(&both, Interest::READ).persist().token(Token(1));
        let spec = EventSpec::io(&both, Interest::WRITE).persist().token(Token(2));
        add(&mut base, reader, log);
        let second = add(&mut base, spec, log);
        assert_eq!(poll(&mut base, &mut app), [(2, Ready::WRITE)]);
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&mut base, &mut app), [(2, Ready::WRITE), (1, Ready::READ)]);
        base.registry().del(second);
        assert_eq!(poll(&mut base, &mut app), [(1, Ready::READ)]);
    }

    fn a_peer_that_shuts_down_is_reported_without_reading(config: Config)
        where Features::EARLY_CLOSE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (watched, peer) = readable_pair();
        add(&mut base, EventSpec::io(&watched, Interest::CLOSED).persist(), log);
        assert_eq!(poll(&mut base, &mut app), []);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(poll(&mut base, &mut app), [(0, Ready::CLOSED)]);
    }

    fn a_timeout_fires_when_nothing_becomes_ready_and_never_early(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (silent, _peer) = pair();
        let id = base.registry().create(EventSpec::io(&silent, Interest::READ), log);
        for timeout in [Duration::from_micros(300), SHORT] {
            let start = Instant::now();
            base.registry().add(id, Some(timeout)).unwrap();
            let deadline = base.registry().deadline(id).unwrap();
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            if base.registry().clock_kind() == ClockKind::Precise {
                assert!(deadline >= start + timeout);
                assert!(start.elapsed() >= timeout, "early");
            }
            assert_eq!(std::mem::take(&mut app.fired), [(0, Ready::TIMEOUT)]);
        }
    }

    fn readiness_ends_a_one_shot_events_timeout(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ), log);
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty, "nothing is left to wait for");
        assert_eq!(app.fired, [(0, Ready::READ)]);
    }

    fn a_reset_is_reported_to_an_event_that_waits_only_for_the_close(config: Config)
        where Features::EARLY_CLOSE; {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (watched, _) = listener.accept().unwrap();
        add(&mut base, EventSpec::io(&watched, Interest::CLOSED).persist(), log);
        let socket = socket2::Socket::from(peer);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
        base.run_once(&mut app).unwrap();
        assert_eq!(app.fired, [(0, Ready::CLOSED)]);
    }
}

#[test]
fn a_regular_file_is_refused_at_once_or_by_its_handler() {
    fn why(registry: &mut Registry<Vec<String>>, log: &mut Vec<String>, fired: Fired) {
        assert_eq!(fired.ready, Ready::REFUSED);
        assert_eq!(registry.pending(fired.id), Ready::empty());
        log.extend(registry.take_refusal(fired.id).map(|error| error.to_string()));
    }
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    for config in common::all_configs() {
        let (mut base, mut log) = (EventBase::new(config).unwrap(), Vec::new());
        if base.registry().features().contains(Features::FDS) {
            continue;
        }
        let spec = EventSpec::io(&file, Interest::READ).persist();
        let id = base.registry().create(spec, why);
        if let Err(error) = base.registry().add(id, None) {
            log.push(error.to_string());
        }
        assert_eq!(base.run(&mut log).unwrap(), LoopEnd::Empty);
        let [message] = &log[..] else { panic!("{log:?}") };
        assert!(message.contains(&format!("fd {}", file.as_raw_fd())), "{message}");
        assert!(message.contains("not permitted"), "{message}");
    }
}

#[test]
fn interest_that_comes_and_goes_in_one_turn_costs_no_system_call_when_deferred() {
    let config = Config::default().changelist(evshard::ChangelistPolicy::Deferred);
    let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
    let (both, _peer) = readable_pair();
    let reader = EventSpec::io(&both, Interest::READ).persist().stable_fd();
    let reader = add(&mut base, reader, log);
    let writer = base.registry().create(EventSpec::io(&both, Interest::WRITE), log);
    poll(&mut base, &mut app);
    let before = base.registry().stats().changes;
    for _ in 0..10 {
        base.registry().add(writer, None).unwrap();
        base.registry().del(writer);
        base.registry().del(reader);
        base.registry().add(reader, None).unwrap();
    }
    assert_eq!(poll(&mut base, &mut app), [(0, Ready::READ)]);
    assert_eq!(base.registry().stats().changes, before);
}
