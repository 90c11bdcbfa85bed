//! The model of a lent backend: one thread waits without the lock, another changes the base under
//! it. T16: no change and no wake is lost, whichever comes first; mutations that must fail.
//!
//! The base is a model, because loom cannot enter the kernel: what is recorded, what the backend
//! has, and whether it is lent. The wake word and the order of the steps are those of
//! `EventBase::begin_wait`, `end_wait` and `act`.

use loom::sync::Arc;
use loom::thread;

use crate::base::WakeWord;
use crate::sync::{ModelEventFd, Mutex};

/// What the mutex protects.
#[derive(Default)]
struct State {
    /// Changes that the backend has not got.
    recorded: u32,
    /// Changes that the kernel has.
    applied: u32,
    is_lent: bool,
    /// The loop must end: what another thread requests of it without the kernel.
    stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    word: WakeWord,
    eventfd: ModelEventFd,
}

/// What a protocol does otherwise than the base.
#[derive(Clone, Copy, Default)]
struct Mutation {
    /// `act` does not end the wait.
    never_notifies: bool,
    /// `act` notifies only if the backend is at home.
    notifies_at_home: bool,
    /// `act` notifies before it changes anything, without the lock.
    notifies_first: bool,
    /// The loop falls asleep only after it has given up the lock, and does not look again.
    sleeps_unlocked: bool,
    /// The loop notes that the backend is lent only after it has given up the lock.
    lends_unlocked: bool,
    /// `act` decides whether to notify in a critical section before that of the action.
    decides_first: bool,
    /// The loop sets the word to awake before it waits.
    wakes_before_wait: bool,
}

impl Shared {
    fn new() -> Self {
        let state = Mutex::new(State::default());
        Self { state, word: WakeWord::new(), eventfd: ModelEventFd::default() }
    }

    fn notify(&self) {
        if self.word.notify() {
            self.eventfd.signal();
        }
    }

    /// Another thread: `action` under the lock, and the end of the wait if the backend is lent.
    fn act(&self, action: fn(&mut State), mutation: Mutation) {
        if mutation.notifies_first {
            self.notify();
        }
        let was_lent = mutation.decides_first.then(|| self.state.lock().is_lent);
        let mut state = self.state.lock();
        action(&mut state);
        let is_lent = was_lent.unwrap_or(state.is_lent);
        let must_notify = is_lent != mutation.notifies_at_home && !mutation.notifies_first;
        if must_notify && !mutation.never_notifies {
            self.notify();
        }
    }

    /// The loop, until `is_done`. A wait that nothing ends is loom's deadlock error.
    fn run(&self, is_done: fn(&State) -> bool, mutation: Mutation) {
        loop {
            let mut state = self.state.lock();
            if is_done(&state) {
                return;
            }
            // begin_wait: the changes go along with the backend.
            state.applied += std::mem::take(&mut state.recorded);
            state.is_lent = !mutation.lends_unlocked;
            let mut may_block = !is_done(&state);
            if may_block && !mutation.sleeps_unlocked {
                may_block = self.word.fall_asleep();
            }
            drop(state);
            if mutation.lends_unlocked {
                self.state.lock().is_lent = true;
            }
            if mutation.sleeps_unlocked {
                let _ = self.word.wake_up();
                let _ = self.word.fall_asleep();
            }
            if mutation.wakes_before_wait {
                self.word.wake_up();
            }
            // The wait itself.
            if may_block {
                self.eventfd.wait();
                self.eventfd.drain();
            }
            // end_wait.
            let mut state = self.state.lock();
            state.is_lent = false;
            self.word.wake_up();
            state.applied += std::mem::take(&mut state.recorded);
        }
    }
}

fn record(state: &mut State) {
    // While the backend is at home, a change is applied at once.
    match state.is_lent {
        true => state.recorded += 1,
        false => state.applied += 1,
    }
}

fn stop(state: &mut State) {
    state.stopped = true;
}

fn model(actions: &'static [fn(&mut State)], is_done: fn(&State) -> bool, mutation: Mutation) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let shared = Arc::new(Shared::new());
        let threads: Vec<_> = actions
            .iter()
            .map(|action| {
                let shared = shared.clone();
                thread::spawn(move || shared.act(*action, mutation))
            })
            .collect();
        shared.run(is_done, mutation);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn all_models(mutation: Mutation) {
    model(&[record], |state| state.applied == 1, mutation);
    model(&[record, record], |state| state.applied == 2, mutation);
    model(&[record, stop], |state| state.applied == 1 && state.stopped, mutation);
}

#[test]
fn loom_t16_the_loop_has_every_change_before_it_sleeps_again() {
    all_models(Mutation::default());
}

/// Tests that must fail, each with one mutation, and a test that they do.
macro_rules! mutations {
    ($($name:ident)*) => {
        $(#[test]
        #[ignore = "must fail"]
        fn $name() {
            all_models(Mutation { $name: true, ..Mutation::default() });
        })*

        #[test]
        fn loom_t16_catches_every_mutation() {
            $(crate::sync::must_fail(concat!(module_path!(), "::", stringify!($name)));)*
        }
    };
}

mutations! {
    never_notifies
    notifies_at_home
    notifies_first
    sleeps_unlocked
    lends_unlocked
    decides_first
    wakes_before_wait
}
