//! The `evshard` program: a server, and what looks at it.

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
    end_loudly_on_panic();
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

/// A thread that panicked would leave its connections hanging while the others go on as if nothing
/// had happened. Whoever supervises the process can only help if it ends. A service's panic is
/// another matter: its connection pays for it.
fn end_loudly_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if !evshard::server::in_service_callback() {
            std::process::abort();
        }
    }));
}

/// Prints and flushes. A reader that went away must not end a server that others use.
fn print(mut out: impl Write, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
