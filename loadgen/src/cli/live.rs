//! The flags of what a run says while it lasts.

use clap::Args;

use crate::destination::Destination;

/// Where a run sends its intervals.
#[derive(Debug, Clone, Args)]
pub(crate) struct LiveArgs {
    /// Write a JSON object on a line for each --interval, and one with the verdict at the end, to
    /// FILE while the run lasts; '-' writes to stdout, and the report goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json_stream: Option<Destination>,

    /// Answer GET /metrics here for Prometheus while the run lasts, such as 127.0.0.1:9300. The
    /// counts are those of the intervals that have ended
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,

    /// How long to answer --metrics after the report, so that a scrape sees the final counts and
    /// the verdict
    #[arg(long, value_name = "D", default_value = "2s", requires = "metrics")]
    pub(crate) metrics_linger: humantime::Duration,
}
