//! The event base on real descriptors, on every backend and with every changelist policy.

mod common;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use evshard::{
    ClockKind, Config, Error, EventBase, EventId, EventSpec, Features, Fired, Interest, LoopEnd,
    LoopFlags, Ready, Registry, Token,
};

const SHORT: Duration = Duration::from_millis(3);

/// A context that is its own log, with what handlers need at hand.
#[derive(Default)]
struct App {
    fired: Vec<(u64, Ready)>,
    ids: Vec<EventId>,
}

type Base = EventBase<App>;

fn log(_: &mut Registry<App>, app: &mut App, fired: Fired) {
    app.fired.push((fired.token.0, fired.ready));
}

fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    (one, other)
}

/// A pair whose first end is readable.
fn readable_pair() -> (UnixStream, UnixStream) {
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    (reader, writer)
}

fn add(base: &mut Base, spec: EventSpec, handler: evshard::Handler<App>) -> EventId {
    let id = base.registry().create(spec, handler);
    base.registry().add(id, None).unwrap();
    id
}

/// One turn without waiting; what fired in it.
fn poll(base: &mut Base, app: &mut App) -> Vec<(u64, Ready)> {
    base.run_with(app, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    std::mem::take(&mut app.fired)
}

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

    fn an_edge_is_told_once(config: Config) where Features::EDGE; {
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
        base.registry().add(id, Some(common::PATIENCE)).unwrap();
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty, "nothing is left to wait for");
        assert_eq!(app.fired, [(0, Ready::READ)]);
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

    fn what_a_handler_activates_runs_in_the_same_pass(config: Config) {
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
        let handlers: [(evshard::Handler<App>, usize); 2] = [(exit, 3), (break_off, 1)];
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
        let handlers: [(evshard::Handler<App>, LoopEnd); 3] = [
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

    fn a_reset_is_told_to_who_waits_only_for_the_peers_close(config: Config)
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
        let [said] = &log[..] else { panic!("{log:?}") };
        assert!(said.contains(&format!("fd {}", file.as_raw_fd())), "{said}");
        assert!(said.contains("not permitted"), "{said}");
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
