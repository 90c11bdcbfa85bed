//! The loop (`event_base_loop`), by the steps of evshard's base.

use std::ffi::c_int;

use evshard::steps::{self, Run};
use evshard::{LoopEnd, LoopFlags, Ready};
use parking_lot::lock_api::MutexGuard;

use super::{Base, Guard, State, Thread};
use crate::abi::access::call::Call;
use crate::abi::access::event_ptr::CallbackPtr;
use crate::abi::access::layout::{Closure, EventFlags, ListFlags, Marks};
use crate::abi::access::log;
use crate::admin;
use crate::check;
use crate::debug;

/// A loop that runs. It owns nothing, so that `longjmp` may leave the loop's function.
struct Turns {
    run: Run,
    /// Whether the pass over the active events of a turn has begun.
    in_pass: bool,
    /// The call that was made last.
    made: Option<Call>,
    /// What `event_base_loop` returns.
    result: c_int,
}

impl Base {
    /// Runs the loop. No lock is held and nothing is borrowed while a callback runs, and nothing is
    /// left to be dropped in this function: an exception or `longjmp` may pass through it. The base
    /// then counts as running, as libevent's does.
    pub(crate) fn run(&self, flags: c_int) -> c_int {
        let Some(mut turns) = self.begin_loop(flags) else { return -1 };
        while let Some(call) = self.next_call(&mut turns) {
            if self.is_watched {
                self.make_watched(call);
            } else {
                call.make();
            }
        }
        turns.result
    }

    #[cold]
    fn make_watched(&self, call: Call) {
        check::log_reports();
        if let Some(record) = &self.record {
            record.begin_call(call);
        }
        call.make();
        if let Some(record) = &self.record {
            record.end_call();
        }
    }

    fn begin_loop(&self, flags: c_int) -> Option<Turns> {
        if let Some(record) = &self.record {
            admin::join(record);
        }
        let mut state = self.lock();
        if state.owner.is_some() {
            drop(state);
            log::warn(
                "event_base_loop: reentrant invocation.  Only one event_base_loop can run on each \
                 event_base at once.",
            );
            return None;
        }
        state.owner = Some(Thread::current());
        let flags = LoopFlags::from_bits_truncate(flags as u8);
        let run = state.base.begin_loop(flags);
        if let Some(record) = &self.record {
            record.begin_loop();
        }
        Some(Turns { run, in_pass: false, made: None, result: 0 })
    }

    /// The next call of the program; `None` at the end of the loop.
    fn next_call(&self, turns: &mut Turns) -> Option<Call> {
        let mut state = self.lock();
        if turns.made.is_some() {
            if state.calls_again() {
                return turns.made;
            }
            self.end_call(&mut state, turns);
        }
        loop {
            log_messages(&mut state);
            if state.is_freed {
                return self.end_loop(&mut state);
            }
            if turns.in_pass {
                turns.made = self.next_of_pass(&mut state, &mut turns.run);
                if turns.made.is_some() {
                    return turns.made;
                }
                turns.in_pass = false;
                if state.base.end_turn(&mut turns.run).is_some() {
                    return self.end_loop(&mut state);
                }
            }
            if let Some(end) = state.base.begin_turn(&mut turns.run) {
                turns.result = c_int::from(end == LoopEnd::Empty);
                return self.end_loop(&mut state);
            }
            if let Err(error) = self.wait(&mut state, &turns.run) {
                state.messages.push(format!("event_base_loop: {error}"));
                turns.result = -1;
                return self.end_loop(&mut state);
            }
            state.base.begin_pass(&mut turns.run);
            turns.in_pass = true;
        }
    }

    fn end_call(&self, state: &mut Guard<'_>, turns: &mut Turns) {
        turns.made = None;
        state.current = None;
        if state.waiters > 0 {
            state.waiters = 0;
            self.finished.notify();
        }
        if !state.is_freed {
            state.base.end_dispatch(&mut turns.run);
        }
    }

    fn end_loop(&self, state: &mut Guard<'_>) -> Option<Call> {
        log_messages(state);
        state.base.end_loop();
        state.owner = None;
        if let Some(record) = &self.record {
            record.end_loop(state.registry());
        }
        None
    }

    fn wait(&self, state: &mut Guard<'_>, run: &Run) -> evshard::Result<()> {
        let mut wait = state.base.begin_wait(run);
        if self.is_watched {
            self.begin_watched_wait(state);
        }
        MutexGuard::unlocked(state, || {
            wait.run();
            if let Some(record) = &self.record {
                record.end_wait();
            }
        });
        state.base.end_wait(wait)
    }

