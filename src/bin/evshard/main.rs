//! The `evshard` program: a server, and commands that inspect and control it.

mod admin_client;
mod cli;
mod ctl;
mod flags;
mod logger;
mod serve;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::Command;

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
            print(io::stderr(), format_args!("evshard: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Ends the process when a thread panics. Otherwise the connections of that thread would hang while
/// the others continue, and a supervisor could not help. A panic in a service costs only its
/// connection.
fn abort_on_panic() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default_hook(panic);
        if !evshard::server::in_service_callback() {
            std::process::abort();
        }
    }));
}

/// Prints and flushes. A closed output must not end the server.
fn print(mut out: impl Write, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
