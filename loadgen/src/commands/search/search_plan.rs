//! The plan of a search, made from its flags and checked.

use std::time::Duration;

use crate::cli::SearchArgs;
use crate::error::Error;
use crate::options::Options;
use crate::schedule::{Rate, RateProfile};
use crate::slo;
use crate::wire::Order;

/// Most confirmations.
const CONFIRMATIONS_MAX: u32 = 1_000;

/// Least tolerance: two rates closer than this differ by less than any two runs.
const TOLERANCE_MIN: f64 = 0.001;

/// Largest share of `--max-time` that is kept for the confirmations, once a rate is good.
const CONFIRM_SHARE: f64 = 1.0 / 3.0;

/// Length of all confirmations together in plain probes, if there is time. A rate near the limit
/// may be good by chance; among the rates that a search tries, the largest good one is likely to be
/// such.
const CONFIRM_LENGTH: u32 = 18;

/// How much longer a probe takes than its plan, at most, as a factor: the server starts.
const OVERHEAD: f64 = 1.1;

/// A search, requested and checked.
#[derive(Debug, Clone)]
pub(super) struct SearchPlan {
    /// The measurement of the peak.
    pub(super) closed: Options,
    /// The plan of an open-loop probe; its rate is replaced by that of the probe.
    pub(super) open: Options,
    pub(super) from: Option<Rate>,
    pub(super) to: Rate,
    pub(super) tolerance: f64,
    pub(super) confirmations: u32,
    pub(super) max_time: Duration,
}

impl TryFrom<SearchArgs> for SearchPlan {
    type Error = Error;

    fn try_from(args: SearchArgs) -> Result<Self, Error> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        if args.slo.slo.is_empty() {
            return usage("--slo: a search needs an objective, such as --slo 'p99<1ms'");
        }
        if args.load.shape.rate.is_some() {
            return usage("--rate: a search chooses the rate; bound it with --from and --to");
        }
        if args.load.traffic.order == Some(Order::Timed) {
            return usage("--order timed: a search chooses the rate; use another order");
        }
        let to = args.to.unwrap_or(Rate::per_s(f64::MAX));
        if args.from.is_some_and(|from| from > to) {
            return usage("--from must not be larger than --to");
        }
        if args.confirm > CONFIRMATIONS_MAX {
            return usage("--confirm must be at most 1000");
        }
        let tolerance = slo::share(&args.tolerance)
            .map_err(|why| Error::Usage(format!("--tolerance: {why}")))?;
        if !(TOLERANCE_MIN..=1.0).contains(&tolerance) {
            return usage("--tolerance must lie between 0.1% and 100%");
        }
        let mut at_a_rate = args.load.clone();
        at_a_rate.shape.rate = Some(RateProfile::Flat(to));
        let mut closed = Options::new(args.load, args.slo.clone())?;
        let mut open = Options::new(at_a_rate, args.slo)?;
        closed.set_output(args.output.clone())?;
        open.set_output(args.output)?;
        // The peak is measured, not judged.
        closed.slo.clear();
        let (max_time, of_two) = (*args.max_time, open.length().saturating_mul(2));
        if max_time < of_two {
            return Err(Error::Usage(format!(
                "--max-time {} is too short for the closed loop and one probe, which take {} \
                 (twice --warmup and --duration); lower --duration, or raise --max-time",
                humantime::format_duration(max_time),
                humantime::format_duration(of_two)
            )));
        }
        Ok(Self {
            closed,
            open,
            from: args.from,
            to,
            tolerance,
            confirmations: args.confirm,
            max_time,
        })
    }
}

impl SearchPlan {
    /// Length of each confirmation in plain probes.
    pub(super) fn confirm_length(&self) -> u32 {
        let each = self.max_time.mul_f64(CONFIRM_SHARE / OVERHEAD) / self.confirmations.max(1);
        let measured = each.saturating_sub(self.open.warmup).as_secs_f64();
        let fitting = (measured / self.open.duration.as_secs_f64()) as u32;
        fitting.clamp(1, CONFIRM_LENGTH.div_ceil(self.confirmations.max(1)))
    }

    /// The time that is kept for the confirmations.
    pub(super) fn confirm_time(&self) -> Duration {
        let each = self.open.duration.saturating_mul(self.confirm_length());
        let all = each.saturating_add(self.open.warmup).saturating_mul(self.confirmations);
        all.min(self.max_time).mul_f64(OVERHEAD).min(self.max_time.mul_f64(CONFIRM_SHARE))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::{self, Command, Invocation};

    /// The plan of `loadgen search` with these flags.
    pub(in crate::commands::search) fn plan(flags: &str) -> Result<SearchPlan, Error> {
        let words = ["loadgen", "search"].into_iter().chain(flags.split_whitespace());
        match cli::parse(words)? {
            Invocation::Do(Command::Search(args)) => SearchPlan::try_from(*args),
            other => panic!("unexpected: {other:?}"),
        }
    }

    #[test]
    fn the_peak_is_a_closed_loop_and_a_probe_an_open_one() {
        let plan = plan("--slo p99<1ms -c 7 --duration 3s").unwrap();
        assert!(plan.closed.load.open().is_none() && plan.closed.slo.is_empty());
        assert!(plan.open.load.open().is_some() && plan.open.slo.len() == 1);
        assert_eq!((plan.closed.pipeline, plan.open.pipeline), (1, 1_024));
        assert_eq!((plan.closed.connections, plan.open.connections), (7, 7));
        assert_eq!((plan.tolerance, plan.confirmations), (0.02, 3));
    }

    #[test]
    fn a_search_that_makes_no_sense_is_refused_with_the_flag() {
        for (flags, said) in [
            ("", "--slo"),
            ("--slo p99<1ms --rate 5k", "--from and --to"),
            ("--slo p99<1ms --from 5k --to 4k", "--from must not be larger"),
            ("--slo p99<1ms --tolerance 0%", "--tolerance must lie"),
            ("--slo p99<1ms --tolerance many", "--tolerance"),
            ("--slo p99<1ms --confirm 2000", "--confirm"),
            ("--slo p99<1ms --max-time 1s", "--max-time 1s is too short for the closed loop and"),
            ("--slo p99<1ms --max-time 21s", "one probe, which take 22s (twice --warmup and"),
            ("--slo p99<1ms --max-time 3s --duration 3s --warmup 0s", "lower --duration"),
        ] {
            let text = plan(flags).unwrap_err().to_string();
            assert!(text.contains(said), "{flags}: {text}");
        }
    }
}
