//! A base inside another loop, here one that polls its descriptor.

use std::os::fd::AsFd;

use evshard::{BackendKind, ChangelistPolicy, Embedded, Turn};
use rustix::event::{PollFd, PollFlags, Timespec, poll as poll_fds};

use crate::app::*;
use crate::common::{self, TEST_TIMEOUT};

/// Every configuration whose base can be embedded.
fn embeddable() -> impl Iterator<Item = Embedded<App>> {
    common::all_configs().filter_map(|config| Base::new(config).unwrap().embed().ok())
}

/// Waits as the other loop does; whether the descriptor is readable.
#[track_caller]
fn wait(base: &mut Embedded<App>) -> bool {
    let next = base.next_wait();
    let timeout = next.unwrap_or(TEST_TIMEOUT).min(TEST_TIMEOUT);
    let timeout = Timespec::try_from(timeout).unwrap();
    let mut fds = [PollFd::new(base, PollFlags::IN)];
    loop {
        match poll_fds(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) => {
                assert!(next.is_some(), "nothing made the descriptor readable");
                return false;
            }
            result => return result.unwrap() == 1,
        }
    }
}

/// Waits and takes turns until something fires; returns what fires.
#[track_caller]
fn until_fired(base: &mut Embedded<App>) -> Vec<(u64, Ready)> {
    let (mut app, start) = (App::default(), Instant::now());
    while app.fired.is_empty() {
        assert!(start.elapsed() < TEST_TIMEOUT, "nothing fires");
        wait(base);
        base.turn(&mut app).unwrap();
    }
    app.fired
}

fn create(base: &mut Embedded<App>, spec: EventSpec, token: u64, handler: Handler<App>) -> EventId {
    base.registry().create(spec.token(Token(token)), handler)
}

#[test]
fn a_backend_without_a_descriptor_cannot_be_embedded() {
    for kind in common::usable_backends() {
        let config = Config::default().ignore_environment().backend(kind);
        match Base::new(config).unwrap().embed() {
            Ok(_) => assert!(matches!(kind, BackendKind::Epoll | BackendKind::IoUring)),
            Err(error) => {
                assert!(matches!(kind, BackendKind::Poll | BackendKind::Select));
                assert!(error.to_string().contains(kind.name()), "{error}");
            }
        }
    }
}

#[test]
fn an_idle_base_waits_for_ever_and_its_descriptor_is_not_readable() {
    for mut base in embeddable() {
        let (reader, _writer) = pair();
        let id = create(&mut base, EventSpec::io(&reader, Interest::READ), 1, log);
        base.registry().add(id, None).unwrap();
        let idle = Turn { calls: 0, end: None };
        // The first turns may find what the base itself did.
        for _ in 0..3 {
            base.next_wait();
            assert_eq!(base.turn(&mut App::default()).unwrap(), idle);
        }
        assert_eq!(base.next_wait(), None);
        assert_eq!(base.next_wait(), None, "also when asked again");
        let mut fds = [PollFd::from_borrowed_fd(base.as_fd(), PollFlags::IN)];
        assert_eq!(poll_fds(&mut fds, Some(&Timespec::default())).unwrap(), 0);
    }
}

#[test]
fn a_readable_descriptor_makes_that_of_the_base_readable_in_each_turn_until_it_is_read() {
    for mut base in embeddable() {
        let (reader, mut writer) = pair();
        let spec = EventSpec::io(&reader, Interest::READ).persist();
        let id = create(&mut base, spec, 1, log);
        base.registry().add(id, None).unwrap();
        for _ in 0..3 {
            assert_eq!(base.turn(&mut App::default()).unwrap().calls, 0);
            let thread = std::thread::spawn(move || {
                writer.write_all(b"x").unwrap();
                writer
            });
            for _ in 0..3 {
                assert_eq!(until_fired(&mut base), [(1, Ready::READ)]);
            }
            writer = thread.join().unwrap();
            assert_eq!((&reader).read(&mut [0; 8]).unwrap(), 1);
            // One report may be older than the read.
            base.next_wait();
            base.turn(&mut App::default()).unwrap();
        }
    }
}

#[test]
fn timers_fire_in_time() {
    for mut base in embeddable() {
        let numbers = [2, 0, 1];
        let due = numbers.map(|number| {
            let id = create(&mut base, EventSpec::timer(), number, log);
            base.registry().add(id, Some(SHORT * number as u32)).unwrap();
            base.registry().deadline(id).unwrap()
        });
        let mut fired = 0;
        while fired < 3 {
            assert!(base.next_wait().is_some_and(|wait| wait <= SHORT * 20));
            for (number, ready) in until_fired(&mut base) {
                assert_eq!((number, ready), (fired, Ready::TIMEOUT));
                let at = numbers.iter().position(|other| *other == number).unwrap();
                assert!(Instant::now() >= due[at]);
                fired += 1;
            }
        }
    }
}

