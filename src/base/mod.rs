//! The event base: waits for descriptors, signals and timeouts, and calls the handlers of the
//! events that fired.
//!
//! It has libevent's semantics (`event2/event.h`) with ownership. Events live in the base; an id
//! identifies each. State lives in the caller's context. Handlers are plain functions of both. One
//! base belongs to one thread and has no lock; other threads use [`Notifier`] and [`Remote`].

pub(crate) mod back_off;
mod changelist;
mod control;
mod cross_thread;
mod event_loop;
mod events;
mod failed_wait;
mod kernel;
mod leniency;
mod limit;
pub(crate) mod log_interval;
mod registry;
mod setup;
mod stats;
mod timers;

#[cfg(test)]
mod tests;

pub use changelist::ChangelistPolicy;
pub use cross_thread::notify::{Notifier, Wake};
#[cfg(all(test, loom))]
pub(crate) use cross_thread::wake::WakeWord;
pub use event_loop::embedded::{Embedded, Turn};
pub use event_loop::{EventBase, LoopEnd, LoopFlags, steps};
pub use events::signal::SignalMethod;
pub use leniency::Leniency;
pub use limit::DispatchLimit;
pub use registry::dump::Dump;
pub use registry::query::EventInfo;
pub use registry::remote::Remote;
pub use registry::watcher::{CheckWatcher, PrepareWatcher, WatcherId};
pub use registry::{Handler, Registry};
pub use setup::config::Config;
pub use setup::selection::PassedOver;
pub use stats::{EventCounts, LoopStats, MembershipCounts};
pub use timers::clock::ClockKind;
pub use timers::common_timeout::CommonTimeout;
