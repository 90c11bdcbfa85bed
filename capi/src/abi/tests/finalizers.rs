//! Finalizers, and events that a callback deletes or frees.

use super::*;

/// A finalizer that counts its calls in what the event's argument points to.
unsafe extern "C-unwind" fn count(_: EventPtr, argument: *mut c_void) {
    // SAFETY: it is the argument of a test that waits for the loop.
    unsafe { *argument.cast::<u32>() += 1 };
}

unsafe extern "C-unwind" fn unexpected(_: c_int, _: c_short, _: *mut c_void) {
    panic!("a callback of an event that was deleted");
}

#[test]
fn a_finalizer_is_the_only_call_and_may_be_followed_by_the_end_of_the_memory() {
    let base = TestBase::new();
    let mut calls = 0_u32;
    let argument = (&raw mut calls).cast();
    let mut memory = Memory::filled(0x33);
    let event = memory.event();
    event_assign(event, base.0, -1, TIMER, Some(unexpected), argument);
    event_active(event, 1, 1);
    assert_eq!(event_finalize(0, event, Some(count)), 0);
    assert_eq!(event_add(event, Some(&after(Duration::ZERO))), -1, "it is ending");
    let allocated = event_new(base.0, -1, TIMER, Some(unexpected), argument);
    event_add(allocated, Some(&after(Duration::ZERO)));
    assert_eq!(event_free_finalize(0, allocated, Some(count)), 0);
    base.turn();
    // SAFETY: no callback uses it now.
    assert_eq!(unsafe { (&raw const calls).read() }, 2);
    assert_eq!(base.count(), 0);
}

#[test]
fn the_end_of_a_base_calls_the_finalizers_that_are_due() {
    let base = TestBase::new();
    let mut calls = 0_u32;
    let argument = (&raw mut calls).cast();
    let event = event_new(base.0, -1, TIMER, Some(unexpected), argument);
    event_free_finalize(0, event, Some(count));
    drop(base);
    // SAFETY: no callback uses it now.
    assert_eq!(unsafe { (&raw const calls).read() }, 1);
}

#[test]
fn a_callback_may_free_another_active_event() {
    unsafe extern "C-unwind" fn free_other(_: c_int, _: c_short, argument: *mut c_void) {
        // SAFETY: the argument is the other event.
        event_free(unsafe { EventPtr::of_argument(argument) });
    }
    let base = TestBase::new();
    let other = event_new(base.0, -1, TIMER, Some(unexpected), ptr::null_mut());
    let event = event_new(base.0, -1, TIMER, Some(free_other), other.as_argument());
    event_active(event, 1, 1);
    event_active(other, 1, 1);
    base.turn();
    assert_eq!(base.count(), 0);
    event_free(event);
}

#[test]
fn a_callback_may_delete_add_and_set_up_its_own_event() {
    unsafe extern "C-unwind" fn again(fd: c_int, _: c_short, argument: *mut c_void) {
        // SAFETY: the argument is of `event_self_cbarg`: the event itself.
        let event = unsafe { EventPtr::of_argument(argument) };
        let base = event_get_base(event);
        event_del(event);
        event_assign(event, base, fd, TIMER, Some(last), event_self_cbarg());
        event_add(event, Some(&after(Duration::ZERO)));
    }
    unsafe extern "C-unwind" fn last(_: c_int, _: c_short, argument: *mut c_void) {
        // SAFETY: as above.
        let event = unsafe { EventPtr::of_argument(argument) };
        assert_eq!(event_base_get_running_event(event_get_base(event)), event);
        event_free(event);
    }
    let (base, (reader, _writer)) = (TestBase::new(), readable());
    let fd = reader.as_raw_fd();
    let event = event_new(base.0, fd, READ_EDGE | PERSIST, Some(again), event_self_cbarg());
    event_add(event, None);
    base.turn();
    assert_eq!(base.count(), 1);
    base.run();
}

#[test]
fn a_base_may_be_freed_in_its_own_callback() {
    unsafe extern "C-unwind" fn free_base(_: c_int, _: c_short, argument: *mut c_void) {
        // SAFETY: the argument is of `event_self_cbarg`: the event itself.
        let event = unsafe { EventPtr::of_argument(argument) };
        event_base_free(event_get_base(event));
    }
    let base = event_base_new();
    let mut memory = Memory::filled(0);
    let (event, mut other) = (memory.event(), Memory::filled(0));
    event_assign(event, base, -1, TIMER, Some(free_base), event_self_cbarg());
    event_assign(other.event(), base, -1, TIMER, Some(unexpected), ptr::null_mut());
    event_active(event, 1, 1);
    event_active(other.event(), 1, 1);
    assert_eq!(event_base_loop(base, 0), 0);
    assert_eq!(event_del(event), 0, "also after the end of its base");
}

#[test]
fn a_deferred_callback_is_called_once_for_several_requests() {
    unsafe extern "C-unwind" fn count_call(_: CallbackPtr, argument: *mut c_void) {
        // SAFETY: it is the argument of a test that waits for the loop.
        unsafe { *argument.cast::<u32>() += 1 };
    }
    let base = TestBase::new();
    let mut calls = 0_u32;
    let mut memory = Memory::filled(0x77);
    let callback = memory.event().callback();
    event_deferred_cb_init_(callback, 0, Some(count_call), (&raw mut calls).cast());
    assert_eq!(event_deferred_cb_schedule_(base.0, callback), 1);
    assert_eq!(event_deferred_cb_schedule_(base.0, callback), 0);
    base.turn();
    event_deferred_cb_schedule_(base.0, callback);
    event_deferred_cb_cancel_(base.0, callback);
    base.turn();
    // SAFETY: no callback uses it now.
    assert_eq!(unsafe { (&raw const calls).read() }, 1);
}
