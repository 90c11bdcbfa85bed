//! Firing: the reasons that a handler gets, its event's state when it runs, and re-arming.

use super::*;

fn test() -> TestBase {
    let mut test = TestBase::new(ChangelistPolicy::Immediate);
    test.registry().timers.clock.pretend(0);
    test
}

fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

#[test]
fn memberships_combine_and_each_is_counted() {
    let mut test = test();
    assert_eq!(test.registry().counts(), EventCounts::default(), "the base's own are not counted");
    let id = test.create(EventSpec::io(&0, READ), 1);
    assert_eq!(test.registry().counts().added, 0, "an idle event is no member");
    test.registry().add(id, ms(5)).unwrap();
    assert_eq!(test.registry().counts().added, 2);
    test.registry().activate(id, Ready::WRITE).unwrap();
    let counts = test.registry().counts();
    assert_eq!((counts.added, counts.active), (3, 1));
    let all = Ready::READ | Ready::WRITE | Ready::TIMEOUT;
    assert_eq!(test.registry().pending(id), all);
    test.registry().del(id);
    assert_eq!(test.registry().counts(), EventCounts::default());
    let max = test.registry().max_counts();
    assert_eq!((max.added, max.active), (3, 1));
    test.registry().reset_max_counts();
    assert_eq!(test.registry().max_counts(), EventCounts::default());
}

#[test]
fn reasons_that_come_true_before_the_call_arrive_in_one() {
    let mut test = test();
    let id = test.create(EventSpec::timer(), 1);
    for ready in [Ready::READ, Ready::WRITE, Ready::READ, Ready::empty()] {
        test.registry().activate(id, ready).unwrap();
    }
    assert_eq!(test.at(0), [(1, Ready::READ | Ready::WRITE)]);
    test.registry().activate(id, Ready::empty()).unwrap();
    assert_eq!(test.at(0), [], "no reason is no activation");
    assert_eq!(test.registry().pending(id), Ready::empty());
}

#[test]
fn an_event_that_does_not_persist_loses_its_timeout_and_its_descriptor_when_it_fires() {
    let mut test = test();
    for reason in [Ready::READ, Ready::CLOSED] {
        let id = test.create(EventSpec::io(&0, READ), 1);
        test.registry().add(id, ms(10)).unwrap();
        test.registry().activate(id, reason).unwrap();
        assert_eq!(test.at(0), [(1, reason)], "by whatever reason");
        assert_eq!(test.registry().pending(id), Ready::empty());
        assert_eq!(test.at(20 * MS), []);
    }
}

#[test]
fn activating_by_hand_does_not_itself_end_a_timeout() {
    let mut test = test();
    let id = test.create(EventSpec::io(&0, READ), 1);
    test.registry().add(id, ms(10)).unwrap();
    test.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(test.registry().pending(id), Ready::READ | Ready::TIMEOUT);
}

#[test]
fn an_expiry_of_an_active_event_adds_its_reason_and_keeps_the_others() {
    let mut test = test();
    let persistent = test.create(EventSpec::io(&0, READ).persist(), 1);
    let plain = test.create(EventSpec::io(&1, READ), 2);
    for id in [persistent, plain] {
        test.registry().add(id, ms(5)).unwrap();
    }
    for fd in [0, 1] {
        test.registry().activate_reported(FdReady { fd, ready: Ready::READ });
    }
    let both = Ready::READ | Ready::TIMEOUT;
    assert_eq!(test.at(5 * MS), [(1, both), (2, both)]);
    assert_eq!(test.registry().pending(persistent), both, "re-armed");
    assert_eq!(test.at(10 * MS), [(1, Ready::TIMEOUT)], "an interval after its deadline");
}

#[test]
fn a_persistent_event_is_pending_again_before_its_handler_runs() {
    fn look(registry: &mut Registry<Log>, log: &mut Log, fired: Fired) {
        log.push((registry.pending(fired.id).bits().into(), fired.ready));
    }
    let mut test = test();
    let id = test.registry().create(EventSpec::io(&0, READ).persist(), look);
    test.registry().add(id, ms(5)).unwrap();
    let expected = u64::from((Ready::READ | Ready::TIMEOUT).bits());
    assert_eq!(test.at(5 * MS), [(expected, Ready::TIMEOUT)]);
}

#[test]
fn a_handler_that_deletes_its_own_persistent_event_ends_its_interval() {
    fn end(registry: &mut Registry<Log>, log: &mut Log, fired: Fired) {
        log.push((1, fired.ready));
        registry.del(fired.id);
        assert_eq!(registry.pending(fired.id), Ready::empty());
    }
    let mut test = test();
    let id = test.registry().create(EventSpec::timer().persist(), end);
    test.registry().add(id, ms(5)).unwrap();
    assert_eq!(test.at(5 * MS), [(1, Ready::TIMEOUT)]);
    assert_eq!(test.at(50 * MS), []);
}

#[test]
fn an_event_deleted_by_a_handler_before_it_in_the_turn_does_not_run() {
    fn delete_other(registry: &mut Registry<Log>, log: &mut Log, _: Fired) {
        log.push((1, Ready::READ));
        let other = log[0].0;
        let id = EventId { index: other as u32, generation: std::num::NonZeroU32::MIN };
        registry.del(id);
    }
    let mut test = test();
    let other = test.waiting(0, READ, 2);
    let first = test.registry().create(EventSpec::io(&1, READ).persist(), delete_other);
    test.registry().add(first, None).unwrap();
    test.log.push((other.index.into(), Ready::empty()));
    test.report(&[(1, Ready::READ), (0, Ready::READ)]);
    assert_eq!(test.turn()[1..], [(1, Ready::READ)]);
    assert_eq!(test.registry().pending(other), Ready::empty());
}

