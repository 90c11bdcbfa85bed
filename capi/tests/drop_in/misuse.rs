//! Uses that libevent does not survive or does not notice.

use std::process::Command;

use crate::library::{Library, compile, printed};
use test_needs::{Need, missing};

const EXPECTED: &str = "
a base may be freed in its own callback
freed in a callback
loop: 0

an event of a base that was freed may be deleted
del: 0 0

a pending event that is set up again is reported, and only its new state counts
event ADDRESS was set up again while it was pending; call event_del before that
new: TIMEOUT
loop: 1

an event may be added and deleted any number of times in any state
left: 0

a base of another libevent, and none, end the program
the event_base ADDRESS is none of this library: it was freed, or another libevent made it; load \
one library only (`grep libevent /proc/PID/maps` lists them)
aborted: 1
a function got no event_base; call event_base_new first
aborted: 1
";

#[test]
fn misuse_is_survived_or_named() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let program = compile("misuse.c", library.folder());
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).env("LD_LIBRARY_PATH", library.folder());
    assert_eq!(printed(&mut command), EXPECTED);
}
