//! The examples `chat_rooms` and `broker` with thousands of members, and with slow readers.
//!
//! `cargo test` builds the examples. Before `cargo test --test chat`, run `cargo build --examples`.

mod broker;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod full_queues;
mod member;
mod server;
mod sessions;
mod slow_readers;
