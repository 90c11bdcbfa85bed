//! The command line: its commands, their typed flags, help, and errors in one line.
//!
//! `load` has the flags that several commands share. `options_from_flags` checks the values against
//! each other, with `target` for the server and `traffic` for the flags of the protocols.
//! `usage_error` has the texts for words that cannot be read.

mod ab;
mod agents;
mod documents;
mod http;
mod import;
mod live;
pub(crate) mod load;
pub(crate) mod options_from_flags;
mod plot;
mod target;
mod tls;
mod traffic;
mod usage_error;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::ab::AB_HELP;
pub(crate) use self::ab::AbArgs;
use self::agents::AGENT_HELP;
pub(crate) use self::agents::{AgentArgs, AgentsArgs, token};
use self::documents::{COMPLETIONS_HELP, MAN_HELP};
pub(crate) use self::documents::{CompletionsArgs, ManArgs};
use self::import::IMPORT_HELP;
pub(crate) use self::import::ImportArgs;
use self::live::LiveArgs;
use self::load::{LoadArgs, LoadWords, OutputArgs, SloArgs};
use self::plot::PLOT_HELP;
pub(crate) use self::plot::PlotArgs;
use crate::console;
use crate::destination::Destination;
use crate::error::Error;
use crate::exit;
use crate::plan_files;
use crate::report::View;
use crate::schedule::Rate;

const EXAMPLES: &str = "\
Examples:
  loadgen run --rate 20k                       open loop against 127.0.0.1:5555
  loadgen run 10.0.0.7:7000 -c 1000 -t 2       closed loop, as fast as replies come
  loadgen search --slo 'p99<1ms'               the highest rate that meets the objective
  loadgen ab --a 'old {addr}' --b 'new {addr}' faster, slower, the same, or undecided
  loadgen compare before/ after/               the same of stored results
  loadgen selftest                             whether this loader measures correctly here

Exit codes:
  0 ok    1 the run failed or had errors    2 an objective was missed, or B is slower than A
  3 the measurement is INVALID    64 usage    130 interrupted, partial results";

#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version = env!("VERSION_WITH_COMMIT"),
    about = "Loads a server, measures its latency, and reports whether the result is valid",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    propagate_version = true
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
    #[command(after_help = RUN_HELP, args_override_self = true, mut_args = most_used_first)]
    Run(Box<RunArgs>),
    /// Find the highest rate that meets the objectives
    #[command(
        after_help = SEARCH_HELP,
        args_override_self = true,
        // A search chooses the rate: `SearchPlan` rejects the flag and names --from and --to.
        mut_arg("rate", |rate| rate.hide(true)),
        mut_arg("slo", |slo| slo.help(SEARCH_SLO_HELP)),
        mut_arg("out", |out| out.help(SEARCH_OUT_HELP)),
        // A search writes no intervals.
        mut_arg("interval", |interval| interval.hide(true))
    )]
    Search(Box<SearchArgs>),
    /// Measure every combination of some settings, in random order
    #[command(after_help = SWEEP_HELP, args_override_self = true)]
    Sweep(Box<SweepArgs>),
    /// Measure A and B in turn until it is decided whether B is faster, slower, or the same
    #[command(
        after_help = AB_HELP,
        args_override_self = true,
        // `AbPlan` rejects these flags and names those of the sides.
        mut_arg("server_cmd", |command| command.hide(true)),
        mut_arg("server_pid", |pid| pid.hide(true))
    )]
    Ab(Box<AbArgs>),
    /// Decide by stored results whether B is faster than A, slower, or the same
    #[command(after_help = COMPARE_HELP)]
    Compare(CompareArgs),
    /// Show a stored run, sweep, search or ab: as text, JSON, CSV, plots or a page
    Report(ReportArgs),
    /// Make a file of requests from an access log, from captured packets, or from Redis' MONITOR
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Draw medians and ranges that are described as JSON
    #[command(after_help = PLOT_HELP)]
    Plot(PlotArgs),
    /// Merge the results of several loaders that ran at the same time
    Merge(MergeArgs),
    /// Drive a part of the connections of a command with --agents
    #[command(after_help = AGENT_HELP)]
    Agent(AgentArgs),
    /// Check the loader itself against a server with known behaviour
    Selftest(SelftestArgs),
    /// Measure the maximum rate of this loader on this machine
    Calibrate(CalibrateArgs),
    /// Print the facts about this machine, and reasons not to measure on it
    Env(EnvArgs),
    /// Print a script with which a shell completes the commands and flags of loadgen
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands into a directory
    #[command(after_help = MAN_HELP)]
    Man(ManArgs),
}

