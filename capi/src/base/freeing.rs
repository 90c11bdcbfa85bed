//! The end of a base (`event_base_free`), and its renewal in a child (`event_reinit`).

use std::ops::ControlFlow;

use super::Base;
use crate::abi::access::call::Call;
use crate::abi::access::event_ptr::CallbackPtr;
use crate::abi::access::layout::Marks;
use crate::abi::access::log;
use crate::admin;
use crate::check;

/// One step of the end of a base.
pub(crate) enum Ending {
    /// One event is idle now. The call is its finalizer.
    Event(Option<Call>),
    /// No event is left. The base may be freed now, or, if its loop runs, when that returns.
    Last { loop_runs: bool },
}

impl Base {
    /// Makes one event idle that is pending or active. Call it until none is left; finalizers may
    /// activate others.
    pub(crate) fn end_event(&self) -> Ending {
        let mut state = self.lock();
        if state.ending.is_empty() {
            let mut all = Vec::new();
            let _ = state.registry().for_each(|info| {
                all.push(info.id);
                ControlFlow::<()>::Continue(())
            });
            if all.is_empty() {
                state.is_freed = state.owner.is_some();
                return Ending::Last { loop_runs: state.is_freed };
            }
            state.ending = all;
        }
        let Some(id) = state.ending.pop() else { return Ending::Event(None) };
        let Some(info) = state.registry().info(id) else { return Ending::Event(None) };
        let Some(callback) = CallbackPtr::of_token(info.token) else {
            state.registry().free(id);
            return Ending::Event(None);
        };
        if !check::is_as_left(callback, id) {
            state.registry().give_back(id);
            return Ending::Event(None);
        }
        let call = callback.is_finalizing().then(|| Call::of_callback(callback)).flatten();
        state.give_back(callback);
        state.end_idle_slot();
        // A slot that its event has lost is given back, too.
        state.registry().give_back(id);
        if let Some(event) = callback.event().filter(|_| callback.marks().contains(Marks::ONCE)) {
            check::on_end(event);
            event.free();
        }
        Ending::Event(call)
    }

    /// Whether the program freed the base while its loop ran.
    pub(crate) fn is_freed(&self) -> bool {
        self.lock().is_freed
    }

    /// Makes the base usable in a child after `fork(2)`; whether it could.
    pub(crate) fn reinit(&self) -> bool {
        if let Some(record) = &self.record {
            admin::join(record);
        }
        let renewed = self.lock().base.reinit();
        match renewed {
            Ok(()) => true,
            Err(error) => {
                log::warn(&format!("event_reinit: {error}"));
                false
            }
        }
    }
}
