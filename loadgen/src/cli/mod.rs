//! The command line: its commands, their flags as typed text, help, and the one line that says what
//! is wrong.
//!
//! `load` has the flags that several commands share. Whether the values make sense together is
//! decided in `options`.

pub(crate) mod load;
pub(crate) mod options_from_flags;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use self::load::{LoadArgs, OutputArgs, SloArgs};
use crate::error::Error;
use crate::exit;
use crate::report::View;
use crate::schedule::Rate;

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

/// A command and its flags.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // The last of a repeated flag wins, so that a script can append to a set of its own.
    /// Measure a server once or several times
    #[command(after_help = RUN_HELP, args_override_self = true)]
    Run(Box<RunArgs>),
    /// Find the largest rate whose objectives hold
    #[command(after_help = SEARCH_HELP, args_override_self = true)]
    Search(Box<SearchArgs>),
    /// Measure every combination of some settings, in random order
    #[command(after_help = SWEEP_HELP, args_override_self = true)]
    Sweep(Box<SweepArgs>),
    /// Say whether B is faster or slower than A, or the same
    #[command(after_help = COMPARE_HELP)]
    Compare(CompareArgs),
    /// Make any view again from a result directory
    Report(ReportArgs),
    /// Put together what several loaders measured at the same time
    Merge(MergeArgs),
    /// Check the loader itself against a server with known behaviour
    Selftest(SelftestArgs),
    /// Measure what the loader can do at most on this machine
    Calibrate(CalibrateArgs),
    /// Print what is recorded about this machine, and what speaks against measuring on it
    Env(EnvArgs),
}

/// What the command line says.
#[derive(Debug)]
pub(crate) enum Invocation {
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
) -> Result<Invocation, Error> {
    match Cli::try_parse_from(words) {
        Ok(Cli { command }) => Ok(Invocation::Do(command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Invocation::Print(Text::Wanted(error.render().to_string())))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Ok(Invocation::Print(Text::Instead(error.render().to_string())))
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

/// Help below the flags.
const RUN_HELP: &str = "\
With --rate the loop is open: every request has an intended time, fixed before the run by rate, \
arrival process and seed. The response time counts from it, the service time from the actual send; \
a request that is late is sent at once and keeps its intended time. Without --rate the loop is \
closed, and the latency shown is the service time: it leaves out the waiting that a stalled server \
would have caused to requests arriving in the meantime (coordinated omission).

Examples:
  loadgen run --rate 20k                                  open loop against 127.0.0.1:5555
  loadgen run 10.0.0.7:7000 -c 1000 -t 2 --duration 30s   closed loop, as fast as replies come
  loadgen run 10.0.0.7:80 --protocol http --rate 5k --arrival constant
  loadgen run unix:/run/echo.sock --rate 10k --slo 'p99<1ms' --json -";

/// The flags of `loadgen run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,

    #[command(flatten, next_help_heading = "Objectives and repetition")]
    pub(crate) slo: SloArgs,

    /// Number of runs, each with new connections and (--server-cmd) a fresh server
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Objectives and repetition")]
    pub(crate) runs: u32,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: OutputArgs,
}

/// Help below the flags.
const SEARCH_HELP: &str = "\
A rate counts as good only if the upper end of each percentile's confidence interval meets the \
objective and the run is VALID; where the interval straddles the objective, the run is repeated \
longer. The rate found is confirmed on fresh connections and, with --server-cmd, fresh servers.

Example:
  loadgen search --slo 'p99<1ms' --server-cmd 'evshard serve --workers 2'";

/// The flags of `loadgen search`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,

    #[command(flatten, next_help_heading = "Search")]
    pub(crate) slo: SloArgs,

    /// Lowest rate to try [default: a tenth of the closed loop's]
    #[arg(long, value_name = "R", help_heading = "Search")]
    pub(crate) from: Option<Rate>,

    /// Highest rate to try [default: no limit]
    #[arg(long, value_name = "R", help_heading = "Search")]
    pub(crate) to: Option<Rate>,

    /// Stop when the answer is known within this share
    #[arg(long, value_name = "SHARE", default_value = "2%", help_heading = "Search")]
    pub(crate) tolerance: String,

    /// How often to confirm the answer
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Search")]
    pub(crate) confirm: u32,

    /// Give up after this time, with the best rate known
    #[arg(long, value_name = "D", default_value = "30m", help_heading = "Search")]
    pub(crate) max_time: humantime::Duration,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: OutputArgs,
}

/// Help below the flags.
const SWEEP_HELP: &str = "\
A variable is a flag of 'loadgen run' (rate, connections, size, pipeline, threads, ...) or a name \
of your own that appears in braces in --server-cmd. Every combination is measured --runs times, in \
random order, and written as soon as it exists; the same command continues an interrupted sweep.

Example:
  loadgen sweep --var workers=1,2,4 --var rate=5k,10k,20k --runs 5 \\
      --server-cmd 'evshard serve --workers {workers}' --out sweep/";

/// The flags of `loadgen sweep`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,

    /// NAME=VALUE,VALUE,...; repeatable
    #[arg(long, value_name = "VAR", required = true, help_heading = "Sweep")]
    pub(crate) var: Vec<String>,

    /// Measurements of each combination
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Sweep")]
    pub(crate) runs: u32,

    /// Directory of the results; an interrupted sweep in it is continued
    #[arg(short, long, value_name = "DIR", help_heading = "Sweep")]
    pub(crate) out: PathBuf,

    #[command(flatten, next_help_heading = "Sweep")]
    pub(crate) slo: SloArgs,

    /// Print no report and no progress, only errors
    #[arg(short, long, help_heading = "Sweep")]
    pub(crate) quiet: bool,
}

