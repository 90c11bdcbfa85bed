//! `loadgen run`.

use clap::Args;

use super::load::{LoadArgs, OutputArgs, SloArgs};

/// Help below the flags.
pub(super) const AFTER_HELP: &str = "\
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
