//! Redis and memcached with a key space: which command each request is, on which key, with which
//! value, and whether a read returns a value that it may return.
//!
//! ```text
//! KeyValueSpec      the options: keys, distribution, commands
//!   KeyDistribution   how requests choose among the keys
//!   Mix               how many reads there are for each write
//!   CommandFile       or any commands, from a file
//! KeyValueTraffic   what all connections share
//!   Template          the bytes of a command, with places for its key and its value
//!   Value             the bytes of a value: a function of seed, key, version and size
//!   Versions          per key, which versions a read may return now
//! KeyValueExchange  one connection: its requests, and the replies to them
//!   Preload           a write of each key, before the load
//!   ReplyReader       finds the end of each reply, in RESP or memcached's text protocol
//!   ReplyCheck        what the reply means to its request
//! CommandSetup      what a connection sends before its first request: AUTH, HELLO, SELECT
//! ```
//!
//! Command, key and size of request `k` of a connection are a pure function of seed, connection and
//! `k`. The version of a write is counted when it is sent.

mod command_file;
mod distribution;
mod exchange;
mod mix;
mod preload;
mod reply_check;
mod reply_reader;
mod request;
mod setup;
mod spec;
mod template;
#[cfg(test)]
pub(super) mod tests;
mod traffic;
mod value;
mod versions;

pub(crate) use self::command_file::CommandFile;
pub(crate) use self::distribution::KeyDistribution;
pub(super) use self::distribution::KeySampler;
pub(super) use self::exchange::KeyValueExchange;
pub(crate) use self::mix::Mix;
pub(crate) use self::preload::Preload;
pub(crate) use self::setup::{CommandExchange, CommandSetup, Credentials};
pub(crate) use self::spec::{Commands, KeyCount, KeyPrefix, KeyValueSpec};
pub(super) use self::traffic::KeyValueTraffic;
pub(crate) use self::value::STAMP_BYTES;
