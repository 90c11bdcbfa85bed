//! C programs whose output with this library must equal that with the distribution's libevent.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::library::{CRATE, Library, compile, printed, run};
use test_needs::{Need, missing, program};

/// Runs a program of `tests/c` with both libraries, with these environment variables.
fn compare(source: &str, environment: &[(&str, &str)]) {
    if missing(Need::Libevent) || (source.ends_with(".cpp") && program("c++").is_none()) {
        return;
    }
    let ours = Library::new();
    let compiled = compile(source, ours.folder());
    let command = || {
        let mut command = Command::new("timeout");
        command.arg("60").arg(&compiled).envs(environment.iter().copied());
        command
    };
    let with_stock = printed(&mut command());
    let with_ours = printed(command().env("LD_LIBRARY_PATH", ours.folder()));
    let text = fs::read_to_string(Path::new(CRATE).join("tests/c").join(source)).expect("source");
    // A program that ends too early says the same with both.
    if environment.is_empty() {
        for scenario in text.split("SCENARIO(\"").skip(1) {
            let sentence = scenario.split('"').next().unwrap_or_default();
            assert!(with_stock.contains(sentence), "{source} did not come to: {sentence}");
        }
    }
    assert_eq!(with_stock, with_ours, "{source}: left libevent, right this library");
    if environment.is_empty() {
        let preload = ours.folder().join("libevshard_check.so");
        let mut command = command();
        command.env("LD_LIBRARY_PATH", ours.folder()).env("LD_PRELOAD", preload);
        expect_no_report(&mut command, &with_ours);
    }
}

/// A correct program prints the same in the checked mode, which reports nothing.
#[track_caller]
fn expect_no_report(command: &mut Command, printed: &str) {
    let checked = run(command.env("EVSHARD_CHECK", "1"));
    assert_eq!(printed, String::from_utf8_lossy(&checked.stdout), "right in the checked mode");
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(!errors.contains("EVSHARD_CHECK"), "{errors}");
}

#[test]
fn timers_act_as_libevents() {
    compare("timers.c", &[]);
}

#[test]
fn events_of_descriptors_act_as_libevents() {
    compare("io.c", &[]);
}

#[test]
fn events_of_descriptors_act_as_libevents_with_the_changelist() {
    compare("io.c", &[("EVENT_EPOLL_USE_CHANGELIST", "1")]);
}

#[test]
fn events_of_descriptors_act_as_libevents_on_poll() {
    compare("io.c", &[("EVENT_NOEPOLL", "1")]);
}

#[test]
fn events_of_descriptors_act_as_libevents_on_select() {
    compare("io.c", &[("EVENT_NOEPOLL", "1"), ("EVENT_NOPOLL", "1")]);
}

#[test]
fn events_that_were_idle_act_as_libevents() {
    compare("idle.c", &[]);
}

#[test]
fn signals_act_as_libevents() {
    compare("signals.c", &[]);
}

#[test]
fn loops_end_and_order_callbacks_as_libevents() {
    compare("loops.c", &[]);
}

#[test]
fn once_events_act_as_libevents() {
    compare("once.c", &[]);
}

#[test]
fn finalizers_and_deferred_callbacks_act_as_libevents() {
    compare("finalizers.c", &[]);
}

#[test]
fn memory_is_used_as_libevent_uses_it() {
    compare("memory.c", &[]);
}

#[test]
fn other_threads_may_use_a_base_as_libevents() {
    compare("threads.c", &[]);
}

#[test]
fn a_child_may_use_a_base_as_libevents() {
    compare("fork.c", &[]);
}

#[test]
fn longjmp_and_exceptions_leave_the_loop_as_libevents() {
    compare("unwinding.cpp", &[]);
}

#[test]
fn dumps_messages_and_the_debug_mode_are_as_libevents() {
    compare("inspection.c", &[]);
}

#[test]
fn functions_of_libevent_1_act_as_libevents() {
    compare("globals.c", &[]);
}
