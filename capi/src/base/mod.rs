//! A base that several threads may use (`struct event_base`): the state behind a lock.
//!
//! No function here holds the lock while it calls the program or waits. What the loop needs for a
//! call is copied first. So a callback may use the base as any other code may, and free it.
//!
//! An event has a slot in evshard's base only while it is pending or active; the slot of the one
//! that became idle last stays for it. Its memory is the program's: nothing of it is used before
//! `event_add` or after `event_del`.

mod callbacks;
pub(crate) mod config;
mod event_loop;
mod events;
mod finished;
pub(crate) mod freeing;
mod idle_slot;
pub(crate) mod queries;

use std::ffi::{CStr, c_ulong};
use std::sync::Arc;

use evshard::{CommonTimeout, EventBase, EventCounts, EventId, Registry};
use libc::timeval;
use parking_lot::lock_api::{Mutex, MutexGuard};

use crate::abi::access::event_ptr::CallbackPtr;
use crate::abi::access::lock::BaseLock;
use crate::abi::access::thread_id;
use crate::record::Record;
use finished::Finished;
use idle_slot::IdleSlot;

pub(crate) use events::Blocking;

/// See the module's documentation.
pub(crate) struct Base {
    state: Mutex<BaseLock, State>,
    /// Of its handle, which the program has as `struct event_base *`.
    address: usize,
    /// Whether the lock is one for several threads.
    is_shared: bool,
    /// Threads that wait for the end of a callback in `event_del`.
    finished: Finished,
    /// Whether the loop has more to do around waits and calls than to make them: it records what it
    /// does, or the checked mode is on.
    is_watched: bool,
    /// What the loop does, if the process is observed.
    record: Option<Arc<Record>>,
}

type Guard<'a> = MutexGuard<'a, BaseLock, State>;

struct State {
    base: EventBase<()>,
    method: &'static CStr,
    /// Whether the backend reports edges.
    has_edges: bool,
    /// The thread whose loop runs.
    owner: Option<Thread>,
    /// The callback that runs.
    current: Option<CallbackPtr>,
    /// How many callbacks ran so far: distinguishes two calls of one callback.
    calls: u64,
    /// How many more calls of it are due, because a signal was delivered several times.
    repetitions: u32,
    /// How many threads wait for the end of the current callback.
    waiters: u32,
    /// Common timeouts by number, each with the value that the program has a pointer to. A `Box`
    /// would claim that no one else has one.
    common: Vec<(Arc<timeval>, CommonTimeout)>,
    /// The maxima of counts before the last time that one was cleared.
    max_before: EventCounts,
    /// The program freed the base while its loop ran; the loop frees it when it returns.
    is_freed: bool,
    /// The slot of the event that became idle last.
    idle: Option<IdleSlot>,
    /// Messages that the loop logs before its next step, when the program may use the base.
    messages: Vec<String>,
    /// Events that `event_base_free` has still to end.
    ending: Vec<EventId>,
}

/// The identity of a loop's thread, where threads have one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Thread(Option<c_ulong>);

impl Thread {
    fn current() -> Self {
        Self(thread_id::current())
    }
}

impl Base {
    pub(crate) fn set_address(&mut self, address: usize) {
        self.address = address;
    }

    /// Whether several threads may use it.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn lock(&self) -> Guard<'_> {
        self.state.lock()
    }
}

impl State {
    fn registry(&mut self) -> &mut Registry<()> {
        self.base.registry()
    }

    /// Whether the calling thread runs the loop. Without threads it always does.
    fn is_in_loop_thread(&self) -> bool {
        thread_id::current().is_none_or(|id| self.owner == Some(Thread(Some(id))))
    }
}
