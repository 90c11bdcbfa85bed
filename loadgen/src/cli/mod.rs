//! The command line: flags as typed text, help, and the one line that says what is wrong.
//!
//! Whether the values make sense together is decided in `options`.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::exit;

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod load;
pub(crate) mod options_from_flags;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod sweep;

const EXAMPLES: &str = "\
Examples:
  loadgen run --rate 20k                       open loop against 127.0.0.1:5555
  loadgen run 10.0.0.7:7000 -c 1000 -t 2       closed loop, as fast as replies come
  loadgen search --slo 'p99<1ms'               the largest rate that keeps the objective
  loadgen compare before/ after/               faster, slower, the same, or not known
  loadgen selftest                             whether this loader can be trusted here

Exit codes:
  0 ok    1 the run failed or had errors    2 an objective was missed, or a regression
  3 the measurement is INVALID    64 usage    130 interrupted, partial results";

#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    about = "Loads a server, measures its latency, and says when not to believe it",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the command line asks to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // The last of a repeated flag wins, so that a script can append to a set of its own.
    /// Measure a server once or several times
    #[command(after_help = run::AFTER_HELP, args_override_self = true)]
    Run(Box<run::RunArgs>),
    /// Find the largest rate whose objectives hold
    #[command(after_help = search::AFTER_HELP, args_override_self = true)]
    Search(Box<search::SearchArgs>),
    /// Measure every combination of some settings, in random order
    #[command(after_help = sweep::AFTER_HELP, args_override_self = true)]
    Sweep(Box<sweep::SweepArgs>),
    /// Say whether B is faster or slower than A, or the same
    #[command(after_help = compare::AFTER_HELP)]
    Compare(compare::CompareArgs),
    /// Make any view again from a result directory
    Report(report::ReportArgs),
    /// Put together what several loaders measured at the same time
    Merge(report::MergeArgs),
    /// Check the loader itself against a server with known behaviour
    Selftest(check::SelftestArgs),
    /// Measure what the loader can do at most on this machine
    Calibrate(check::CalibrateArgs),
    /// Print what is recorded about this machine, and what speaks against measuring on it
    Env(check::EnvArgs),
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Do(Command),
    Print(Text),
}

/// Text the command line itself produces.
#[derive(Debug)]
pub(crate) enum Text {
    /// Requested: help or version, for stdout.
    Wanted(String),
    /// Shown because no command was given: help, for stderr.
    Instead(String),
}

/// Reads the command line.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Request, Error> {
    match Cli::try_parse_from(words) {
        Ok(Cli { command }) => Ok(Request::Do(command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Print(Text::Wanted(error.render().to_string())))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Ok(Request::Print(Text::Instead(error.render().to_string())))
            }
            _ => Err(Error::Usage(fold(&error.render().to_string()))),
        },
    }
}

/// Prints the text and returns the exit code that goes with it.
pub(crate) fn print(text: &Text) -> u8 {
    // A reader that has closed the pipe does not need the text.
    match text {
        Text::Wanted(text) => {
            let _ = write!(io::stdout().lock(), "{text}");
            exit::OK
        }
        Text::Instead(text) => {
            let _ = write!(io::stderr().lock(), "{text}");
            exit::USAGE
        }
    }
}

/// Folds a parser message of several paragraphs into one line, with the complaint and the tips,
/// without the usage summary.
fn fold(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let kept: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    format!("{}; see 'loadgen --help'", kept.join("; "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flag_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_usage_error_is_one_line_that_names_the_culprit() {
        for (words, culprit) in [
            (["loadgen", "run", "--conections=4"], "--connections"),
            (["loadgen", "run", "--size=many"], "--size"),
            (["loadgen", "run", "--duration=10"], "--duration"),
            (["loadgen", "run", "--duration"], "--duration"),
            (["loadgen", "run", "-c=-1"], "--connections"),
            (["loadgen", "walk", "-c=1"], "walk"),
        ] {
            let Err(Error::Usage(line)) = parse(words) else {
                panic!("{words:?} was accepted");
            };
            assert!(line.contains(culprit), "{words:?}: {line}");
            assert!(!line.contains('\n') && !line.contains("Usage:"), "{line}");
        }
    }

    #[test]
    fn help_is_printed_on_request_and_instead_of_doing_nothing() {
        let wanted = parse(["loadgen", "run", "--help"]).unwrap();
        assert!(matches!(wanted, Request::Print(Text::Wanted(text)) if text.contains("service")));
        let instead = parse(["loadgen"]).unwrap();
        assert!(matches!(instead, Request::Print(Text::Instead(text)) if text.contains("run")));
    }
}
