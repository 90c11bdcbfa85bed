//! Priorities and limits: the order of handlers, and when the loop polls descriptors again.

use super::scripted_app::{App, ScriptedApp, note};
use super::*;

const ZERO: Option<Duration> = Some(Duration::ZERO);

fn scripted(priorities: u8) -> ScriptedApp {
    ScriptedApp::new(Config::default().priorities(priorities))
}

fn limited(limit: DispatchLimit) -> ScriptedApp {
    ScriptedApp::new(Config::default().priorities(2).dispatch_limit(limit))
}

#[test]
fn the_urgent_run_first_and_those_of_one_priority_in_the_order_they_became_active() {
    let mut scripted = scripted(3);
    let ids = [2, 0, 1, 0, 2, 1].map(|priority| scripted.user(priority, note));
    scripted.activate(&ids);
    assert_eq!(scripted.drain(), [1, 3, 2, 5, 0, 4]);
}

#[test]
fn after_the_first_priority_that_ran_the_loop_polls_again() {
    let mut scripted = scripted(3);
    let ids = [2, 1].map(|priority| scripted.user(priority, note));
    scripted.reader(0, 0, note);
    scripted.activate(&ids);
    scripted.report(&[&[], &[0], &[]]);
    assert_eq!(scripted.drain(), [1, 2, 0], "what a wait reports overtakes the less urgent");
    assert_eq!(scripted.waits(), [ZERO; 4], "one for each priority that ran, and one for nothing");
}

#[test]
fn the_less_urgent_starve_while_urgent_ones_keep_firing() {
    let mut scripted = scripted(2);
    scripted.reader(0, 0, note);
    let starved = scripted.user(1, note);
    scripted.activate(&[starved]);
    scripted.report(&[&[0], &[0], &[0], &[0]]);
    assert_eq!(scripted.drain(), [0, 0, 0, 0, 1]);
}

#[test]
fn an_urgent_event_is_not_kept_waiting_by_the_rest_of_a_queue() {
    fn activate_both(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        for token in [1, 2] {
            registry.activate(app.ids[token], Ready::WRITE).unwrap();
        }
    }
    let mut scripted = scripted(8);
    let first = scripted.user(4, activate_both);
    scripted.user(4, note);
    scripted.user(0, note);
    scripted.reader(0, 0, note);
    scripted.activate(&[first]);
    scripted.report(&[&[], &[0]]);
    assert_eq!(scripted.drain(), [0, 2, 3, 1], "and the loop polls once before it");
    assert_eq!(scripted.waits(), [ZERO; 4]);
}

#[test]
fn an_event_of_the_same_or_a_lesser_urgency_does_not_end_the_pass() {
    fn activate_others(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        for token in [2, 3] {
            registry.activate(app.ids[token], Ready::WRITE).unwrap();
        }
    }
    let mut scripted = scripted(3);
    let first = scripted.user(1, activate_others);
    let second = scripted.user(1, note);
    scripted.user(2, note);
    scripted.user(1, note);
    scripted.activate(&[first, second]);
    assert_eq!(scripted.drain(), [0, 1, 3, 2]);
    assert_eq!(scripted.waits().len(), 2, "one for each priority");
}

#[test]
fn internal_events_do_not_count_as_calls() {
    let mut scripted = scripted(2);
    let remote = scripted.base.remote();
    let user = scripted.user(1, note);
    scripted.activate(&[user]);
    remote.post(|_, app| app.fired.push((9, Ready::READ))).unwrap();
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.tokens(), [9, 0], "the base's own queue is passed in the same turn");
    assert_eq!(scripted.waits().len(), 1);
}

#[test]
fn a_new_event_has_the_middle_priority() {
    for (priorities, middle) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (255, 127)] {
        let mut scripted = scripted(priorities);
        assert_eq!(scripted.registry().priorities(), priorities.max(1));
        let id = scripted.event(EventSpec::timer(), note);
        assert_eq!(scripted.registry().priority(id), Some(middle));
        let once = scripted.registry().once(EventSpec::timer(), ZERO, note).unwrap();
        assert_eq!(scripted.registry().priority(once), Some(middle));
    }
}

#[test]
fn the_number_of_priorities_changes_while_no_event_is_active_or_has_one_that_would_not_exist() {
    let mut scripted = ScriptedApp::new(Config::default());
    assert_eq!(scripted.registry().priorities(), 1);
    scripted.registry().set_priorities(3).unwrap();
    let ids = [2, 0, 1].map(|priority| scripted.user(priority, note));
    let error = scripted.registry().set_priorities(2).unwrap_err();
    assert!(matches!(error, Error::Priority { priority: 2, priorities: 2 }), "{error}");
    scripted.activate(&ids);
    let error = scripted.registry().set_priorities(5).unwrap_err();
    assert!(matches!(error, Error::Active(_)), "{error}");
    assert_eq!(scripted.drain(), [1, 2, 0]);
    scripted.registry().free(ids[0]);
    scripted.registry().set_priorities(2).unwrap();
    scripted.registry().set_priorities(0).unwrap_err();
    assert_eq!(scripted.registry().priorities(), 2);
    // In a handler, too: the queue that runs may end with it.
    let last = scripted.user(1, |registry, app, fired| {
        note(registry, app, fired);
        registry.free(fired.id);
        registry.free(app.ids[2]);
        registry.set_priorities(1).unwrap();
    });
    scripted.activate(&[last]);
    assert_eq!(scripted.drain(), [3]);
    assert_eq!(scripted.registry().priorities(), 1);
}

