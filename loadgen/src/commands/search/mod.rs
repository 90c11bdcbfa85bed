//! `loadgen search`: the highest rate that meets the objectives.
//!
//! ```text
//! search_plan  what the flags request
//! strategy     which rate to try next; pure
//! evidence     what the probes of one rate show together
//! record       search.json
//! report       the answer and all probes, as text and as a chart
//! ```

mod evidence;
mod record;
mod report;
mod search_plan;
mod strategy;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::evidence::Evidence;
use self::record::{Answer, End, ProbeRecord, SearchRecord};
use self::search_plan::SearchPlan;
use self::strategy::{Bounds, Limit, Observation, Probe, ProbeFinding, SearchStep, Strategy};
use crate::atomic_file;
use crate::cli::SearchArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Measurement};
use crate::options::{Options, RecordSink};
use crate::schedule::Rate;

/// First rate, as a share of the closed loop's.
const FIRST_SHARE: f64 = 0.1;

/// Share of `--max-time` that is kept for the confirmations, once a rate is good.
const CONFIRM_SHARE: f64 = 1.0 / 3.0;

/// Carries out the command and returns the exit code.
pub(crate) fn search(args: SearchArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let plan = SearchPlan::try_from(args)?;
    if let Some(folder) = &plan.open.output.directory {
        atomic_file::folder(folder)?;
    }
    let mut search =
        Search { interrupt, begun: Instant::now(), record: SearchRecord::new(&plan), plan: &plan };
    let answer = search.find();
    // Everything measured is written, even if the search ends in an error.
    search.record.elapsed_s = search.begun.elapsed().as_secs_f64();
    if let Ok(answer) = &answer {
        search.record.answer = answer.clone();
    }
    publish(&plan, &search.record)?;
    answer.map(|answer| exit_code(&answer))
}

/// The state of a search.
struct Search<'a> {
    plan: &'a SearchPlan,
    interrupt: &'a Interrupt,
    begun: Instant,
    record: SearchRecord,
}

impl Search<'_> {
    fn find(&mut self) -> Result<Answer, Error> {
        let peak = measure::measure(&self.plan.closed, self.interrupt, &mut ())?;
        let peak_per_s = peak.record.rate.achieved_per_s;
        self.note(ProbeRecord::peak(&peak.record), &peak);
        if peak.record.interrupted {
            return Ok(Answer::without_end(End::Interrupted, None));
        }
        self.record.peak_per_s = Some(peak_per_s);
        let mut strategy = Strategy::new(self.bounds(peak_per_s));
        let mut evidence: BTreeMap<u32, Evidence> = BTreeMap::new();
        loop {
            let probe = match strategy.next() {
                SearchStep::Try(probe) => probe,
                SearchStep::Found { rate_per_s, limit, confirmed } => {
                    return Ok(Answer::found(rate_per_s, limit, confirmed));
                }
                SearchStep::NoneIsGood { limit } => return Ok(Answer::none(limit)),
            };
            let options = self.options(probe);
            let until = self.begun.elapsed().saturating_add(expected(&options));
            if until > self.plan.max_time.mul_f64(1.0 - CONFIRM_SHARE) && strategy.give_up() {
                continue;
            }
            if until > self.plan.max_time {
                return Ok(Answer::without_end(End::TimeUp, strategy.best_per_s()));
            }
            let measurement = measure::measure(&options, self.interrupt, &mut ())?;
            let group = evidence.entry(probe.group).or_default();
            let found = group.add(probe.number, &measurement, &self.plan.open.slo);
            self.note(ProbeRecord::new(probe, found, &measurement.record), &measurement);
            if measurement.record.interrupted {
                return Ok(Answer::without_end(End::Interrupted, strategy.best_per_s()));
            }
            let Observation { finding, disturbed } = found.observed;
            if finding == ProbeFinding::Bad && !disturbed {
                // No further probe joins its group.
                evidence.remove(&probe.group);
            }
            strategy.found(found.observed);
        }
    }

    fn bounds(&self, peak_per_s: f64) -> Bounds {
        let guess = Rate::per_s(peak_per_s * FIRST_SHARE);
        Bounds {
            from_per_s: self.plan.from.unwrap_or(guess).get(),
            from_is_least: self.plan.from.is_some(),
            to_per_s: self.plan.to.get(),
            tolerance: self.plan.tolerance,
            confirmations: self.plan.confirmations,
        }
    }

    fn options(&self, probe: Probe) -> Options {
        let options = self.plan.open.at_rate(Some(Rate::per_s(probe.rate_per_s)));
        let duration = options.duration.saturating_mul(probe.length);
        // The peak has the seed itself.
        let seed = options.seed.wrapping_add(u64::from(probe.number));
        Options { duration, seed, ..options }
    }

    /// Adds a probe to the record, and prints its result in a line.
    fn note(&mut self, probe: ProbeRecord, measurement: &Measurement) {
        if !self.plan.open.output.quiet {
            console::say(&report::line(&probe));
        }
        self.record.env = measurement.record.env.clone();
        self.record.probes.push(probe);
    }
}

/// How long a probe takes if nothing is left to wait for at its end.
fn expected(options: &Options) -> Duration {
    options.warmup.saturating_add(options.duration)
}

fn publish(plan: &SearchPlan, record: &SearchRecord) -> Result<(), Error> {
    let output = &plan.open.output;
    if let Some(folder) = &output.directory {
        atomic_file::json(&folder.join("search.json"), record)?;
        atomic_file::text(&folder.join("search.txt"), &report::render(record))?;
        let chart = report::chart(record).svg();
        atomic_file::text(&folder.join("plot-throughput-latency.svg"), &chart)?;
    }
    match &output.record {
        Some(RecordSink::File(path)) => atomic_file::json(path, record)?,
        Some(RecordSink::Stdout) => {
            let json = serde_json::to_string_pretty(record).map_err(std::io::Error::from);
            console::print(&(json.map_err(Error::WriteResults)? + "\n"));
        }
        None if output.quiet => {}
        None => console::print(&report::render(record)),
    }
    Ok(())
}

fn exit_code(answer: &Answer) -> u8 {
    match (answer.end, answer.limit) {
        (End::Interrupted, _) => exit::INTERRUPTED,
        (End::Found | End::NoneIsGood, Some(Limit::Loader)) => exit::INVALID,
        (End::Found, _) => exit::OK,
        (End::NoneIsGood, _) => exit::MISSED,
        (End::TimeUp | End::Failed, _) => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_distinguishes_an_answer_a_bound_and_none() {
        assert_eq!(exit_code(&Answer::found(1e3, Limit::Objective, 3)), exit::OK);
        assert_eq!(exit_code(&Answer::found(1e3, Limit::Highest, 3)), exit::OK);
        assert_eq!(exit_code(&Answer::found(1e3, Limit::Loader, 3)), exit::INVALID);
        assert_eq!(exit_code(&Answer::none(Limit::Objective)), exit::MISSED);
        assert_eq!(exit_code(&Answer::none(Limit::Loader)), exit::INVALID);
        assert_eq!(exit_code(&Answer::without_end(End::Interrupted, None)), exit::INTERRUPTED);
        assert_eq!(exit_code(&Answer::without_end(End::TimeUp, Some(5.0))), exit::FAILED);
    }
}
