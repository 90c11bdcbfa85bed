//! What the subcommands do, each from its flags to its exit code.

mod calibrate;
mod compare;
mod env;
mod merge;
mod report;
mod rig;
mod run;
mod search;
mod selftest;
mod sweep;

use crate::cli::Command;
use crate::error::Error;
use crate::interrupt::Interrupt;

/// Carries out a command and returns the exit code.
pub(crate) fn carry_out(command: Command, interrupt: &Interrupt) -> Result<u8, Error> {
    match command {
        Command::Run(args) => run::run(*args, interrupt),
        Command::Search(args) => search::search(*args, interrupt),
        Command::Sweep(args) => sweep::sweep(*args, interrupt),
        Command::Compare(args) => compare::compare(args, interrupt),
        Command::Report(args) => report::report(args, interrupt),
        Command::Merge(args) => merge::merge(args, interrupt),
        Command::Selftest(args) => selftest::selftest(args, interrupt),
        Command::Calibrate(args) => calibrate::calibrate(args, interrupt),
        Command::Env(args) => env::env(args, interrupt),
    }
}
