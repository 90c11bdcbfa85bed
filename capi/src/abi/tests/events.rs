//! Events of descriptors and activation by hand.

use super::*;

#[test]
fn memory_that_holds_anything_becomes_an_event() {
    for byte in [0x00, 0x5a, 0xff] {
        let (base, log) = (TestBase::new(), Log::default());
        let named = Named { number: 1, log: &log };
        let mut memory = Memory::filled(byte);
        let event = memory.event();
        assert_eq!(event_assign(event, base.0, -1, TIMER, RECORD, named.argument()), 0);
        assert_eq!(event_pending(event, !0, None), 0);
        assert_eq!(event_del(event), 0);
        event_active(event, EventFlags::WRITE.bits().into(), 1);
        base.turn();
        assert_eq!(*log.borrow(), [(1, EventFlags::WRITE)]);
    }
}

#[test]
fn a_persistent_event_of_a_descriptor_fires_until_it_is_deleted() {
    let (base, log, (reader, mut writer)) = (TestBase::new(), Log::default(), readable());
    let named = Named { number: 1, log: &log };
    let events = READ_EDGE | PERSIST;
    let event = event_new(base.0, reader.as_raw_fd(), events, RECORD, named.argument());
    assert_eq!(event_add(event, None), 0);
    base.turn();
    writer.write_all(b"y").expect("a byte is written");
    base.turn();
    assert_eq!(*log.borrow(), [(1, READ_EDGE), (1, READ_EDGE)]);
    assert_eq!(event_pending(event, !0, None), c_int::from(READ.bits()));
    assert_eq!(event_del(event), 0);
    writer.write_all(b"z").expect("a byte is written");
    base.turn();
    assert_eq!(log.borrow().len(), 2);
    event_free(event);
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll has no EPOLLONESHOT")]
fn an_event_without_persistence_is_idle_after_it_fired() {
    let (base, log, (reader, _writer)) = (TestBase::new(), Log::default(), readable());
    let named = Named { number: 7, log: &log };
    let mut memory = Memory::filled(0xa5);
    let event = memory.event();
    event_assign(event, base.0, reader.as_raw_fd(), READ_EDGE, RECORD, named.argument());
    event_add(event, None);
    assert_eq!(base.count(), 1);
    base.turn();
    assert_eq!((base.count(), event_pending(event, !0, None)), (0, 0));
    assert_eq!(*log.borrow(), [(7, READ_EDGE)]);
}

#[test]
fn reasons_of_activations_add_up_and_are_one_call() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 1, log: &log };
    let event = event_new(base.0, -1, TIMER, RECORD, named.argument());
    event_active(event, READ.bits().into(), 1);
    event_active(event, EventFlags::TIMEOUT.bits().into(), 1);
    assert_eq!(event_pending(event, !0, None), c_int::from((READ | EventFlags::TIMEOUT).bits()));
    base.turn();
    assert_eq!(*log.borrow(), [(1, READ | EventFlags::TIMEOUT)]);
    event_active(event, READ.bits().into(), 1);
    event_del(event);
    base.turn();
    assert_eq!(log.borrow().len(), 1, "a deleted event is not called");
    event_free(event);
}

#[test]
fn bits_that_are_no_reasons_add_up_and_reach_the_callback() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 1, log: &log };
    let event = event_new(base.0, -1, TIMER, RECORD, named.argument());
    event_active(event, 0x1000, 1);
    event_active(event, 0x2000, 1);
    base.turn();
    assert_eq!(*log.borrow(), [(1, EventFlags::from_bits_retain(0x3000))]);
    event_free(event);
}

#[test]
fn an_event_that_was_to_be_active_later_is_active_now() {
    let (base, log) = (TestBase::new(), Log::default());
    let named = Named { number: 1, log: &log };
    let event = event_new(base.0, -1, TIMER, RECORD, named.argument());
    event_active_later_(event, READ.bits().into());
    assert!(event.callback().flags().contains(ListFlags::ACTIVE_LATER));
    event_active(event, READ.bits().into(), 1);
    let flags = event.callback().flags();
    assert_eq!(flags & ListFlags::STATE, ListFlags::ACTIVE);
    base.turn();
    base.turn();
    assert_eq!(*log.borrow(), [(1, READ)], "one call");
    event_free(event);
}

#[test]
fn urgent_events_run_first_and_a_priority_that_does_not_exist_is_refused() {
    let (base, log) = (TestBase::new(), Log::default());
    assert_eq!(event_base_priority_init(base.0, 3), 0);
    let named = [0, 1, 2].map(|number| Named { number, log: &log });
    let events =
        named.each_ref().map(|named| event_new(base.0, -1, TIMER, RECORD, named.argument()));
    for (event, priority) in events.into_iter().zip([2, 1, 0]) {
        assert_eq!(event_priority_set(event, priority), 0);
        assert_eq!(event_priority_set(event, 3), -1);
        assert_eq!(event_get_priority(event), priority);
        event_active(event, READ.bits().into(), 1);
    }
    for _ in 0..3 {
        base.turn();
    }
    assert_eq!(log.borrow().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 1, 0]);
    for event in events {
        event_free(event);
    }
}

#[test]
fn an_event_that_is_set_up_again_while_pending_counts_in_its_new_state_only() {
    let (base, log) = (TestBase::new(), Log::default());
    let (old, new) = (Named { number: 1, log: &log }, Named { number: 2, log: &log });
    let mut memory = Memory::filled(0);
    let event = memory.event();
    for named in [&old, &new] {
        event_assign(event, base.0, -1, TIMER, RECORD, named.argument());
        event_active(event, READ.bits().into(), 1);
    }
    base.turn();
    assert_eq!(*log.borrow(), [(2, READ)]);
    assert_eq!(base.count(), 0);
}
