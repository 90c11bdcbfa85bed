//! TLS of the program `evshard`, with real clients, as an operator would use it.

#[path = "../common/mod.rs"]
mod common;

mod any_bytes;
mod clients;
mod deploy;
mod files;
mod haproxy;
mod load;
mod peers;
mod reload;
mod settings;
mod sockets;
mod upgrade;
