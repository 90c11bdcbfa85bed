//! The text of an address.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| evshard::server::fuzz::listen_address(bytes));