impl Command {
    /// The load, if it is a command that measures.
    fn load(&mut self) -> Option<&mut LoadArgs> {
        match self {
            Self::Run(args) => Some(&mut args.load),
            Self::Search(args) => Some(&mut args.load),
            Self::Sweep(args) => Some(&mut args.load),
            Self::Ab(args) => Some(&mut args.load),
            _ => None,
        }
    }
}

/// The commands and their flags.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// The flags of `loadgen run` that its help has first, in this order.
const MOST_USED: [&str; 10] = [
    "rate",
    "duration",
    "connections",
    "threads",
    "protocol",
    "size",
    "slo",
    "server-cmd",
    "out",
    "json",
];

fn most_used_first(flag: Arg) -> Arg {
    match MOST_USED.iter().position(|name| flag.get_long() == Some(name)) {
        Some(place) => flag.help_heading("Most used").display_order(place),
        None => flag,
    }
}

/// The request of the command line.
#[derive(Debug)]
pub(crate) enum Invocation {
    Do(Command),
    Print(Text),
}

/// Text that the command line itself produces.
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
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let names_agents = |word: &OsString| word.as_encoded_bytes().starts_with(b"--agents");
    if words.iter().any(names_agents) {
        plan_files::store();
    }
    match read(&words) {
        Ok(command) => Ok(Invocation::Do(command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Invocation::Print(Text::Wanted(error.render().to_string())))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Ok(Invocation::Print(Text::Instead(error.render().to_string())))
            }
            _ => {
                let name = words.get(1).and_then(|word| word.to_str());
                let command = name.filter(|name| definition().find_subcommand(name).is_some());
                Err(Error::Usage(usage_error::line(&error, &words, command)))
            }
        },
    }
}

fn read(words: &[OsString]) -> Result<Command, clap::Error> {
    let given = definition().try_get_matches_from(words)?;
    let parsed = Cli::from_arg_matches(&given);
    let Cli { mut command } = parsed.map_err(|error| error.format(&mut definition()))?;
    if let Some(load) = command.load()
        && let Some((_, given)) = given.subcommand()
    {
        load.words = LoadWords::of(given);
    }
    Ok(command)
}

/// Prints the text and returns the exit code that goes with it.
pub(crate) fn print(text: &Text) -> Result<u8, Error> {
    match text {
        Text::Wanted(text) => console::print(text).map(|()| exit::OK),
        Text::Instead(text) => {
            console::print_to(&mut io::stderr().lock(), text).map(|()| exit::USAGE)
        }
    }
}

/// Help below the flags.
const RUN_HELP: &str = "\
With --rate the loop is open: every request has an intended time, fixed before the run by rate, \
arrival process and seed. The response time counts from it, the service time from the actual send; \
a request that is late is sent at once and keeps its intended time. Without --rate the loop is \
closed, and the latency shown is the service time. It does not contain the time that requests of \
independent users would have waited for a stalled server (coordinated omission).

Examples:
  loadgen run --rate 20k                                  open loop against 127.0.0.1:5555
  loadgen run 10.0.0.7:7000 -c 1000 -t 2 --duration 30s   closed loop, as fast as replies come
  loadgen run http://10.0.0.7/status --rate 5k --arrival constant
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

    #[command(flatten, next_help_heading = "Live output")]
    pub(crate) live: LiveArgs,
}

