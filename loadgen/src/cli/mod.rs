//! The command line: flags as typed text, help, and the one line that says what is wrong.
//!
//! Whether the values make sense together is decided in `options`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::error::Error;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  loadgen run                                         64 connections to 127.0.0.1:5555
  loadgen run 10.0.0.7:7000 -c 1000 -t 2 --duration 30s
  loadgen run [::1]:5555 --size 16KiB --pipeline 8 --json result.json

Exit codes:
  0 ok    1 the run failed or had errors    64 usage    130 interrupted, partial results";

const RUN_EXAMPLES: &str = "\
The loop is closed: a connection sends its next request when a reply has come back. The latency \
shown is therefore the service time; it leaves out the waiting that a stalled server would have \
caused to requests arriving in the meantime (coordinated omission).

Every reply is compared with the request, byte for byte.

Example:
  loadgen run 127.0.0.1:5555 --connections 100 --size 1KiB --duration 30s --json -";

#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    about = "Loads a TCP request/response (echo) server and measures its latency",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // The last of a repeated flag wins, so that a script can append to a set of its own.
    /// Measure one run against a server
    #[command(after_help = RUN_EXAMPLES, args_override_self = true)]
    Run(Box<RunArgs>),
}

/// The flags of `loadgen run`, typed but not yet checked against each other.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Server to load; a host name, an IPv4 address, or an IPv6 address in brackets
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:5555")]
    pub(crate) target: String,

    /// Connections, spread over the threads as evenly as possible
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: u32,

    /// Threads of the loader, at most one per connection
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: u32,

    /// Size of a request and of its reply, up to 64MiB (units: 64, 16KiB, 1MB)
    #[arg(long, value_name = "BYTES", default_value = "64")]
    pub(crate) size: ByteSize,

    /// Requests outstanding per connection
    #[arg(long, value_name = "D", default_value_t = 1)]
    pub(crate) pipeline: u32,

    /// How long to measure (units: 500ms, 10s, 2m)
    #[arg(long, value_name = "D", default_value = "10s")]
    pub(crate) duration: humantime::Duration,

    /// How long to load the server before measuring
    #[arg(long, value_name = "D", default_value = "1s")]
    pub(crate) warmup: humantime::Duration,

    /// Give up a connect, or a connection that owes a reply, after so long without a byte
    #[arg(long, value_name = "D", default_value = "5s")]
    pub(crate) timeout: humantime::Duration,

    /// Seed of the payload bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the results as JSON to FILE; with '-' to stdout, the report then goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Print no report and no progress, only errors
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Show no live progress line
    #[arg(long)]
    pub(crate) no_progress: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Run(Box<RunArgs>),
    Print(Text),
}

/// Text the command line itself produces.
#[derive(Debug)]
pub(crate) enum Text {
    /// Asked for: help or version, for stdout.
    Wanted(String),
    /// Not asked for, but nothing else was: help on stderr.
    Instead(String),
}

/// Reads the command line.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Request, Error> {
    match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Run(args) }) => Ok(Request::Run(args)),
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
    // A reader that has gone away does not need the text any more.
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

/// Says one line on stderr.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "loadgen: {line}");
}

/// Folds a parser message of several paragraphs into one line: the complaint and the tips stay,
/// the usage summary goes.
fn fold(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let kept: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    format!("{}; see 'loadgen run --help'", kept.join("; "))
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
