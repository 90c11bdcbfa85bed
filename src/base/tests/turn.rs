//! One turn of the loop: flags, watchers, deferred events, and what ends it.

use super::scripted_app::{App, ScriptedApp, note};
use super::*;
use crate::sys::seccomp;
use std::time::Instant;

const ZERO: Option<Duration> = Some(Duration::ZERO);

fn scripted() -> ScriptedApp {
    ScriptedApp::new(Config::default())
}

#[test]
fn nonblock_runs_until_a_wait_finds_nothing() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    scripted.report(&[&[0], &[0], &[], &[0]]);
    assert_eq!(scripted.run(LoopFlags::NONBLOCK), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [0, 0]);
    assert_eq!(scripted.waits(), [ZERO; 3]);
}

#[test]
fn once_and_nonblock_together_are_one_pass() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    scripted.report(&[&[0], &[0]]);
    assert_eq!(scripted.run(LoopFlags::ONCE | LoopFlags::NONBLOCK), LoopEnd::Done);
    assert_eq!((scripted.tokens().len(), scripted.waits().len()), (1, 1));
}

#[test]
fn once_waits_until_a_handler_of_the_users_ran() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    let remote = scripted.base.remote();
    remote.post(|_, app| app.fired.push((9, Ready::READ))).unwrap();
    scripted.report(&[&[], &[], &[0], &[0]]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [9, 0], "a posted closure is not what it waits for");
    assert_eq!(scripted.waits(), [ZERO, None, None]);
}

#[test]
fn once_goes_on_while_events_are_active() {
    let mut scripted = ScriptedApp::new(Config::default().priorities(2));
    let ids = [0, 1].map(|priority| scripted.user(priority, note));
    scripted.activate(&ids);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [0, 1]);
}

#[test]
fn an_empty_loop_waits_only_with_no_exit_on_empty() {
    let mut scripted = scripted();
    assert_eq!(scripted.run(LoopFlags::empty()), LoopEnd::Empty);
    assert_eq!(scripted.waits(), []);
    scripted.report(&[&[]]);
    let remote = scripted.base.remote();
    remote.post(|registry, _| registry.loop_exit()).unwrap();
    assert_eq!(scripted.run(LoopFlags::NO_EXIT_ON_EMPTY), LoopEnd::Stopped);
    assert_eq!(scripted.waits().len(), 1);
}

#[test]
fn a_break_ends_the_pass_and_what_is_left_runs_first_next_time() {
    fn break_off(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.loop_break();
    }
    let mut scripted = scripted();
    let ids = [scripted.user(0, break_off), scripted.user(0, note), scripted.user(0, note)];
    scripted.activate(&ids);
    assert_eq!(scripted.run(LoopFlags::empty()), LoopEnd::Stopped);
    assert!(scripted.registry().got_break() && !scripted.registry().got_exit());
    assert_eq!(scripted.tokens(), [0]);
    scripted.reader(0, 0, note);
    scripted.report(&[&[0]]);
    assert_eq!(scripted.drain(), [1, 2, 3]);
    assert!(!scripted.registry().got_break(), "cleared on entry");
}

#[test]
fn a_backend_that_cannot_wait_ends_the_loop_with_an_error_and_leaves_it_usable() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    // What a wait reported before it failed is not lost: an edge would not come again.
    scripted.report(&[&[0]]);
    scripted.end_waits(&[Err(libc::EPERM)]);
    let error = scripted.base.run(&mut scripted.app).unwrap_err();
    assert!(matches!(error, Error::Os { .. }), "{error}");
    assert_eq!(scripted.waits().len(), 1);
    assert!(scripted.app.fired.is_empty());
    assert_eq!(scripted.drain(), [0]);
    assert_eq!(scripted.registry().stats().wait_errors, 0);
}

#[test]
fn a_lack_of_memory_in_a_wait_ended_the_loop() {
    for errno in [libc::EAGAIN, libc::ENOMEM, libc::EBUSY, libc::EINTR] {
        let mut scripted = scripted();
        scripted.reader(0, 0, note);
        scripted.report(&[&[], &[], &[], &[], &[], &[], &[0]]);
        scripted.end_waits(&[Err(errno); 6]);
        let start = Instant::now();
        assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
        assert_eq!(scripted.tokens(), [0]);
        assert_eq!(scripted.waits(), [None, ZERO, None, ZERO, None, ZERO, None]);
        let stats = scripted.registry().stats();
        assert_eq!((stats.wait_errors, stats.waits), (3, 1), "each wait was made twice");
        assert!(start.elapsed() >= Duration::from_millis(1 + 2 + 4), "it pauses longer and longer");
    }
}

