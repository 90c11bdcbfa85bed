//! Queries of a base: counts, visits, the dump, and watchers on real waits.

use std::ops::ControlFlow;

use evshard::EventCounts;

use crate::app::*;
use crate::{common, on_every_base};

fn counts(added: usize, active: usize) -> EventCounts {
    EventCounts { added, active, held: 0 }
}

fn tokens(base: &mut Base) -> Vec<u64> {
    let mut visited = Vec::new();
    let ended = base.registry().for_each(|info| {
        visited.push(info.token.0);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(ended, ControlFlow::Continue(()));
    visited
}

on_every_base! {
    fn memberships_are_counted_and_their_maxima_kept_until_reset(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        assert_eq!(base.registry().counts(), counts(0, 0));
        let (reader, _writer) = readable_pair();
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ), log);
        assert_eq!((base.registry().len(), base.registry().counts()), (1, counts(0, 0)));
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        base.registry().activate(id, Ready::CLOSED).unwrap();
        assert_eq!(base.registry().counts(), counts(3, 1));
        base.run(&mut app).unwrap();
        assert_eq!(base.registry().counts(), counts(0, 0));
        assert_eq!(base.registry().max_counts(), counts(3, 1));
        base.registry().reset_max_counts();
        assert_eq!(base.registry().max_counts(), counts(0, 0));
    }

    fn a_visit_sees_each_event_once_descriptors_then_timeouts_then_the_merely_active(
        config: Config) {
        let mut base = Base::new(config).unwrap();
        let (reader, _writer) = pair();
        let active = base.registry().create(EventSpec::timer().token(Token(5)), log);
        base.registry().activate(active, Ready::READ).unwrap();
        let common = base.registry().common_timeout(common::TEST_TIMEOUT).unwrap();
        let timers = [3, 4].map(|token| {
            base.registry().create(EventSpec::timer().token(Token(token)), log)
        });
        base.registry().add_common(timers[1], common).unwrap();
        base.registry().add(timers[0], Some(common::TEST_TIMEOUT)).unwrap();
        let signal = base.registry().create(EventSpec::signal(SIGNAL).token(Token(2)), log);
        base.registry().add(signal, Some(common::TEST_TIMEOUT)).unwrap();
        let spec = EventSpec::io(&reader, Interest::READ).token(Token(1));
        let io = base.registry().create(spec, log);
        base.registry().add(io, Some(common::TEST_TIMEOUT)).unwrap();
        base.registry().activate(io, Ready::READ).unwrap();
        base.registry().create(EventSpec::timer().token(Token(6)), log);
        assert_eq!(tokens(&mut base), [1, 2, 3, 4, 5], "an idle one is not visited");

        let mut visited = 0;
        let ended = base.registry().for_each(|info| {
            visited += 1;
            if info.token == Token(3) { ControlFlow::Break(info.id) } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((ended, visited), (ControlFlow::Break(timers[0]), 3));
    }

    fn a_dump_has_a_line_for_each_event_in_two_sections(config: Config)
        where Features::EDGE; {
        let mut base = Base::new(config.priorities(3)).unwrap();
        let text = base.registry().dump().to_string();
        assert_eq!(text, "Inserted events:\nActive events:\n", "the base's own are not shown");
        let (reader, _writer) = pair();
        let both = Interest::READ | Interest::WRITE;
        let io = add(&mut base, EventSpec::io(&reader, both).persist().edge(), log);
        let timer = base.registry().create(EventSpec::timer(), log);
        base.registry().add(timer, Some(common::TEST_TIMEOUT)).unwrap();
        let user = base.registry().create(EventSpec::timer(), log);
        base.registry().set_priority(user, 2).unwrap();
        base.registry().activate(user, Ready::READ | Ready::CLOSED).unwrap();
        base.registry().activate(io, Ready::WRITE).unwrap();
        let text = base.registry().dump().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let fd = reader.as_raw_fd();
        let io_line =
            format!("  {io} fd {fd} READ WRITE persist edge, priority 1, active for WRITE");
        assert_eq!(lines[..2], ["Inserted events:", &io_line]);
        assert!(lines[2].starts_with(&format!("  {timer} timer, priority 1, times out in ")));
        let user_line = format!("  {user} timer, priority 2, active for READ CLOSED");
        assert_eq!(lines[3..], ["Active events:", &io_line, &user_line]);
    }

    fn watchers_surround_each_wait_on_real_descriptors(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let (reader, _writer) = readable_pair();
        let prepare = base.registry().watch_prepare(|registry, app, timeout| {
            let bound = timeout.expect("a timer runs");
            assert!(bound > Duration::ZERO && bound <= common::TEST_TIMEOUT + SHORT * 10);
            app.fired.push((100, Ready::empty()));
            assert_eq!(registry.counts().active, 0);
        });
        let check = base.registry().watch_check(|registry, app| {
            app.fired.push((101, Ready::empty()));
            assert_eq!(registry.counts().active, 1);
        });
        let id = base.registry().create(EventSpec::io(&reader, Interest::READ).persist(), log);
        base.registry().add(id, Some(common::TEST_TIMEOUT)).unwrap();
        base.run_once(&mut app).unwrap();
        let expected = [(100, Ready::empty()), (101, Ready::empty()), (0, Ready::READ)];
        assert_eq!(app.fired, expected);
        base.registry().unwatch(prepare);
        base.registry().unwatch(check);
        base.run_once(&mut app).unwrap();
        assert_eq!(app.fired.len(), 4);
    }

    fn saved_changes_are_counted_with_a_deferred_changelist(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        base.registry().hold(); // so that each turn waits
        poll(&mut base, &mut app);
        let flushed = base.registry().stats().changes;
        let (reader, _writer) = pair();
        let id = add(&mut base, EventSpec::io(&reader, Interest::READ).persist(), log);
        let is_deferred = base.registry().stats().changes == flushed;
        base.registry().del(id);
        poll(&mut base, &mut app);
        let stats = base.registry().stats();
        let spared = (stats.changes_coalesced, stats.changes_cancelled);
        let expected = if is_deferred { (flushed, (1, 1)) } else { (flushed + 2, (0, 0)) };
        assert_eq!((stats.changes, spared), expected, "an add and a del");

        base.registry().add(id, None).unwrap();
        poll(&mut base, &mut app);
        base.registry().del(id);
        add(&mut base, EventSpec::io(&reader, Interest::WRITE), log);
        poll(&mut base, &mut app);
        let stats = base.registry().stats();
        let spared = (stats.changes_coalesced, stats.changes_cancelled);
        let expected = if is_deferred { (flushed + 2, (2, 1)) } else { (flushed + 5, (0, 0)) };
        assert_eq!((stats.changes, spared), expected, "and from reading to writing");
    }

    fn the_event_capacity_is_reported_where_there_is_an_array(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let pairs: Vec<_> = (0..33).map(|_| readable_pair()).collect();
        for (reader, _writer) in &pairs {
            add(&mut base, EventSpec::io(reader, Interest::READ).persist(), log);
        }
        let is_epoll = base.registry().backend_name() == "epoll";
        for capacity in [32, 64, 64] {
            let expected = if is_epoll { capacity } else { 0 };
            assert_eq!(base.registry().stats().event_capacity, expected);
            poll(&mut base, &mut app);
        }
    }
}

/// No process sends it.
const SIGNAL: i32 = 31;
