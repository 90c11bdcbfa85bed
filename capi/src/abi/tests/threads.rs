//! Other threads. The tests of this process share the switch for threads, so these set it for all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

/// An event that several threads use.
struct Shared(EventPtr);

// SAFETY: the base of the event is made for several threads.
unsafe impl Sync for Shared {}

impl Shared {
    fn event(&self) -> EventPtr {
        self.0
    }
}

unsafe extern "C-unwind" fn note(_: c_int, _: c_short, argument: *mut c_void) {
    // SAFETY: it is the argument of a test that waits for the loop.
    let is_deleted = unsafe { &*argument.cast::<AtomicBool>() };
    assert!(!is_deleted.load(Ordering::Acquire), "called after event_del had returned");
}

unsafe extern "C-unwind" fn set(_: c_int, _: c_short, argument: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*argument.cast::<AtomicBool>() }.store(true, Ordering::Release);
}

#[test]
fn another_thread_adds_activates_and_deletes_events_of_a_running_loop() {
    const EVENTS: usize = if cfg!(miri) { 10 } else { 200 };
    evthread_use_pthreads();
    let base = TestBase::new();
    let runs = AtomicBool::new(false);
    let argument = (&raw const runs).cast_mut().cast();
    let keep = event_new(base.0, -1, PERSIST, Some(set), argument);
    event_add(keep, Some(&after(Duration::from_secs(1000))));
    // The loop forgets a break that was requested before it began.
    event_active(keep, 1, 1);
    let shared = Shared(keep);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !runs.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let base = event_get_base(shared.event());
            for number in 0..EVENTS {
                let is_deleted = AtomicBool::new(false);
                let argument = (&raw const is_deleted).cast_mut().cast();
                let event = event_new(base, -1, PERSIST, Some(note), argument);
                event_add(event, Some(&after(Duration::from_micros(number as u64))));
                event_active(event, 1, 1);
                event_del(event);
                is_deleted.store(true, Ordering::Release);
                event_free(event);
            }
            event_base_loopbreak(base);
        });
        assert_eq!(event_base_loop(base.0, 0), 0);
    });
    assert_eq!(base.count(), 1);
    event_free(keep);
}
