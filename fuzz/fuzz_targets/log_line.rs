//! A message and a field of the log, which may quote what a client sent.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../src/bin/evshard/logger/format.rs"]
mod format;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| format::log_line(bytes));
