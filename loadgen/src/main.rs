//! A load generator for request/response servers: the program from its flags to its exit code. The
//! module of the same name has the details of each step.

#![forbid(unsafe_code)]

mod atomic_file;
mod cli;
mod clock;
mod commands;
mod comparison;
mod console;
mod destination;
mod engine;
mod environment;
mod error;
mod exit;
mod fleet;
mod import;
mod interrupt;
mod latency;
mod measure;
mod merging;
mod options;
mod plan_files;
mod record;
mod report;
mod schedule;
mod server;
mod slo;
mod stats;
mod tls;
mod units;
mod validity;
mod wire;

use std::process::ExitCode;

use crate::cli::Invocation;
use crate::error::Error;
use crate::interrupt::Interrupt;

fn main() -> ExitCode {
    if let Some(command) = server::command_of(std::env::args_os()) {
        return server::supervise(&command).into();
    }
    let code = program().unwrap_or_else(|error| {
        console::say(&error.to_string());
        error.exit_code()
    });
    code.into()
}

fn program() -> Result<u8, Error> {
    match cli::parse(std::env::args_os())? {
        Invocation::Print(text) => cli::print(&text),
        Invocation::Do(command) => {
            let interrupt = Interrupt::install().map_err(Error::Start)?;
            commands::carry_out(command, &interrupt)
        }
    }
}
