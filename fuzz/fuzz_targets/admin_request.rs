//! What a client sends to the admin.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| evshard::server::fuzz::admin_request(bytes));
