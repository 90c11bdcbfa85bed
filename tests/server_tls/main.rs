//! TLS in the server: clients that are correct, and clients that are not, in every accept mode and
//! on every backend.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod echo;
mod ends;
mod faults;
mod identity;
mod limits;
mod proxy_header;
mod records;
mod resumption;
mod start;
