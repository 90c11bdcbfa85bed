//! What the rules judge: a run, its plan, its machine.

use crate::environment::Environment;
use crate::record::{ArgsRecord, IntervalRecord, LatencyRecord, RunRecord, Stated};
use crate::schedule::RateProfile;

/// Everything recorded about a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) run: &'a RunRecord,
    pub(super) args: &'a ArgsRecord,
    pub(super) env: &'a Environment,
}

impl<'a> Evidence<'a> {
    /// Whether requests followed a schedule.
    pub(super) fn is_open(&self) -> bool {
        self.args.is_open()
    }

    /// Whether the intended load was constant: a closed loop, or a flat rate.
    pub(super) fn is_flat(&self) -> bool {
        let profile = self.args.rate.as_ref().map(Stated::value);
        matches!(profile, None | Some(Some(RateProfile::Flat(_))))
    }

    /// The headline latency of the run.
    pub(super) fn headline(&self) -> &'a LatencyRecord {
        self.run.latency_ns.headline(self.args.mode)
    }

    /// The intervals that lie in the measured window.
    pub(super) fn window(&self) -> Vec<&'a IntervalRecord> {
        let end_s = self.args.duration_s;
        let inside = |interval: &&IntervalRecord| {
            let middle_s = interval.start_s + interval.length_s / 2.0;
            interval.start_s > -interval.length_s / 2.0 && middle_s < end_s
        };
        self.run.intervals.iter().filter(inside).collect()
    }
}
