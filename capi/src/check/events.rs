//! Which events were set up, and what the memory of a pending event must hold.

use std::collections::BTreeMap;

use evshard::EventId;

use super::{Checks, descriptors, with};
use crate::abi::access::event_ptr::{CallbackPtr, EventPtr};
use crate::abi::access::layout::{Closure, EventFlags};
use crate::abi::access::probe::Memory;
use crate::debug;

/// An event that was set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) function: usize,
    pub(super) fd: i32,
    pub(super) events: EventFlags,
    /// The number of the base that it was set up for; `None` if that was none or is not known.
    base: Option<u64>,
    /// While it is pending or active.
    memory: Option<Memory>,
    /// Its memory was freed while it was pending, which was reported.
    is_freed: bool,
}

impl Known {
    /// Whether it is pending or active, and its memory was not freed as far as is known.
    fn is_pending(&self) -> bool {
        self.memory.is_some() && !self.is_freed
    }
}

/// By address.
#[derive(Default)]
pub(super) struct Events(BTreeMap<usize, Known>);

impl Events {
    pub(super) fn get(&self, address: usize) -> Option<&Known> {
        self.0.get(&address)
    }

    pub(super) fn remove(&mut self, address: usize) {
        self.0.remove(&address);
    }
}

/// The event as reports name it; `{}` stands for the name of its callback.
pub(super) fn describe(address: usize, known: &Known) -> String {
    let kind = match known.events {
        events if events.contains(EventFlags::SIGNAL) => format!(", signal {}", known.fd),
        events if events.intersects(EventFlags::IO) => format!(", descriptor {}", known.fd),
        _ => String::new(),
    };
    format!("event {address:#x} (callback {{}}{kind})")
}

impl Checks {
    pub(super) fn report(&mut self, address: usize, before: &str, after: &str) {
        if let Some(known) = self.events.get(address) {
            let text = format!("{before}{}{after}", describe(address, known));
            let function = known.function;
            self.reports.add(text, Some(function));
        }
    }

    pub(super) fn before_assign(&mut self, event: EventPtr) {
        let address = event.address();
        if self.events.get(address).is_some_and(Known::is_pending) {
            self.report(
                address,
                "event_assign: ",
                " is set up again while it is pending; call event_del before that, and before its \
                 memory is freed",
            );
            self.descriptors.remove_event(address);
        }
    }

    pub(super) fn after_assign(&mut self, event: EventPtr) {
        let known = Known {
            function: event.callback().function_address(),
            fd: event.fd(),
            events: event.events(),
            base: self.bases.number(event.base().address()),
            memory: None,
            is_freed: false,
        };
        self.events.0.insert(event.address(), known);
    }

    pub(super) fn may_use(&mut self, event: EventPtr, function: &str) -> bool {
        let address = event.address();
        if !self.knows(event, function) {
            return false;
        }
        let base = event.base().address();
        // Without a base the function itself says so.
        if base == 0 {
            return true;
        }
        let number = self.bases.number(base);
        let of_event = self.events.get(address).and_then(|known| known.base);
        if number.is_none() || (of_event.is_some() && of_event != number) {
            let was_freed = format!(
                " names the event_base {base:#x}, which was freed; make the event anew for \
                 another base"
            );
            self.report(address, &format!("{function}: "), &was_freed);
            return false;
        }
        if self.bases.has_loop_of_another_thread(base) {
            self.report(
                address,
                &format!("{function}: "),
                " is used while the loop of its base runs in another thread, and the base is for \
                 one thread; call evthread_use_pthreads before event_base_new",
            );
        }
        true
    }

    /// Notes that memory is freed; whether that is misuse.
    pub(super) fn on_free(&mut self, address: usize, size: usize) -> bool {
        let range = address..address.saturating_add(size);
        let freed: Vec<usize> = self.events.0.range(range).map(|(event, _)| *event).collect();
        let mut is_misuse = false;
        for event in freed {
            if self.events.get(event).is_some_and(Known::is_pending) {
                let after = " is pending, and its memory is freed; call event_del before that";
                self.report(event, "free: ", after);
                is_misuse = true;
            }
            match self.events.0.get_mut(&event) {
                Some(known) if known.memory.is_some() => known.is_freed = true,
                _ => self.events.remove(event),
            }
        }
        is_misuse
    }

    /// `event_del` is also called for events of a base that was freed.
    pub(super) fn may_delete(&mut self, event: EventPtr) -> bool {
        if !self.knows(event, "event_del") {
            return false;
        }
        let base = event.base().address();
        base == 0 || self.bases.number(base).is_none() || self.may_use(event, "event_del")
    }

    fn knows(&mut self, event: EventPtr, function: &str) -> bool {
        // The debug mode checks this itself.
        if debug::MODE.is_on() {
            return true;
        }
        let address = event.address();
        // Memory that held an event before may hold anything now.
        let is_event = self.events.get(address).is_some_and(|known| {
            let expected = known.memory.map_or(known.function, |memory| memory.function);
            let memory = event.callback().copy_memory().filter(|_| !known.is_freed);
            memory.is_some_and(|memory| memory.is_event && memory.function == expected)
        });
        if !is_event {
            let text = format!(
                "{function}: event {address:#x} was never set up, or its memory was freed or \
                 overwritten; call event_assign or event_new before that"
            );
            self.reports.add(text, None);
        }
        is_event
    }
}

/// The callback has a slot now. Call it after the slot was written.
#[inline]
pub(crate) fn on_pending(callback: CallbackPtr) {
    with(|checks| {
        let address = callback.address();
        let base = callback.event().map(|event| event.base().address());
        let (events, descriptors) = (&mut checks.events, &mut checks.descriptors);
        let Some(known) = events.0.get_mut(&address) else { return };
        known.memory = Some(callback.memory());
        // An event that is being finalized does not wait any more; its descriptor may be closed.
        let can_wait = matches!(callback.closure(), Closure::Event | Closure::Persist);
        if can_wait && known.events.intersects(EventFlags::IO) {
            let replaced = descriptors.insert(base.unwrap_or(0), known.fd, address);
            for old in replaced {
                checks.report(old, "event_add: ", descriptors::CLOSED);
            }
        }
    });
}

/// The callback has no slot any more.
#[inline]
pub(crate) fn on_idle(callback: CallbackPtr) {
    with(|checks| {
        let address = callback.address();
        if let Some(known) = checks.events.0.get_mut(&address) {
            known.memory = None;
        }
        checks.descriptors.remove_event(address);
    });
}

/// Whether the memory of a callback that is about to be called for this slot is as it was left. If
/// not, nothing of it may be used.
#[inline]
pub(crate) fn is_as_left(callback: CallbackPtr, id: EventId) -> bool {
    let is_lost = with(|checks| {
        let address = callback.address();
        let Some(known) = checks.events.get(address) else { return false };
        let Some(expected) = known.memory else { return false };
        let was_reported = known.is_freed;
        // Set up again while it was pending: that was reported, and its new state counts.
        let is_same = !was_reported && callback.copy_memory() == Some(expected);
        if expected.slot != Some(id) || is_same {
            return false;
        }
        if !was_reported {
            checks.report(
                address,
                "event_base_loop: ",
                ": its memory was freed or overwritten while it was pending, so it is not called; \
             call event_del before that",
            );
        }
        checks.events.remove(address);
        checks.descriptors.remove_event(address);
        true
    });
    !is_lost
}