/// Help below the flags.
const SEARCH_HELP: &str = "\
The search measures the peak of a closed loop, and then rates in an open loop. A rate is good if \
the upper end of each percentile's confidence interval meets the objective, no request failed, \
and the measurement is not INVALID. All probes of a rate are judged together, with those of rates \
up to 10 % higher: more load makes no response earlier. The rate rises by half while short probes \
lean to good. Then probes that get longer narrow the range between a rate that is good and one \
that is not, slightly below the estimated limit, for 256 times --duration at most. A probe in \
which the loader was late or lost its processor is repeated up to three times if it speaks \
against its rate. Then the rate counts as the loader's limit. More probes, each with new \
connections and, with --server-cmd, a new server, confirm the rate that was found. Up to a third \
of --max-time is kept for them.

Near the limit a percentile needs many requests: for an answer some 5 % below the limit, a p99 \
needs some 1,000 requests in --duration, and a --max-time of 300 times --duration. With less, it \
is lower. Probe n has the seed --seed + n.

Exit codes:
  0 a rate was found    1 the search failed, or was out of time    2 no rate met all objectives
  3 INVALID: the loader was the limit    64 usage    130 interrupted, partial results

Example:
  loadgen search --slo 'p99<1ms' --server-cmd 'evshard serve --listen {addr} --workers 2'";

/// Help of `--slo`, whose exit code differs from that of `run` and `sweep`.
const SEARCH_SLO_HELP: &str = "\
Objective that a good rate meets, repeatable, at least one: p99<1ms, p99.9<5ms, max<50ms, \
mean<1ms, err<0.1%, achieved>=0.99, rate>=10k";

/// Help of `--out`, which gets the files of the search and not those of its probes.
const SEARCH_OUT_HELP: &str = "\
Write the search into this directory: search.json, search.csv (a line per probe), search.txt (the \
report) and a plot of latency by rate";

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

    /// Stop when the lowest bad rate is within this share of the highest good one
    #[arg(long, value_name = "SHARE", default_value = "2%", help_heading = "Search")]
    pub(crate) tolerance: String,

    /// How many more probes confirm the rate that was found
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Search")]
    pub(crate) confirm: u32,

    /// Stop after this time, and report the highest good rate so far
    #[arg(long, value_name = "D", default_value = "30m", help_heading = "Search")]
    pub(crate) max_time: humantime::Duration,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: OutputArgs,
}

/// Help below the flags.
const SWEEP_HELP: &str = "\
A variable is a flag of 'loadgen run' (rate, connections, size, pipeline, threads, ...) or a name \
of your own that appears in braces in --server-cmd. The sweep measures every combination --runs \
times, in random order, and writes each result at once. The same command continues an interrupted \
sweep, and 'loadgen report DIR' shows what it has measured.

The exit code is that of the gravest run: 1 failed, then 3 INVALID, then 2 an objective was \
missed, then 0 ok. It is 130 if the sweep was interrupted.

Example:
  loadgen sweep --var workers=1,2,4 --var rate=5k,10k,20k --runs 5 \\
      --server-cmd 'evshard serve --listen {addr} --workers {workers}' --out sweep/";

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

    /// Directory of the results: sweep.json, sweep.csv (a line per run), summary.txt and .md,
    /// plots, and the record of each run in cells/; an interrupted sweep in it is continued
    #[arg(short, long, value_name = "DIR", help_heading = "Sweep")]
    pub(crate) out: PathBuf,

    /// Replace the results that the directory already contains; the sweep begins anew
    #[arg(long, help_heading = "Sweep")]
    pub(crate) force: bool,

    #[command(flatten, next_help_heading = "Sweep")]
    pub(crate) slo: SloArgs,

    /// Print no report and no progress, only why the exit code is not 0 or the verdict not VALID
    #[arg(short, long, help_heading = "Sweep")]
    pub(crate) quiet: bool,

    /// Show no live progress line
    #[arg(long, help_heading = "Sweep")]
    pub(crate) no_progress: bool,
}

