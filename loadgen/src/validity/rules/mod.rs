//! The rules, in the order in which their findings are reported.
//!
//! | code | meaning | worst |
//! |---|---|---|
//! | `nothing-measured` | no request was answered | INVALID |
//! | `loader-late` | the loader sent after the intended times | INVALID |
//! | `loader-stalled` | the loader stood still | INVALID |
//! | `loader-delay` | percentiles may be the loader's own delay | SUSPECT |
//! | `loader-cpu` | the loader had no processor time left | INVALID |
//! | `below-rate`, `overloaded` | too few requests: by loader, by server | INVALID, SUSPECT |
//! | `agent-lost` | an agent was lost, and its requests were not sent | INVALID |
//! | `start-skew` | the agents did not begin at one time | SUSPECT |
//! | `agents-differ` | one agent measured longer service times than the others | SUSPECT |
//! | `near-ceiling` | the rate is near what this loader can do | SUSPECT |
//! | `arrivals` | sends did not follow the arrival process | SUSPECT |
//! | `not-steady` | the result depends on how long the run was | SUSPECT |
//! | `few-samples` | percentiles without support | SUSPECT if an objective needs them |
//! | `little` | the measurement contradicts itself | SUSPECT |
//! | `preempted`, `major-faults`, `steal` | others took the loader's time | SUSPECT |
//! | `errors` | requests failed | SUSPECT |
//! | `ended-early`, `interrupted` | the plan was not carried out | SUSPECT |
//! | `carried-backlog` | the warm-up left a queue | label |
//! | `stream-lost` | `report/stream` found that lines of `--json-stream` were lost | label |
//! | `estimated` | the number of unsent requests is computed | label |
//! | `co-located` | loader and server share processors | label |
//! | `debug-build` | the loader is not optimised | label |

mod advice;
mod agents;
mod cause;
mod load;
mod loader;
mod stalls;
mod steady;

pub(super) use self::steady::few_samples_of_all;
use super::Evidence;
use crate::record::Reason;

/// Looks at the evidence for one thing.
type Rule = fn(&Evidence<'_>) -> Option<Reason>;

pub(super) const ALL: &[Rule] = &[
    load::nothing_measured,
    agents::lost,
    agents::start_skew,
    agents::differ,
    loader::late,
    stalls::stalled,
    stalls::delay,
    loader::cpu,
    load::below,
    load::near_ceiling,
    loader::unlike_the_schedule,
    steady::growing_backlog,
    steady::uneven_replies,
    steady::changing_latency,
    steady::few_samples,
    load::little,
    loader::preempted,
    loader::major_faults,
    loader::steal,
    load::errors,
    load::ended_early,
    load::interrupted,
    load::carried_backlog,
    load::estimated,
    loader::co_located,
    loader::debug_build,
];

/// A share as people read it.
fn percent(share: f64) -> String {
    let digits = if share < 0.1 { 1 } else { 0 };
    format!("{:.digits$} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use crate::measure::Measurement;
    use crate::record::{Code, Reason, Record, RunRecord, Verdict};
    use crate::validity::judge;

    /// What the rules find in a run that has been changed.
    pub(super) fn findings(
        mut measurement: Measurement,
        change: impl FnOnce(&mut Record, &mut RunRecord),
    ) -> Vec<Reason> {
        let Measurement { record, latencies, .. } = &mut measurement;
        let mut run = record.runs.remove(0);
        change(record, &mut run);
        let validity = judge(&run, latencies, &record.args, &record.env);
        validity.reasons.into_iter().chain(validity.labels).collect()
    }

    /// Codes and levels of what they find.
    pub(super) fn codes(
        measurement: Measurement,
        change: impl FnOnce(&mut Record, &mut RunRecord),
    ) -> Vec<(Code, Verdict)> {
        let findings = findings(measurement, change);
        findings.into_iter().map(|reason| (reason.code, reason.level)).collect()
    }

    /// One finding as [`codes`] gives it.
    pub(super) fn one(code: Code, level: Verdict) -> Vec<(Code, Verdict)> {
        vec![(code, level)]
    }
}
