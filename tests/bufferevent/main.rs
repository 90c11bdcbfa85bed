//! Bufferevents, through the public interface.

mod app;
#[path = "../common/mod.rs"]
mod common;
mod pair;
mod socket;
