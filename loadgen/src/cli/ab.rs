//! The flags of `loadgen ab`.

use std::path::PathBuf;

use clap::Args;

use super::load::LoadArgs;
use crate::comparison::ComparedMetric;
use crate::destination::Destination;
use crate::options::ServerCommand;

/// Help below the flags.
pub(super) const AB_HELP: &str = "\
A pair is a run of A and a run of B directly after each other, with the same seed; each pair has \
the next seed, and a random order. After each pair the deciding metrics are tested. The \
measurement stops when B is slower in one of them; when B is faster in one, and in no other slower \
by more than --delta; when B is the same in all; or after --pairs. The test may be looked at after \
every pair: the chance that it ever calls equal sides different, in any metric, is at most 5 %. If \
nothing is decided, the report has the number of pairs that would show a difference of --delta; \
the same command with a larger --pairs and the same --out goes on.

A pair with an INVALID run is left out, and another one is measured instead, with the next seed. \
After five such pairs in a row, or --pairs of them in all, nothing can be concluded.

--null measures A against itself, --null=PAIRS times (200 by default), without a stop. It takes \
each series of --pairs consecutive pairs as a comparison, and reports how many of them were false \
alarms, and how often differences of 3, 5 and 10 %, added to these pairs, are found.

Exit codes:
  0 B was not found to be slower    1 the measurement failed, or requests did
  2 B is slower in a metric that decides (--null: A differs from itself)
  3 INVALID    64 usage    130 interrupted, partial results

Examples:
  loadgen ab --a './old --listen {addr}' --b './new --listen {addr}' --rate 20k --out ab/
  loadgen ab --a-target http://10.0.0.7/ --b-target http://10.0.0.8/ --rate 5k --junit ab.xml
  loadgen ab --null --a './old --listen {addr}' --rate 20k --out null/";

/// The flags of `loadgen ab`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AbArgs {
    /// Start this command before each run of A, and stop it after the run; {addr} is replaced by
    /// the target
    #[arg(long, value_name = "CMD", help_heading = "Sides", conflicts_with = "a_pid")]
    pub(crate) a: Option<ServerCommand>,

    /// The same for B
    #[arg(long, value_name = "CMD", help_heading = "Sides", conflicts_with = "b_pid")]
    pub(crate) b: Option<ServerCommand>,

    /// Where A listens, if not at TARGET: an address or a URL
    #[arg(long, value_name = "TARGET", help_heading = "Sides")]
    pub(crate) a_target: Option<String>,

    /// Where B listens, if not at TARGET
    #[arg(long, value_name = "TARGET", help_heading = "Sides")]
    pub(crate) b_target: Option<String>,

    /// Process id of a running A, whose processor time is then known
    #[arg(long, value_name = "PID", help_heading = "Sides")]
    pub(crate) a_pid: Option<u32>,

    /// Process id of a running B
    #[arg(long, value_name = "PID", help_heading = "Sides")]
    pub(crate) b_pid: Option<u32>,

    /// Measure A against itself, this many pairs [default: 200], and report the false alarms
    #[arg(
        long,
        value_name = "PAIRS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "200",
        help_heading = "Comparison"
    )]
    pub(crate) null: Option<u32>,

    /// Most pairs of a comparison
    #[arg(long, value_name = "N", default_value_t = 40, help_heading = "Comparison")]
    pub(crate) pairs: u32,

    /// The metrics that decide: p50, p90, p99, p99.9, max, rate, achieved, server-cpu (processor
    /// time of the server by request). The fewer, the smaller the differences that are found
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "p50,p99,server-cpu",
        value_parser = ComparedMetric::named,
        help_heading = "Comparison"
    )]
    pub(crate) metric: Vec<&'static ComparedMetric>,

    /// A difference within this share counts as the same
    #[arg(long, value_name = "SHARE", default_value = "3%", help_heading = "Comparison")]
    pub(crate) delta: String,

    #[command(flatten)]
    pub(crate) load: LoadArgs,

    /// Write everything into this directory: ab.json, ab.csv (a line per run), ab.txt, ab.md,
    /// junit.xml, and the record of each run; a measurement of the same plan in it is continued
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,

    /// Replace the results that the directory already contains; the measurement begins anew
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,

    /// Write the result as JSON to FILE; with '-' to stdout, the report then goes to stderr
    #[arg(long, value_name = "FILE|-", help_heading = "Output")]
    pub(crate) json: Option<Destination>,

    /// Write the report in Markdown, for a comment on a change
    #[arg(long, value_name = "FILE|-", help_heading = "Output")]
    pub(crate) md: Option<Destination>,

    /// Write a JUnit report: a test case per metric, failed if B is slower, skipped if undecided
    #[arg(long, value_name = "FILE|-", help_heading = "Output")]
    pub(crate) junit: Option<Destination>,

    /// Print no report and no progress, only why the exit code is not 0
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Show no live progress line
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,
}
