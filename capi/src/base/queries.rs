//! Questions to a base, and requests to its loop.

use std::ffi::{CStr, c_int, c_uint};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use evshard::{EventCounts, Interest, Ready};
use libc::timeval;

use super::Base;
use crate::abi::access::event_ptr::{CallbackPtr, EventPtr};
use crate::abi::access::layout::EventFlags;
use crate::abi::access::log;
use crate::time;

bitflags::bitflags! {
    /// `EVENT_BASE_COUNT_*`.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct CountKinds: c_uint {
        const ACTIVE = 1;
        const VIRTUAL = 2;
        const ADDED = 4;
    }
}

/// An event of a base, for `event_base_dump_events` and `event_base_foreach_event`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) event: EventPtr,
    pub(crate) is_inserted: bool,
    pub(crate) due: Option<timeval>,
    pub(crate) active: EventFlags,
    pub(crate) priority: u8,
}

/// The loop.
impl Base {
    /// Ends the loop after this pass (`event_base_loopexit`), now or after a delay.
    pub(crate) fn loop_exit(&self, delay: Option<&timeval>) {
        let delay = delay.map(time::duration).unwrap_or_default();
        self.lock().base.act(|registry| registry.loop_exit_after(delay));
    }

    pub(crate) fn loop_break(&self) {
        self.lock().base.act(evshard::Registry::loop_break);
    }

    pub(crate) fn loop_continue(&self) {
        self.lock().base.act(evshard::Registry::loop_continue);
    }

    pub(crate) fn got_exit(&self) -> bool {
        self.lock().registry().got_exit()
    }

    pub(crate) fn got_break(&self) -> bool {
        self.lock().registry().got_break()
    }

    /// The event whose callback runs, if the calling thread runs the loop.
    pub(crate) fn running_event(&self) -> Option<EventPtr> {
        let state = self.lock();
        state.current.filter(|_| state.is_in_loop_thread()).and_then(CallbackPtr::event)
    }
}

/// The base.
impl Base {
    pub(crate) fn method(&self) -> &'static CStr {
        self.lock().method
    }

    pub(crate) fn features(&self) -> c_int {
        self.lock().registry().features().bits().into()
    }

    pub(crate) fn priorities(&self) -> u8 {
        self.lock().registry().priorities()
    }

    /// Sets the number of priorities; whether it could.
    pub(crate) fn set_priorities(&self, priorities: c_int) -> bool {
        let Ok(priorities) = u8::try_from(priorities) else { return false };
        let mut state = self.lock();
        state.end_idle_slot();
        priorities > 0 && state.registry().set_priorities(priorities).is_ok()
    }

    pub(crate) fn count(&self, kinds: CountKinds) -> c_int {
        sum(self.lock().registry().counts(), kinds)
    }

    /// The sum of the maxima of these counts. They begin again if `clears`.
    pub(crate) fn max_count(&self, kinds: CountKinds, clears: bool) -> c_int {
        let mut state = self.lock();
        let recent = state.registry().max_counts();
        let mut max = EventCounts {
            active: state.max_before.active.max(recent.active),
            held: state.max_before.held.max(recent.held),
            added: state.max_before.added.max(recent.added),
        };
        let result = sum(max, kinds);
        if clears {
            // evshard's base clears all of them. Those that are not cleared are kept here.
            state.registry().reset_max_counts();
            for (kind, of_kind) in [
                (CountKinds::ACTIVE, &mut max.active),
                (CountKinds::VIRTUAL, &mut max.held),
                (CountKinds::ADDED, &mut max.added),
            ] {
                if kinds.contains(kind) {
                    *of_kind = 0;
                }
            }
            state.max_before = max;
        }
        result
    }
}

fn sum(counts: EventCounts, kinds: CountKinds) -> c_int {
    let of = |kind, count| if kinds.contains(kind) { count } else { 0 };
    let sum = of(CountKinds::ACTIVE, counts.active)
        + of(CountKinds::VIRTUAL, counts.held)
        + of(CountKinds::ADDED, counts.added);
    c_int::try_from(sum).unwrap_or(c_int::MAX)
}

/// Time.
impl Base {
    /// The wall clock, cached while the loop calls callbacks.
    pub(crate) fn time_of_day(&self) -> timeval {
        let mut state = self.lock();
        let now = match state.owner {
            Some(_) => state.registry().system_time(),
            None => SystemTime::now(),
        };
        time::of_moment(now)
    }

    pub(crate) fn update_time(&self) {
        let mut state = self.lock();
        if state.owner.is_some() {
            state.registry().update_time();
        }
    }

    /// The value by which events use a common timeout; the same for the same duration. `None` if
    /// the base has 256 already, which a message says.
    pub(crate) fn common_timeout(&self, wanted: &timeval) -> Option<*const timeval> {
        let mut state = self.lock();
        let is_ours = time::common_number(wanted).is_some_and(|n| n < state.common.len());
        let wanted = if is_ours { time::without_number(wanted) } else { *wanted };
        let duration = time::duration(&wanted);
        let common = match state.registry().common_timeout(duration) {
            Ok(common) => common,
            Err(error) => {
                drop(state);
                log::warn(&format!("event_base_init_common_timeout: {error}"));
                return None;
            }
        };
        let known = state.common.iter().find(|(_, known)| *known == common);
        if let Some((value, _)) = known {
            return Some(Arc::as_ptr(value));
        }
        let value = Arc::new(time::common(duration, state.common.len()));
        let address = Arc::as_ptr(&value);
        state.common.push((value, common));
        Some(address)
    }
}

/// All events.
impl Base {
    /// The events that are pending or active, in libevent's order.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let mut state = self.lock();
        let mut infos = Vec::new();
        let _ = state.registry().for_each(|info| {
            infos.push(info);
            ControlFlow::<()>::Continue(())
        });
        let mut listed = Vec::with_capacity(infos.len());
        for info in infos {
            if let Some(event) = CallbackPtr::of_token(info.token).and_then(CallbackPtr::event) {
                listed.push(Listed {
                    event,
                    is_inserted: info.inserted,
                    due: state.due(info.id),
                    active: EventFlags::from_bits_retain(info.active.bits().into()),
                    priority: info.priority,
                });
            }
        }
        listed
    }

    /// Activates the events of a descriptor (`event_base_active_by_fd`): those that wait for one of
    /// these conditions or, with `EV_TIMEOUT`, those whose timeout runs.
    pub(crate) fn activate_fd(&self, fd: c_int, events: EventFlags) {
        if !events.contains(EventFlags::TIMEOUT) {
            let interest = Interest::from_bits_truncate(events.bits() as u8);
            self.lock().base.act(|registry| registry.activate_by_fd(fd, interest.into()));
            return;
        }
        let mut state = self.lock();
        let mut timed = Vec::new();
        let _ = state.registry().for_each(|info| {
            let event = CallbackPtr::of_token(info.token).and_then(CallbackPtr::event);
            if info.deadline.is_some() && event.is_some_and(|event| event.fd() == fd) {
                timed.push(info.id);
            }
            ControlFlow::<()>::Continue(())
        });
        for id in timed {
            // It was listed under this lock: it cannot be stale.
            let _ = state.base.act(|registry| registry.activate(id, Ready::TIMEOUT));
        }
    }

    pub(crate) fn activate_signal(&self, number: c_int) {
        self.lock().base.act(|registry| registry.activate_by_signal(number));
    }
}
