//! The first bytes of a connection, with `--proxy-protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| evshard::server::fuzz::proxy_header(bytes));