/// Help below the flags.
const COMPARE_HELP: &str = "\
The unit of comparison is the run, not the request: five runs a side are the least for a verdict. \
A and B are result directories, result.json files, or directories of several of them.

Exit codes: 0 no regression, 2 B is slower in one of the metrics, 3 one of the sides is INVALID.

Example:
  loadgen run --rate 10k --runs 10 --out before/    ...    --out after/
  loadgen compare before/ after/";

/// The flags of `loadgen compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    /// The side to compare with
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,

    /// The side in question
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,

    /// Differences within this share are the same
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    pub(crate) delta: String,

    /// Write the comparison as JSON to FILE; with '-' to stdout, the report then goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,
}

/// The flags of `loadgen report`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// A result directory, or a result.json
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,

    /// What to make of it
    #[arg(long, value_name = "VIEW", default_value = "text")]
    pub(crate) view: View,

    /// Where to [default: stdout; all: the directory itself]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}

/// The flags of `loadgen merge`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MergeArgs {
    /// Result directories of loaders that ran at the same time with the same plan
    #[arg(value_name = "DIR", required = true, num_args = 2..)]
    pub(crate) sources: Vec<PathBuf>,

    /// Directory of the merged result
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// The flags of `loadgen selftest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelftestArgs {
    /// Only these: stall, pacing, verification [default: all]
    #[arg(value_name = "TEST")]
    pub(crate) tests: Vec<String>,
}

/// The flags of `loadgen calibrate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CalibrateArgs {
    /// How long each measurement takes
    #[arg(long, value_name = "D", default_value = "3s")]
    pub(crate) duration: humantime::Duration,

    /// Where to write the result for later runs [default: loadgen/calibration.json in the user's
    /// cache directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The flags of `loadgen env`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvArgs {
    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
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
        assert!(
            matches!(wanted, Invocation::Print(Text::Wanted(text)) if text.contains("service"))
        );
        let instead = parse(["loadgen"]).unwrap();
        assert!(matches!(instead, Invocation::Print(Text::Instead(text)) if text.contains("run")));
    }
}
