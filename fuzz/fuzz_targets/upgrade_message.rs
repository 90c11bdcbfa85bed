//! What the other server of an upgrade sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| evshard::server::fuzz::upgrade_message(bytes));
