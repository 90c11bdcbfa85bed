//! A libevent-style event base in safe Rust, and a sharded TCP server on top of it.

// The order is the ladder: a module names only those above it.
mod sync;

mod error;
mod event;

mod sys;

mod backend;

mod base;

pub mod server;

pub use backend::BackendKind;
pub use base::{
    ChangelistPolicy, Config, EventBase, Handler, LoopEnd, LoopFlags, LoopStats, Notifier,
    Registry, Remote, Wake,
};
pub use error::{Error, Result};
pub use event::{EventId, EventSpec, Fired, Interest, Ready, Token};