#[test]
fn timers_stood_still_while_waits_failed() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    scripted.timer(Duration::from_millis(20), note);
    scripted.end_waits(&[Err(libc::ENOMEM); 1000]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [1]);
    let failures = scripted.registry().stats().wait_errors;
    assert!((3..=6).contains(&failures), "{failures} failures in 20 ms: 1 + 2 + 4 + 8 + 5");
}

#[test]
fn a_wait_that_must_not_block_pauses_after_no_failure() {
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    let start = Instant::now();
    for _ in 0..100 {
        scripted.end_waits(&[Err(libc::ENOMEM); 2]);
        assert_eq!(scripted.run(LoopFlags::NONBLOCK), LoopEnd::Done);
    }
    assert_eq!(scripted.registry().stats().wait_errors, 100);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_kernel_without_memory_for_any_wait_ended_the_loop_or_made_it_spin() {
    if seccomp::is_missing() {
        return;
    }
    for kind in BackendKind::usable() {
        let run = move || {
            let mut base = EventBase::<App>::new(Config::default().backend(kind)).unwrap();
            for call in seccomp::WAITS {
                seccomp::refuse(call, libc::ENOMEM).unwrap();
            }
            let mut app = App::default();
            let timer = base.registry().create(EventSpec::timer(), note);
            base.registry().add(timer, Some(Duration::from_millis(300))).unwrap();
            assert_eq!(base.run(&mut app).unwrap(), LoopEnd::Empty);
            assert_eq!(app.fired.len(), 1, "{kind:?}");
            let failures = base.registry().stats().wait_errors;
            assert!((1..30).contains(&failures), "{kind:?}: {failures} failures in 300 ms");
        };
        std::thread::spawn(run).join().unwrap();
    }
}

/// A timer that is due, and a reader that becomes ready only when the kernel is asked again.
fn is_ready_when_asked_again(scripted: &mut ScriptedApp, timeout: Duration) {
    scripted.reader(0, 0, |registry, app, fired| {
        note(registry, app, fired);
        registry.del(app.ids[1]); // as a deadline that every byte renews
    });
    scripted.timer(timeout, note);
}

#[test]
fn an_interrupted_wait_let_a_timeout_pass_for_a_descriptor_that_was_ready() {
    for errno in [libc::EINTR, libc::ENOMEM] {
        let mut scripted = scripted();
        is_ready_when_asked_again(&mut scripted, Duration::ZERO);
        scripted.report(&[&[], &[0]]);
        scripted.end_waits(&[Err(errno)]);
        assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
        assert_eq!(scripted.tokens(), [0]);
        assert_eq!(scripted.registry().stats().wait_errors, 0, "the second one succeeded");
    }
}

#[test]
fn a_full_event_array_let_timeouts_pass_for_descriptors_that_did_not_fit() {
    let mut scripted = scripted();
    is_ready_when_asked_again(&mut scripted, Duration::ZERO);
    scripted.reader(2, 0, note);
    scripted.report(&[&[2], &[2], &[0]]);
    scripted.end_waits(&[Ok(Reported::Part), Ok(Reported::Part), Ok(Reported::All)]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [2, 0]);
    // Without a timeout that is due, one wait is enough.
    scripted.waits();
    scripted.report(&[&[2]]);
    scripted.end_waits(&[Ok(Reported::Part)]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!((scripted.tokens(), scripted.waits().len()), (vec![2], 1));
}

#[test]
fn a_backend_that_always_has_more_to_report_stood_in_the_way_of_timers() {
    let mut scripted = scripted();
    scripted.timer(Duration::ZERO, note);
    scripted.end_waits(&[Ok(Reported::Part); 100]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [0]);
    assert!(scripted.waits().len() < 20, "the kernel is asked a bounded number of times");
}

#[test]
fn a_process_that_was_stopped_after_a_wait_let_timeouts_pass_for_what_came_meanwhile() {
    fn stop(_: &mut Registry<App>, _: &mut App, _: Option<Duration>) {
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut scripted = scripted();
    is_ready_when_asked_again(&mut scripted, Duration::from_millis(1));
    scripted.registry().watch_prepare(stop);
    scripted.report(&[&[], &[0]]);
    assert_eq!(scripted.run(LoopFlags::ONCE), LoopEnd::Done);
    assert_eq!(scripted.tokens(), [0]);
    assert_eq!(scripted.waits()[1], ZERO);
}

#[test]
fn of_many_scheduled_33_run_in_a_turn_and_the_others_in_the_next() {
    let mut scripted = scripted();
    let ids: Vec<EventId> = (0..40).map(|_| scripted.user(0, note)).collect();
    for id in &ids {
        assert!(scripted.registry().schedule(*id).unwrap());
    }
    scripted.run(LoopFlags::ONCE | LoopFlags::NONBLOCK);
    assert!(scripted.tokens().into_iter().eq(0..40), "a turn promotes what waited for it");

    // Scheduled by a handler, so that all belong to one turn.
    fn schedule_all(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        for id in &app.ids[..40] {
            registry.schedule(*id).unwrap();
        }
        registry.schedule(app.ids[0]).unwrap();
    }
    let scheduler = scripted.reader(0, 0, schedule_all);
    scripted.waits();
    scripted.report(&[&[0], &[]]);
    fn count_waits(_: &mut Registry<App>, app: &mut App) {
        app.fired.push((100, Ready::empty()));
    }
    scripted.registry().watch_check(count_waits);
    let fired = scripted.drain();
    let turns: Vec<&[u64]> = fired.split(|token| *token == 100).skip(1).collect();
    let [first, second, last] = turns[..] else { panic!("{turns:?}") };
    assert_eq!((first.len(), second.len(), last.len()), (1 + 33, 7, 0));
    assert!(fired.iter().filter(|token| **token < 40).copied().eq(0..40), "in order, once each");
    scripted.registry().free(scheduler);
}

#[test]
fn an_event_scheduled_twice_runs_once_and_the_second_call_returns_false() {
    let mut scripted = scripted();
    let id = scripted.user(0, note);
    assert!(scripted.registry().schedule(id).unwrap());
    assert!(!scripted.registry().schedule(id).unwrap(), "it is due already");
    scripted.registry().activate(id, Ready::READ).unwrap();
    scripted.run(LoopFlags::NONBLOCK);
    assert_eq!(scripted.app.fired, [(0, Ready::DEFERRED | Ready::READ)]);
    assert_eq!(scripted.registry().pending(id), Ready::empty());
    scripted.registry().free(id);
    assert!(matches!(scripted.registry().schedule(id), Err(Error::Stale(_))));
}

#[test]
fn an_event_that_schedules_itself_does_not_keep_the_loop_from_its_descriptors() {
    fn again(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        if app.fired.len() < 100 {
            registry.schedule(fired.id).unwrap();
        }
    }
    let mut scripted = scripted();
    let id = scripted.user(0, again);
    scripted.reader(0, 0, note);
    scripted.report(&[&[], &[0]]);
    scripted.registry().schedule(id).unwrap();
    let fired = scripted.drain();
    let at = fired.iter().position(|token| *token == 1).expect("the reader's turn came");
    assert_eq!(at, 35, "33 calls of a turn, the one before it, and the promoted one");
}

#[test]
fn an_event_activated_for_later_waits_for_the_next_poll() {
    fn later(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.activate_later(app.ids[1], Ready::WRITE).unwrap();
        registry.activate_later(app.ids[2], Ready::WRITE).unwrap();
        registry.activate(app.ids[2], Ready::READ).unwrap();
    }
    let mut scripted = scripted();
    let first = scripted.user(0, later);
    scripted.user(0, note);
    scripted.user(0, note);
    scripted.reader(0, 0, note);
    scripted.activate(&[first]);
    scripted.report(&[&[], &[0]]);
    scripted.run(LoopFlags::NONBLOCK);
    let both = Ready::READ | Ready::WRITE;
    let write = Ready::WRITE;
    assert_eq!(scripted.app.fired, [(0, write), (2, both), (1, write), (3, Ready::READ)]);
    assert_eq!(scripted.waits(), [ZERO; 3], "nothing blocks while one waits for its turn");
}

#[test]
fn an_event_for_the_next_turn_can_be_deleted() {
    let mut scripted = scripted();
    let id = scripted.user(0, note);
    scripted.registry().activate_later(id, Ready::WRITE).unwrap();
    assert_eq!(scripted.registry().pending(id), Ready::WRITE);
    scripted.registry().del(id);
    assert_eq!(scripted.registry().pending(id), Ready::empty());
    assert_eq!(scripted.run(LoopFlags::empty()), LoopEnd::Empty);
    assert!(scripted.tokens().is_empty());
}

#[test]
fn deferred_changes_wait_for_the_next_wait_whatever_ends_the_loop() {
    fn stop(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
        note(registry, app, fired);
        registry.add(app.ids[1], None).unwrap();
        registry.loop_exit();
    }
    let mut scripted = ScriptedApp::new(Config::default().changelist(ChangelistPolicy::Deferred));
    let first = scripted.user(0, stop);
    scripted.event(EventSpec::io(&0, READ).persist(), note);
    scripted.activate(&[first]);
    scripted.script.0.lock().unwrap().changes.clear();
    scripted.run(LoopFlags::empty());
    assert_eq!(scripted.script.0.lock().unwrap().changes, []);
    scripted.report(&[&[0]]);
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.script.0.lock().unwrap().changes, [change(0, NOTHING, READ)]);
    assert_eq!(scripted.tokens(), [0, 1]);
}

fn write_timeout(_: &mut Registry<App>, app: &mut App, timeout: Option<Duration>) {
    let class = match timeout {
        None => 100,
        Some(Duration::ZERO) => 101,
        Some(bound) if bound <= Duration::from_secs(3600) => 102,
        Some(_) => 103,
    };
    app.fired.push((class, Ready::empty()));
}

#[test]
fn a_prepare_watcher_sees_how_long_the_loop_is_about_to_wait() {
    let mut scripted = scripted();
    scripted.registry().watch_prepare(write_timeout);
    scripted.reader(0, 0, note);
    scripted.report(&[&[0]]);
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.tokens(), [100, 0], "for ever");
    scripted.run(LoopFlags::NONBLOCK);
    assert_eq!(scripted.tokens(), [101], "not at all");
    let timer = scripted.timer(Duration::from_secs(3600), note);
    scripted.report(&[&[0]]);
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.tokens(), [102, 0], "until the timer");
    scripted.registry().del(timer);
    let user = scripted.user(0, note);
    scripted.activate(&[user]);
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.tokens(), [101, 2], "not at all, since something is active");
}

