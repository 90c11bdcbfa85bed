//! A load generator for TCP request/response servers: the program from the first flag to the exit
//! code. What each step does is in the module of its name.

#![forbid(unsafe_code)]

mod cli;
mod clock;
mod engine;
mod environment;
mod error;
mod exit;
mod interrupt;
mod latency;
mod options;
mod record;
mod report;
mod schedule;
mod wire;

use std::process::ExitCode;

use crate::cli::Request;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::report::Reports;

fn main() -> ExitCode {
    let code = program().unwrap_or_else(|error| {
        cli::say(&error.to_string());
        error.exit_code()
    });
    code.into()
}

fn program() -> Result<u8, Error> {
    let args = match cli::parse(std::env::args_os())? {
        Request::Run(args) => args,
        Request::Print(text) => return Ok(cli::print(&text)),
    };
    let options = Options::try_from(*args)?;
    let interrupt = Interrupt::install().map_err(Error::Start)?;
    let reports = Reports::open(&options)?;
    let note = engine::limits::provide(options.connections, options.threads)?;
    if let Some(note) = note.filter(|_| !options.quiet) {
        cli::say(&note);
    }
    let outcome = engine::run(&options, &interrupt)?;
    reports.write(&outcome)?;
    Ok(outcome.exit_code())
}
