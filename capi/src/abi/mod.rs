//! The boundary to the program: libevent's functions, and the program's structures.
//!
//! A file of this folder holds the exported functions of one part of `event2/event.h`. Each takes
//! C's types, calls safe code, and returns C's types. `access` reads and writes what the program
//! passed, and calls the program's functions.
//!
//! The program promises what libevent's documentation demands of it: a pointer is null or points to
//! what its type says, and an event's memory lasts while the event is pending or active. No type
//! can check that. What the library itself keeps about an event, it keeps in its own memory.
#![allow(unsafe_code, reason = "the program's memory and functions, and the exported names")]

pub(crate) mod access;

mod active;
mod base;
mod check;
mod config;
mod debug;
mod deferred;
mod dump;
mod event;
mod event_loop;
mod finalize;
mod global;
mod handle;
mod log;
mod once;
mod threads;
mod time;

#[cfg(test)]
mod tests;
