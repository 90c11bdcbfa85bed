//! One run against a server: threads, connections, and what they have seen.

pub(crate) mod connection;
pub(crate) mod connector;
mod crew;
pub(crate) mod limits;
pub(crate) mod poller;
pub(crate) mod progress;
pub(crate) mod recorder;
pub(crate) mod target;
pub(crate) mod worker;

pub(crate) use self::crew::{Outcome, run};
