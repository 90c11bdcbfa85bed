//! What a program reads of an event, and of all events.

use super::*;

#[test]
fn an_events_fields_are_what_it_was_set_up_with() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 1, log: &log };
    let event = event_new(base.0, 5, READ | PERSIST, RECORD, named.argument());
    let (mut of_base, mut fd, mut events) = (BasePtr::NULL, 0, TIMER);
    let (mut function, mut argument) = (None, ptr::null_mut());
    event_get_assignment(
        event,
        Some(&mut of_base),
        Some(&mut fd),
        Some(&mut events),
        Some(&mut function),
        &raw mut argument,
    );
    assert_eq!((of_base, fd, events), (base.0, 5, READ | PERSIST));
    assert_eq!((function.is_some(), argument), (true, named.argument()));
    assert_eq!(event_get_callback_arg(event), named.argument());
    assert_eq!((event_get_fd(event), event_get_events(event)), (5, READ | PERSIST));
    assert_eq!(event_initialized(event), 1);
    event_free(event);
}

#[test]
fn a_function_that_gets_each_event_may_free_it() {
    unsafe extern "C-unwind" fn free_it(_: BasePtr, event: EventPtr, count: *mut c_void) -> c_int {
        event_free(event);
        // SAFETY: it is the argument of the test below.
        unsafe { *count.cast::<u32>() += 1 };
        0
    }
    let base = TestBase::new();
    let mut count = 0_u32;
    for seconds in 1..4 {
        let event = event_new(base.0, -1, TIMER, None, ptr::null_mut());
        event_add(event, Some(&after(Duration::from_secs(seconds))));
    }
    assert_eq!(event_base_foreach_event(base.0, Some(free_it), (&raw mut count).cast()), 0);
    // SAFETY: the function uses it no more.
    assert_eq!((unsafe { (&raw const count).read() }, base.count()), (3, 0));
}

#[test]
fn a_base_ends_with_events_that_are_pending_and_active() {
    let (base, log, (reader, _writer)) = (TestBase::new(), Log::default(), readable());
    let named = Named { number: 1, log: &log };
    let mut memory = Memory::filled(0xff);
    let event = memory.event();
    let (fd, events) = (reader.as_raw_fd(), READ_EDGE | PERSIST);
    event_assign(event, base.0, fd, events, RECORD, named.argument());
    event_add(event, Some(&after(Duration::from_secs(1000))));
    event_active(event, 1, 1);
    drop(base);
    assert_eq!(event_del(event), 0);
    assert!(log.borrow().is_empty());
}