/// Help below the flags.
const COMPARE_HELP: &str = "\
The unit of comparison is the run, not the request. A verdict needs at least five runs a side. \
A and B are result directories, result.json files, or directories of several of them.

Measure both sides with the same --seed and --runs. Then their runs have the same schedules in \
pairs, and eight or more pairs show smaller differences. Sides with one schedule each, but not the \
same, have no verdict. p99.9 and max are shown, and do not decide.

Results: faster, slower, the same, undecided (with the number of runs that would show a difference \
of --delta), not enough runs, no verdict.

Exit codes: 0 B was not found to be slower, 2 B is slower in a metric that decides, 3 a side is \
INVALID.

Example:
  loadgen run --rate 10k --runs 10 --out before/    ...    --out after/
  loadgen compare before/ after/";

/// The flags of `loadgen compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    /// The results of the baseline
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,

    /// The results to judge
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,

    /// A difference within this share counts as the same
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    pub(crate) delta: String,

    /// Write the comparison as JSON to FILE; with '-' to stdout, the report then goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<Destination>,
}

/// The flags of `loadgen report`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// The directory of a run, a sweep, a search or an ab, or the JSON file in it
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,

    /// The form in which to show it; a sweep, a search and an ab have text, json, csv and all
    #[arg(long, value_name = "VIEW", default_value = "text")]
    pub(crate) view: View,

    /// File to write, or for the view 'all' a directory [default: stdout; all: DIR]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,

    /// For the view 'all': replace the results that the directory of --out already contains
    #[arg(long)]
    pub(crate) force: bool,
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

    /// Replace the results that the directory of --out already contains
    #[arg(long)]
    pub(crate) force: bool,
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

    /// Where to write the result. Later runs read the default file by themselves, and another one
    /// with --calibration; '-' writes to stdout, and the report goes to stderr [default:
    /// loadgen/calibration.json in the user's cache directory]
    #[arg(short, long, value_name = "FILE|-", env = "LOADGEN_CALIBRATION")]
    pub(crate) out: Option<Destination>,
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
    use super::*;

    #[test]
    fn the_flag_definitions_are_consistent() {
        definition().debug_assert();
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
        let also = parse(["loadgen", "help", "run"]).unwrap();
        assert!(matches!(also, Invocation::Print(Text::Wanted(text)) if text.contains("service")));
        let version = parse(["loadgen", "run", "--version"]).unwrap();
        assert!(matches!(version, Invocation::Print(Text::Wanted(text)) if text.contains("0.")));
        let instead = parse(["loadgen"]).unwrap();
        assert!(matches!(instead, Invocation::Print(Text::Instead(text)) if text.contains("run")));
    }

    #[test]
    fn the_help_of_run_begins_with_the_flags_that_are_used_most() {
        let Ok(Invocation::Print(Text::Wanted(text))) = parse(["loadgen", "run", "--help"]) else {
            panic!("no help");
        };
        let (_, after) = text.split_once("Most used:\n").unwrap();
        let (group, others) = after.split_once("\n\n").unwrap();
        let flags = group.lines().filter_map(|line| line.split_once("--")?.1.split(' ').next());
        let flags: Vec<&str> =
            flags.filter(|flag| group.contains(&format!(" --{flag} <"))).collect();
        assert_eq!(flags, MOST_USED, "{group}");
        for heading in ["Load:", "Traffic:", "Connections:", "Loader:", "Output:", "Live output:"] {
            assert!(others.contains(heading), "{heading}");
        }
    }

    #[test]
    fn the_help_of_search_does_not_offer_a_rate_and_has_exit_codes_of_its_own() {
        let Ok(Invocation::Print(Text::Wanted(text))) = parse(["loadgen", "search", "--help"])
        else {
            panic!("no help");
        };
        assert!(!text.contains("--rate "), "{text}");
        assert!(text.contains("2 no rate met all objectives"), "{text}");
        assert!(!text.contains("the exit code is 2 if one is missed"), "{text}");
    }
}
