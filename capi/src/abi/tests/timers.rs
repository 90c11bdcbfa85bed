//! Timeouts, common timeouts and once events.

use super::*;

#[test]
fn a_timer_fires_once_and_its_memory_is_free_in_its_callback() {
    unsafe extern "C-unwind" fn free_itself(_: c_int, _: c_short, argument: *mut c_void) {
        // SAFETY: the argument is of `event_self_cbarg`: the event itself.
        event_free(unsafe { EventPtr::of_argument(argument) });
    }
    let base = TestBase::new();
    let event = event_new(base.0, -1, TIMER, Some(free_itself), event_self_cbarg());
    event_add(event, Some(&after(Duration::ZERO)));
    assert_eq!(base.count(), 1);
    base.run();
}

#[test]
fn timers_fire_in_the_order_in_which_they_are_due() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = [0, 1, 2].map(|number| Named { number, log: &log });
    let events = named.each_ref().map(|named| {
        let event = event_new(base.0, -1, TIMER, RECORD, named.argument());
        // Under Miri an addition takes milliseconds.
        event_add(event, Some(&after(Duration::from_millis(300 - 100 * named.number as u64))));
        event
    });
    base.run();
    assert_eq!(log.borrow().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 1, 0]);
    for event in events {
        event_free(event);
    }
}

#[test]
fn a_timer_that_is_removed_or_deleted_does_not_fire() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 1, log: &log };
    let event = event_new(base.0, -1, PERSIST, RECORD, named.argument());
    for remove in [event_remove_timer, event_del] {
        event_add(event, Some(&after(Duration::ZERO)));
        assert_eq!(event_pending(event, !0, None), c_int::from(EventFlags::TIMEOUT.bits()));
        assert_eq!(remove(event), 0);
        base.run();
        assert!(log.borrow().is_empty());
    }
    event_free(event);
}

#[test]
fn events_with_one_common_timeout_fire_in_the_order_in_which_they_were_added() {
    let (base, log) = (TestBase::new(), Log::default());
    let common = event_base_init_common_timeout(base.0, &after(Duration::from_millis(1)));
    // SAFETY: the value lasts as long as the base.
    let common = unsafe { &*common };
    let named = [0, 1].map(|number| Named { number, log: &log });
    let events = named.each_ref().map(|named| {
        let event = event_new(base.0, -1, TIMER, RECORD, named.argument());
        event_add(event, Some(common));
        event
    });
    base.run();
    let timeout = EventFlags::TIMEOUT;
    assert_eq!(*log.borrow(), [(0, timeout), (1, timeout)]);
    for event in events {
        event_free(event);
    }
}

#[test]
fn a_once_event_fires_once_and_is_freed_also_with_its_base() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 4, log: &log };
    for timeout in [None, Some(&after(Duration::ZERO))] {
        let argument = named.argument();
        assert_eq!(event_base_once(base.0, -1, EventFlags::TIMEOUT, RECORD, argument, timeout), 0);
    }
    base.turn();
    assert_eq!(*log.borrow(), [(4, EventFlags::TIMEOUT); 2]);
    let late = after(Duration::from_secs(1000));
    event_base_once(base.0, -1, EventFlags::TIMEOUT, RECORD, named.argument(), Some(&late));
    assert_eq!(base.count(), 1);
}
