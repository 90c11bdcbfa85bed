//! What `evshard top` and `evshard ctl` get instead of the answer of an admin.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/bin/evshard/admin_client.rs"]
mod admin_client;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| admin_client::admin_response(bytes));
