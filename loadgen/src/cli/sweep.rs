//! `loadgen sweep`.

use std::path::PathBuf;

use clap::Args;

use super::load::{LoadArgs, SloArgs};

/// Help below the flags.
pub(super) const AFTER_HELP: &str = "\
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