    #[cold]
    fn begin_watched_wait(&self, state: &mut Guard<'_>) {
        check::before_wait(self.address);
        // What other threads do meanwhile ends the wait, which has begun.
        MutexGuard::unlocked(state, check::log_reports);
        if let Some(record) = &self.record {
            record.begin_wait(state.registry());
        }
    }

    #[cold]
    fn note_cause(&self, state: &State, callback: CallbackPtr, call: &steps::Call<()>) {
        if let Some(record) = &self.record {
            let fired = call.fired();
            record.note_cause(&state.base, callback, fired.id, fired.ready);
        }
    }

    /// The next call of the program in this pass. What is evshard's own runs here.
    fn next_of_pass(&self, state: &mut State, run: &mut Run) -> Option<Call> {
        while let Some(call) = state.base.begin_dispatch(run) {
            match CallbackPtr::of_token(call.fired().token) {
                Some(callback) if !check::is_as_left(callback, call.fired().id) => {
                    state.registry().give_back(call.fired().id);
                }
                Some(callback) => {
                    if self.is_watched {
                        self.note_cause(state, callback, &call);
                    }
                    if let Some(call) = state.settle(callback, &call) {
                        return Some(call);
                    }
                }
                None => state.base.call(call, &mut ()),
            }
            state.base.end_dispatch(run);
        }
        None
    }
}

/// Logs what was found since the last call of the program, without the lock.
#[inline]
fn log_messages(state: &mut Guard<'_>) {
    if !state.messages.is_empty() {
        log_all_messages(state);
    }
}

#[cold]
fn log_all_messages(state: &mut Guard<'_>) {
    let messages = std::mem::take(&mut state.messages);
    MutexGuard::unlocked(state, || messages.iter().for_each(|message| log::warn(message)));
}

impl State {
    /// Whether to make the last call again, because a signal was delivered several times.
    fn calls_again(&mut self) -> bool {
        let is_due = self.repetitions > 0 && !self.is_freed && !self.registry().got_break();
        self.repetitions = if is_due { self.repetitions - 1 } else { 0 };
        is_due
    }

    /// Copies what the call of a callback needs, and gives its slot back unless it stays pending.
    fn settle(&mut self, callback: CallbackPtr, call: &steps::Call<()>) -> Option<Call> {
        let fired = call.fired();
        if callback.slot() != Some(fired.id) {
            self.registry().give_back(fired.id);
            self.messages.push(format!(
                "event {:#x} was set up again while it was pending; call event_del before that",
                callback.token().0
            ));
            return None;
        }
        if fired.ready.contains(Ready::REFUSED)
            && let Some(why) = self.registry().take_refusal(fired.id)
        {
            // libevent's event would stay pending and never fire.
            self.messages.push(format!("event_add: {why}"));
        }
        // Giving the slot back would end them.
        let mut repetitions = 0;
        while self.base.calls_again() {
            repetitions += 1;
        }
        if call.is_pending() {
            callback.remove_flags(ListFlags::ACTIVE | ListFlags::ACTIVE_LATER);
        } else {
            if callback.closure() != Closure::Event {
                self.registry().reset(fired.id);
            }
            self.keep_slot(callback, fired.id);
            callback.set_slot(None);
            callback.remove_flags(ListFlags::STATE);
            check::on_idle(callback);
        }
        self.calls += 1;
        self.repetitions = repetitions;
        if let Some(finalizer_or_deferred) = Call::of_callback(callback) {
            if callback.closure() == Closure::Deferred {
                self.current = Some(callback);
            } else if let Some(event) = callback.event() {
                debug::MODE.note_teardown(event);
                check::on_end(event);
            }
            return Some(finalizer_or_deferred);
        }
        self.current = Some(callback);
        self.settle_event(callback, call)
    }

    fn settle_event(&mut self, callback: CallbackPtr, call: &steps::Call<()>) -> Option<Call> {
        let event = callback.event()?;
        let mut what = EventFlags::from_bits_retain(call.what().into());
        if !self.has_edges {
            what -= EventFlags::ET;
        }
        let marks = callback.marks();
        if marks.contains(Marks::ACTIVATED) {
            what |= EventFlags::from_bits_retain(event.result());
            callback.set_marks(marks - Marks::ACTIVATED);
        } else if what.is_empty() && call.fired().ready.contains(Ready::REFUSED) {
            self.current = None;
            return None;
        }
        event.set_result(what.bits());
        let call = Call::of_event(event, what.bits());
        if marks.contains(Marks::ONCE) {
            debug::MODE.note_teardown(event);
            self.current = None;
            check::on_end(event);
            event.free();
        }
        Some(call)
    }
}
