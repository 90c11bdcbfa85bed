//! A process that forks while one of its threads uses signals.

use std::process::Command;

use crate::library::{Library, compile, printed};
use test_needs::{Need, missing};

#[test]
fn a_child_waited_for_ever_for_a_lock_that_another_thread_held_when_it_was_forked() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let mut command = Command::new(compile("forking.c", library.folder()));
    command.arg("300").env("LD_LIBRARY_PATH", library.folder());
    assert_eq!(printed(&mut command), "children that ended: 300 of 300\n");
}
