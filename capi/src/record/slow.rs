//! Callbacks that took longer than a limit: counted, the last ones listed, and logged.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::counter::Counter;
use super::reasons::Reasons;
use crate::abi::access::log;
use crate::symbols;

/// How many slow calls a base lists: a page of text.
const LISTED_MAX: usize = 32;
/// The log gets one line of a base in this time. A line needs the function's name, for which the
/// program's file is read.
const LOG_INTERVAL_NS: u64 = 1_000_000_000;

/// From which time on a callback is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowLimit {
    pub(crate) ns: u64,
    /// Whether slow callbacks are logged.
    pub(crate) is_logged: bool,
}

/// One call that was slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowCall {
    pub(crate) ended_ns: u64,
    pub(crate) took_ns: u64,
    pub(crate) address: u64,
    pub(crate) fd: i32,
    pub(crate) reasons: Reasons,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct SlowCalls {
    count: Counter,
    /// The loop never waits for this lock: while a reader copies the list, it leaves a call out.
    list: Mutex<VecDeque<SlowCall>>,
    logged_ns: Counter,
    /// Slow calls since the last line of the log.
    unlogged: Counter,
}

impl SlowCalls {
    /// Counts, lists and logs a call. The thread of the loop calls it without the base's lock.
    #[cold]
    pub(super) fn note(&self, call: &SlowCall, limit: &SlowLimit) {
        self.count.add(1);
        if let Some(mut list) = self.list.try_lock() {
            if list.len() == LISTED_MAX {
                list.pop_front();
            }
            list.push_back(*call);
        }
        if limit.is_logged {
            self.log(call);
        }
    }

    fn log(&self, call: &SlowCall) {
        let logged_ns = self.logged_ns.get();
        if logged_ns > 0 && call.ended_ns < logged_ns + LOG_INTERVAL_NS {
            self.unlogged.add(1);
            return;
        }
        self.logged_ns.set(call.ended_ns);
        let others = match self.unlogged.get() {
            0 => String::new(),
            count => format!("; {count} others since the last message"),
        };
        self.unlogged.set(0);
        let (name, ms, of) = (symbols::name(call.address), call.took_ns / 1_000_000, call.place());
        log::warn(&format!("event_base_loop: {name} took {ms} ms ({of}){others}"));
    }

    pub(super) fn reset(&self) {
        [&self.count, &self.logged_ns, &self.unlogged].iter().for_each(|counter| counter.set(0));
        if let Some(mut list) = self.list.try_lock() {
            list.clear();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// The last calls, the oldest first. `None` if the list is locked: the loop writes to it, or,
    /// in a child, it was so when the process forked.
    pub(crate) fn copy(&self) -> Option<Vec<SlowCall>> {
        let mut copy = Vec::with_capacity(LISTED_MAX);
        copy.extend(&*self.list.try_lock()?);
        Some(copy)
    }
}

impl SlowCall {
    /// The reasons and the descriptor.
    pub(crate) fn place(&self) -> String {
        place(self.reasons, self.fd)
    }
}

/// Why a call was made, and for which descriptor.
pub(crate) fn place(reasons: Reasons, fd: i32) -> String {
    match reasons.has_descriptor() {
        true => format!("{reasons}, fd {fd}"),
        false if reasons == Reasons::SIGNAL => format!("{reasons} {fd}"),
        false => reasons.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: SlowLimit = SlowLimit { ns: 1, is_logged: false };

    fn call(took_ns: u64) -> SlowCall {
        SlowCall { ended_ns: 0, took_ns, address: 0, fd: 3, reasons: Reasons::READ }
    }

    #[test]
    fn the_last_calls_are_listed_and_all_are_counted() {
        let slow = SlowCalls::default();
        (1..=100).for_each(|took_ns| slow.note(&call(took_ns), &LIMIT));
        let listed: Vec<u64> = slow.copy().expect("free").iter().map(|call| call.took_ns).collect();
        assert_eq!((slow.count(), listed), (100, (69..=100).collect()));
    }

    #[test]
    fn the_loop_does_not_wait_for_a_reader_of_the_list() {
        let slow = SlowCalls::default();
        let reader = slow.list.lock();
        slow.note(&call(1), &LIMIT);
        assert!(slow.copy().is_none());
        drop(reader);
        assert_eq!((slow.count(), slow.copy().expect("free").len()), (1, 0));
    }

    #[test]
    fn a_call_is_named_by_its_reasons_and_what_they_are_of() {
        assert_eq!(place(Reasons::READ | Reasons::TIMEOUT, 3), "read and timeout, fd 3");
        assert_eq!(place(Reasons::SIGNAL, 15), "signal 15");
        assert_eq!(place(Reasons::TIMEOUT, -1), "timeout");
    }
}
