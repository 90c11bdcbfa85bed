//! The event core of libevent 2.1 as a shared library, on evshard's event base.
//!
//! A program that was compiled with libevent's headers runs on it unchanged. `docs/DROP_IN.md` says
//! which functions there are, what was tested, and what differs.
//!
//! - `abi` is the boundary: the exported functions, one file for each part of `event2/event.h`, and
//!   in `abi/access` the program's structures. Only here is unsafe code.
//! - `base` is a base that several threads may use: the state behind a lock, and the loop, which
//!   holds the lock neither while it waits nor while it calls the program.
//! - `record` is what the loop of a base records about itself if the environment requests it, and
//!   `admin` the thread and the pages that show it.
//! - `check` is the checked mode. `symbols` has the names of functions, for pages and reports.
//! - `debug` and `time` are what the others need.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("libevent's structures are described for 64-bit Linux");

mod abi;
mod admin;
mod base;
mod check;
mod debug;
mod record;
mod symbols;
mod time;