#[test]
fn what_a_handler_changes_is_seen() {
    fn add_next(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        log(registry, app, fired);
        registry.free(fired.id);
        let next = app.ids.pop().unwrap();
        registry.add(next, None).unwrap();
    }
    for mut base in embeddable() {
        let [(first, _one), (second, _other)] = [(); 2].map(|()| readable_pair());
        let [first, second] = [(&first, 1, add_next as Handler<App>), (&second, 2, log)].map(
            |(fd, token, handler)| {
                create(&mut base, EventSpec::io(fd, Interest::READ), token, handler)
            },
        );
        base.registry().add(first, None).unwrap();
        let mut app = App { ids: vec![second], ..App::default() };
        let end = loop {
            wait(&mut base);
            if let Some(end) = base.turn(&mut app).unwrap().end {
                break end;
            }
        };
        assert_eq!(app.fired, [(1, Ready::READ), (2, Ready::READ)]);
        assert_eq!(end, LoopEnd::Empty);
    }
}

#[test]
fn what_changes_between_turns_is_seen() {
    for mut base in embeddable() {
        let (reader, _writer) = readable_pair();
        let spec = EventSpec::io(&reader, Interest::READ);
        let id = create(&mut base, spec, 1, log);
        assert_eq!(base.turn(&mut App::default()).unwrap().end, Some(LoopEnd::Empty));
        assert_eq!(base.next_wait(), None);
        base.registry().add(id, None).unwrap();
        assert_eq!(until_fired(&mut base), [(1, Ready::READ)]);
        assert_eq!(base.next_wait(), None);
        base.registry().activate(id, Ready::WRITE).unwrap();
        assert_eq!(base.next_wait(), Some(Duration::ZERO));
        assert_eq!(until_fired(&mut base), [(1, Ready::WRITE)]);
        base.registry().add(id, None).unwrap();
        base.registry().free(id);
        assert_eq!(base.turn(&mut App::default()).unwrap().calls, 0);
    }
}

#[test]
fn what_another_thread_posts_is_run() {
    for mut base in embeddable() {
        for round in 0..50 {
            let remote = base.remote();
            let thread = std::thread::spawn(move || {
                remote.post(move |_, app| app.fired.push((round, Ready::empty()))).unwrap();
            });
            assert_eq!(until_fired(&mut base), [(round, Ready::empty())]);
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_stopped_base_does_nothing_more_until_it_is_taken_back() {
    for mut base in embeddable() {
        let id = create(&mut base, EventSpec::timer(), 1, |registry, app, fired| {
            log(registry, app, fired);
            registry.loop_exit();
        });
        base.registry().add(id, Some(Duration::ZERO)).unwrap();
        let mut app = App::default();
        let turn = loop {
            wait(&mut base);
            let turn = base.turn(&mut app).unwrap();
            if turn.end.is_some() {
                break turn;
            }
        };
        let stopped = Some(LoopEnd::Stopped);
        assert_eq!(turn, Turn { calls: 1, end: stopped });
        base.registry().activate(id, Ready::WRITE).unwrap();
        assert_eq!(base.next_wait(), Some(Duration::ZERO));
        assert_eq!(base.turn(&mut app).unwrap(), Turn { calls: 0, end: stopped });
        let mut base = base.into_base();
        assert!(base.registry().got_exit());
        assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Stopped, "its handler exits again");
        assert_eq!(app.fired, [(1, Ready::TIMEOUT), (1, Ready::WRITE)]);
    }
}

#[test]
fn another_thread_ends_an_embedded_base() {
    for mut base in embeddable() {
        base.registry().hold();
        let remote = base.remote();
        let thread = std::thread::spawn(move || remote.loop_break());
        let end = loop {
            wait(&mut base);
            if let Some(end) = base.turn(&mut App::default()).unwrap().end {
                break end;
            }
        };
        assert_eq!(end, LoopEnd::Stopped);
        thread.join().unwrap();
        assert!(base.into_base().registry().got_break());
    }
}

#[test]
fn deferred_changes_are_made_before_the_wait_and_refusals_reported() {
    let file = tempfile::tempfile().unwrap();
    let config = Config::default().ignore_environment().backend(BackendKind::Epoll);
    let config = config.changelist(ChangelistPolicy::Deferred);
    let mut base = Base::new(config).unwrap().embed().unwrap();
    let id = create(&mut base, EventSpec::io(&file, Interest::READ), 1, log);
    base.registry().add(id, None).unwrap();
    assert_eq!(base.next_wait(), Some(Duration::ZERO));
    assert_eq!(until_fired(&mut base), [(1, Ready::REFUSED)]);
}
