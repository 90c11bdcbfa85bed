//! The program's functions for messages and fatal errors: `event_set_log_callback`.

use std::sync::atomic::{AtomicU32, Ordering};

use super::access::log::{self, FatalFunction, LogFunction};
use super::access::stock;

/// What libevent's upper layers log for debugging. They read it by this name. The core logs nothing
/// for debugging.
#[unsafe(export_name = "event_debug_logging_mask_")]
static DEBUG_LOGGING_MASK: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
extern "C" fn event_set_log_callback(function: Option<LogFunction>) {
    log::set_log(function);
    stock::forward(c"event_set_log_callback", function);
}

#[unsafe(no_mangle)]
extern "C" fn event_set_fatal_callback(function: Option<FatalFunction>) {
    log::set_fatal(function);
    stock::forward(c"event_set_fatal_callback", function);
}

#[unsafe(no_mangle)]
extern "C" fn event_enable_debug_logging(which: u32) {
    DEBUG_LOGGING_MASK.store(which, Ordering::Relaxed);
}
