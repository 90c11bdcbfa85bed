//! `loadgen search`.

use clap::Args;

use super::load::{LoadArgs, OutputArgs, SloArgs};
use crate::schedule::Rate;

/// Help below the flags.
pub(super) const AFTER_HELP: &str = "\
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