#[test]
fn watchers_run_in_the_order_they_were_made_and_may_remove_themselves_and_others() {
    fn first(registry: &mut Registry<App>, app: &mut App) {
        app.fired.push((1, Ready::empty()));
        // What it makes is called from the next turn on.
        registry.watch_check(third);
    }
    fn second(_: &mut Registry<App>, app: &mut App) {
        app.fired.push((2, Ready::empty()));
    }
    fn third(_: &mut Registry<App>, app: &mut App) {
        app.fired.push((3, Ready::empty()));
    }
    let mut scripted = scripted();
    let made = [scripted.registry().watch_check(first), scripted.registry().watch_check(second)];
    scripted.run(LoopFlags::NO_EXIT_ON_EMPTY | LoopFlags::NONBLOCK);
    assert_eq!(scripted.tokens(), [1, 2]);
    scripted.run(LoopFlags::NO_EXIT_ON_EMPTY | LoopFlags::NONBLOCK);
    assert_eq!(scripted.tokens(), [1, 2, 3]);
    for id in made {
        scripted.registry().unwatch(id);
        scripted.registry().unwatch(id);
    }
    scripted.run(LoopFlags::NO_EXIT_ON_EMPTY | LoopFlags::NONBLOCK);
    assert_eq!(scripted.tokens(), [3, 3]);
}

