//! Threads that make and delete events of a running loop, with libevent and with this library.

use std::process::Command;

use crate::library::{Library, compile, printed};
use test_needs::{Need, missing};

/// Of each run. docs/DROP_IN_TESTS.md has the result of runs of a million.
const EVENTS: u32 = 4_000;

/// `tests/c/churn.c` aborts if a promise of libevent's does not hold.
#[track_caller]
fn churn(environment: &[(&str, &str)]) {
    if missing(Need::Libevent) {
        return;
    }
    let ours = Library::new();
    let program = compile("churn.c", ours.folder());
    for threads in ["3", "8"] {
        for folder in [None, Some(ours.folder())] {
            let mut command = Command::new("timeout");
            command.arg("60").arg(&program).arg(EVENTS.to_string()).arg(threads);
            command.envs(environment.iter().copied());
            if let Some(folder) = folder {
                command.env("LD_LIBRARY_PATH", folder);
            }
            assert_eq!(printed(&mut command), format!("ended: {EVENTS}\n"), "{command:?}");
        }
    }
}

#[test]
fn no_callback_begins_after_the_end_of_its_event_and_no_thread_waits_for_ever() {
    churn(&[]);
}

#[test]
fn no_callback_begins_after_the_end_of_its_event_with_the_changelist() {
    churn(&[("EVENT_EPOLL_USE_CHANGELIST", "1")]);
}

#[test]
fn no_callback_begins_after_the_end_of_its_event_on_poll() {
    churn(&[("EVENT_NOEPOLL", "1")]);
}

#[test]
fn no_callback_begins_after_the_end_of_its_event_on_select() {
    churn(&[("EVENT_NOEPOLL", "1"), ("EVENT_NOPOLL", "1")]);
}
