//! The `evshard` program: a server, and what looks at it.

mod cli;
mod flags;
mod serve;

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
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "evshard: {error}");
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
        if !evshard::server::runs_here() {
            std::process::abort();
        }
    }));
}