#[test]
fn a_check_watcher_runs_when_descriptors_are_active_and_timeouts_are_not_yet() {
    fn look(registry: &mut Registry<App>, app: &mut App) {
        let [reader, timer] = [0, 1].map(|token| registry.info(app.ids[token]).unwrap().active);
        app.fired.push((9, reader | timer));
    }
    let mut scripted = scripted();
    scripted.reader(0, 0, note);
    scripted.timer(Duration::ZERO, note);
    scripted.registry().watch_check(look);
    scripted.report(&[&[0]]);
    scripted.run(LoopFlags::ONCE);
    assert_eq!(scripted.app.fired, [(9, Ready::READ), (0, Ready::READ), (1, Ready::TIMEOUT)]);
}

#[test]
fn an_event_that_a_prepare_watcher_adds_counts_for_the_wait() {
    fn add_timer(registry: &mut Registry<App>, app: &mut App, timeout: Option<Duration>) {
        assert_eq!(timeout, None);
        registry.add(app.ids[1], Some(Duration::ZERO)).unwrap();
    }
    fn activate(registry: &mut Registry<App>, app: &mut App, _: Option<Duration>) {
        registry.activate(app.ids[1], Ready::WRITE).unwrap();
    }
    fn stop(registry: &mut Registry<App>, _: &mut App, _: Option<Duration>) {
        registry.loop_exit();
    }
    let watchers: [PrepareWatcher<App>; 3] = [add_timer, activate, stop];
    for (watcher, expected) in watchers.into_iter().zip([vec![1], vec![1], vec![]]) {
        let mut scripted = scripted();
        scripted.reader(0, 0, note);
        scripted.event(EventSpec::timer(), note);
        scripted.registry().watch_prepare(watcher);
        scripted.run(LoopFlags::ONCE);
        assert_eq!(scripted.tokens(), expected);
        assert_eq!(scripted.waits(), [ZERO], "it does not wait for the reader");
    }
}