#[test]
fn a_priority_changes_only_within_range_and_while_the_event_is_not_active() {
    fn demote(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.set_priority(fired.id, 2).unwrap();
    }
    let mut scripted = scripted(3);
    let id = scripted.event(EventSpec::timer(), demote);
    let error = scripted.registry().set_priority(id, 3).unwrap_err();
    assert!(matches!(error, Error::Priority { priority: 3, priorities: 3 }), "{error}");
    scripted.registry().activate(id, Ready::READ).unwrap();
    let error = scripted.registry().set_priority(id, 0).unwrap_err();
    assert!(matches!(error, Error::Active(active) if active == id), "{error}");
    scripted.registry().del(id);
    scripted.registry().activate_later(id, Ready::READ).unwrap();
    assert!(matches!(scripted.registry().set_priority(id, 0), Err(Error::Active(_))));
    scripted.drain();
    assert_eq!(scripted.registry().priority(id), Some(2), "in its handler it is not active");
    scripted.registry().free(id);
    assert!(matches!(scripted.registry().set_priority(id, 0), Err(Error::Stale(_))));
    assert_eq!(scripted.registry().priority(id), None);
}

#[test]
fn continue_polls_again_before_the_rest_of_the_queue() {
    fn look_again(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.loop_continue();
    }
    let mut scripted = scripted(2);
    let ids = [scripted.user(1, look_again), scripted.user(1, note)];
    scripted.reader(0, 0, note);
    scripted.activate(&ids);
    scripted.report(&[&[], &[0]]);
    assert_eq!(scripted.drain(), [0, 2, 1], "what the second look found is more urgent");
}

#[test]
fn an_exit_ends_the_loop_after_this_queue_and_before_the_next() {
    fn exit(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.loop_exit();
    }
    let mut scripted = scripted(2);
    let ids = [scripted.user(0, exit), scripted.user(0, note), scripted.user(1, note)];
    scripted.activate(&ids);
    assert_eq!(scripted.run(LoopFlags::empty()), LoopEnd::Stopped);
    assert_eq!(scripted.tokens(), [0, 1]);
    assert_eq!(scripted.run(LoopFlags::empty()), LoopEnd::Empty);
    assert_eq!(scripted.tokens(), [2], "it stayed active");
}

#[test]
fn a_limit_of_calls_bounds_a_pass_and_loses_nothing() {
    for (calls, waits) in [(Some(2), 3), (Some(1), 5), (Some(0), 5), (None, 1)] {
        let limit = DispatchLimit { calls, interval: None, from_priority: 0 };
        let mut scripted = limited(limit);
        let ids = [0; 5].map(|priority| scripted.user(priority, note));
        scripted.activate(&ids);
        assert_eq!(scripted.drain(), [0, 1, 2, 3, 4]);
        assert_eq!(scripted.waits().len(), waits, "with {calls:?}");
    }
}

#[test]
fn events_beyond_a_limit_run_after_more_urgent_ones_of_the_next_wait() {
    let limit = DispatchLimit { calls: Some(1), interval: None, from_priority: 1 };
    let mut scripted = limited(limit);
    let ids = [1, 1].map(|priority| scripted.user(priority, note));
    scripted.reader(0, 0, note);
    scripted.activate(&ids);
    scripted.report(&[&[], &[0]]);
    assert_eq!(scripted.drain(), [0, 2, 1]);
}

#[test]
fn a_limit_leaves_more_urgent_priorities_alone() {
    for (from_priority, waits) in [(1, 4), (0, 6)] {
        let limit = DispatchLimit { calls: Some(1), interval: None, from_priority };
        let mut scripted = limited(limit);
        let ids = [0, 0, 0, 1, 1, 1].map(|priority| scripted.user(priority, note));
        scripted.activate(&ids);
        assert_eq!(scripted.drain(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(scripted.waits().len(), waits, "bounded from {from_priority}");
    }
    assert_eq!(DispatchLimit::default().from_priority, 1);
}

#[test]
fn a_limit_of_time_ends_a_pass_after_the_call_that_used_it_up() {
    fn dawdle(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(1) {
            registry.update_time();
        }
    }
    for (interval, waits) in [(Duration::from_micros(10), 3), (Duration::from_secs(3600), 1)] {
        let limit = DispatchLimit { calls: None, interval: Some(interval), from_priority: 0 };
        let mut scripted = limited(limit);
        let ids = [0; 3].map(|priority| scripted.user(priority, dawdle));
        scripted.activate(&ids);
        assert_eq!(scripted.drain(), [0, 1, 2]);
        assert_eq!(scripted.waits().len(), waits, "within {interval:?}");
    }
}

#[test]
fn a_limit_of_time_is_not_used_up_by_internal_events() {
    let limit = DispatchLimit { calls: None, interval: Some(Duration::ZERO), from_priority: 0 };
    let mut scripted = limited(limit);
    let less_urgent = scripted.user(1, note);
    scripted.activate(&[less_urgent]);
    scripted.reader(0, 0, note);
    scripted.base.remote().post(|_, app| app.fired.push((9, Ready::READ))).unwrap();
    scripted.report(&[&[0]]);
    assert_eq!(scripted.drain(), [9, 1, 0], "or the less urgent would overtake");
}