#[test]
fn a_deleted_persistent_event_keeps_its_interval_until_it_is_dropped() {
    let mut test = test();
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    test.registry().add(id, ms(10)).unwrap();
    test.registry().del(id);
    test.registry().add(id, None).unwrap();
    assert_eq!(test.registry().pending(id), Ready::READ, "no timeout runs");
    test.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(test.at(0), [(1, Ready::READ)]);
    assert_eq!(test.at(10 * MS), [(1, Ready::TIMEOUT)], "firing re-arms it");
    test.registry().remove_timeout(id);
    test.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(test.at(10 * MS), [(1, Ready::READ)]);
    assert_eq!(test.registry().pending(id), Ready::READ, "dropped with its interval");
    assert_eq!(test.at(60 * MS), []);
}

#[test]
fn a_timer_added_without_a_timeout_stays_idle() {
    let mut test = test();
    let id = test.create(EventSpec::timer(), 1);
    test.registry().add(id, None).unwrap();
    assert_eq!(test.registry().pending(id), Ready::empty());
    assert_eq!(test.registry().counts().added, 0);
}

#[test]
fn timeouts_set_in_a_turn_count_from_one_moment() {
    fn set(registry: &mut Registry<Log>, log: &mut Log, fired: Fired) {
        let id = registry.create(EventSpec::timer(), |_, _, _| ());
        registry.add(id, ms(10)).unwrap();
        log.push((registry.events.slots[id.index].deadline_ns, fired.ready));
    }
    let mut test = test();
    for _ in 0..2 {
        let id = test.registry().create(EventSpec::timer(), set);
        test.registry().activate(id, Ready::WRITE).unwrap();
    }
    let deadline_ns = 47 * MS;
    assert_eq!(test.at(37 * MS), [(deadline_ns, Ready::WRITE); 2]);
}

#[test]
fn deadlines_of_common_and_other_timeouts_are_met_in_one_order() {
    let mut test = test();
    let ten = test.registry().common_timeout(Duration::from_millis(10)).unwrap();
    let ids: Vec<EventId> =
        (0..8).map(|token| test.create(EventSpec::timer().persist(), token)).collect();
    for (count, id) in ids.iter().enumerate() {
        let now_ns = count as u64 * MS;
        test.registry().timers.clock.pretend(now_ns);
        if count % 2 == 0 {
            test.registry().add_common(*id, ten).unwrap();
        } else {
            test.registry().add(*id, ms(10)).unwrap();
        }
    }
    let tokens = |log: Log| log.into_iter().map(|(token, _)| token).collect::<Vec<_>>();
    assert_eq!(tokens(test.at(17 * MS)), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(tokens(test.at(20 * MS)), [0], "an interval like any other");
    test.registry().del(ids[2]);
    test.registry().add_common(ids[1], ten).unwrap();
    assert_eq!(tokens(test.at(27 * MS)), [3, 4, 5, 6, 7]);
    assert_eq!(tokens(test.at(30 * MS)), [0, 1], "set again at 20");
}

#[test]
fn equal_deadlines_of_one_common_timeout_keep_the_order_they_were_set_in() {
    let mut test = test();
    let common = test.registry().common_timeout(Duration::from_millis(10)).unwrap();
    let ids: Vec<EventId> = (0..10).map(|token| test.create(EventSpec::timer(), token)).collect();
    for id in ids.iter().rev() {
        test.registry().add_common(*id, common).unwrap();
    }
    let fired: Vec<u64> = test.at(10 * MS).into_iter().map(|(token, _)| token).collect();
    assert_eq!(fired, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn a_common_timeout_of_zero_fires_once() {
    let mut test = test();
    let zero = test.registry().common_timeout(Duration::ZERO).unwrap();
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    test.registry().add_common(id, zero).unwrap();
    assert_eq!(test.at(0), [(1, Ready::TIMEOUT)]);
    assert_eq!(test.registry().pending(id), Ready::READ);
    test.registry().activate(id, Ready::READ).unwrap();
    assert_eq!(test.at(MS), [(1, Ready::READ)]);
    assert_eq!(test.at(2 * MS), []);
}

#[test]
fn an_event_made_active_by_hand_and_then_added_is_registered() {
    let mut test = test();
    let id = test.create(EventSpec::io(&0, READ).persist(), 1);
    test.registry().activate(id, Ready::WRITE).unwrap();
    test.registry().add(id, None).unwrap();
    assert_eq!(test.changes(), [change(0, NOTHING, READ)]);
    assert_eq!(test.at(0), [(1, Ready::WRITE)]);
    test.report(&[(0, Ready::READ)]);
    assert_eq!(test.turn(), [(1, Ready::READ)]);
}

#[test]
fn the_kernel_learns_only_of_the_first_and_the_last_of_a_kind() {
    let mut test = test();
    let ids = [READ, READ, WRITE].map(|interest| test.waiting(0, interest, 1));
    assert_eq!(test.changes(), [change(0, NOTHING, READ), change(0, READ, READ | WRITE)]);
    for id in ids {
        test.registry().del(id);
        test.registry().del(id);
    }
    assert_eq!(test.changes(), [change(0, READ | WRITE, WRITE), change(0, WRITE, NOTHING)]);
}
