//! The `evshard` program: a server, and commands that inspect and control it.

mod admin_client;
mod cli;
mod ctl;
mod flag_values;
mod flags;
mod logger;
mod output_queue;
mod serve;
mod top;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use cli::Command;
use output_queue::{FLUSH_TIMEOUT, write_text};

fn main() -> ExitCode {
    abort_on_panic();
    let command = match cli::parse() {
        Ok(command) => command,
        Err(exit) => return exit,
    };
    let done = match command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Top(top) => top.run().map_err(Into::into),
        Command::Ctl(ctl) => ctl.run().map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("evshard: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Ends the process when a thread panics. Otherwise the connections of that thread would hang while
/// the others continue, and a supervisor could not help. A panic in a service costs only its
/// connection, and its worker must not wait for the reader of standard error.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let mut text = format!("thread {} {panic}", thread.name().unwrap_or_default());
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text += &format!("\n{backtrace}");
        }
        log::error!(target: "panic", "{text}");
        if !evshard::server::in_service_callback() {
            log::logger().flush();
            if !log::log_enabled!(target: "panic", log::Level::Error) {
                print_error(&format!("{text}\n"));
            }
            std::process::abort();
        }
    }));
}

/// Prints and flushes. A closed output is no error.
fn print(mut out: impl Write, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// Prints an error that ends the program, unless the reader of standard error stalls.
fn print_error(text: &str) {
    let _ = write_text(io::stderr(), text, Some(Instant::now() + FLUSH_TIMEOUT));
}
