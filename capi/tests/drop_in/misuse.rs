//! Uses that libevent does not survive or does not notice.

use std::os::unix::process::ExitStatusExt;
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
left: 1
new: TIMEOUT
loop: 1

an event may be added and deleted any number of times in any state
left: 0

the 257th common timeout of a base is refused with a message
event_base_init_common_timeout: the base has 256 common timeouts already; give this event one of \
its own
refused: 256

a base of another libevent, and none, end the program
the event_base ADDRESS is none of this library: it was freed, or another libevent made it; load \
one library only (`grep libevent /proc/PID/maps` lists them)
aborted: 1
a function got no event_base; call event_base_new first
aborted: 1
";

/// What the checked mode says of `tests/c/checked.c`. Each report is one line there.
const CHECKED: &str = "
an event that is pending is set up again
EVSHARD_CHECK: event_assign: event EVENT (callback on_timeout) is set up again while it is \
pending; call event_del before that, and before its memory is freed

a descriptor is closed while its event is pending
EVSHARD_CHECK: event_base_loop: event EVENT (callback on_readable, descriptor N): its descriptor \
was closed while it was pending; call event_del before close

the number of a closed descriptor is used again
EVSHARD_CHECK: event_add: event EVENT (callback on_readable, descriptor N): its descriptor was \
closed while it was pending; call event_del before close

the memory of a pending event is freed
EVSHARD_CHECK: event_base_loop: event EVENT (callback on_timeout): its memory was freed or \
overwritten while it was pending, so it is not called; call event_del before that

the memory of an active event is given back to the system
EVSHARD_CHECK: event_base_loop: event EVENT (callback on_readable): its memory was freed or \
overwritten while it was pending, so it is not called; call event_del before that

an event was never set up
EVSHARD_CHECK: event_del: event EVENT was never set up, or its memory was freed or overwritten; \
call event_assign or event_new before that
del: -1
EVSHARD_CHECK: event_add: event EVENT was never set up, or its memory was freed or overwritten; \
call event_assign or event_new before that
add: -1
EVSHARD_CHECK: event_active: event EVENT was never set up, or its memory was freed or \
overwritten; call event_assign or event_new before that
EVSHARD_CHECK: event_pending: event EVENT was never set up, or its memory was freed or \
overwritten; call event_assign or event_new before that
pending: 0

another event was copied over an event
EVSHARD_CHECK: event_add: event EVENT was never set up, or its memory was freed or overwritten; \
call event_assign or event_new before that
add: -1

an event was freed
EVSHARD_CHECK: event_add: event EVENT was never set up, or its memory was freed or overwritten; \
call event_assign or event_new before that
add: -1

the base of an event was freed
EVSHARD_CHECK: event_add: event EVENT (callback on_timeout) names the event_base ADDRESS, which \
was freed; make the event anew for another base
add: -1
EVSHARD_CHECK: event_active: event EVENT (callback on_timeout) names the event_base ADDRESS, \
which was freed; make the event anew for another base
del: 0

another base has the address of the base that was freed
EVSHARD_CHECK: event_add: event EVENT (callback on_timeout) names the event_base ADDRESS, which \
was freed; make the event anew for another base
add: -1
assign: 0
add: 0

a second thread uses an event of a base for one thread
EVSHARD_CHECK: event_add: event EVENT (callback on_timeout) is used while the loop of its base \
runs in another thread, and the base is for one thread; call evthread_use_pthreads before \
event_base_new
";

/// Text with each number after "descriptor" as N.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("descriptor ");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let shown = if number > 0 { "N" } else { "" };
        result += &format!("descriptor {shown}{}", &part[number..]);
    }
    result
}

#[test]
fn the_checked_mode_names_function_event_and_callback() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let program = compile("checked.c", library.folder());
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library.folder()).env("EVSHARD_CHECK", "1");
    assert_eq!(without_numbers(&printed(&mut command)), CHECKED);
    // What records the calls must not read memory that the mode finds gone.
    command.env("EVSHARD_SLOW_CALLBACK_MS", "60000");
    assert_eq!(without_numbers(&printed(&mut command)), CHECKED);
    let aborted = command.env("EVSHARD_CHECK", "abort").output().expect("it starts");
    assert_eq!(aborted.status.signal(), Some(6), "{aborted:?}");
    let said = String::from_utf8(aborted.stdout).expect("text");
    assert_eq!(said.matches("EVSHARD_CHECK").count(), 1, "{said}");
}

#[test]
fn the_checked_mode_with_its_preloaded_library_names_the_free_of_a_pending_events_memory() {
    if missing(Need::Libevent) {
        return;
    }
    let library = Library::new();
    let program = compile("freed.c", library.folder());
    let run = |preload: &str| {
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", library.folder()).env("EVSHARD_CHECK", "1");
        if !preload.is_empty() {
            command.env("LD_PRELOAD", library.folder().join(preload));
        }
        printed(&mut command)
    };
    let report = "EVSHARD_CHECK: free: event EVENT (callback on_timeout) is pending, and its \
                  memory is freed; call event_del before that\n";
    assert_eq!(run("libevshard_check.so"), format!("{report}{report}loop: 1\n"));
    // Without it, the event is called: the block's beginning holds what it held before.
    assert_eq!(run(""), "called\ncalled\nloop: 1\n");
}

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
