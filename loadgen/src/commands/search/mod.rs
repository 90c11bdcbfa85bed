//! `loadgen search`: the highest rate that meets the objectives.
//!
//! ```text
//! search_plan  what the flags request
//! strategy     which rate to try next; pure
//! record       search.json
//! report       the answer and all probes, as text and as a chart, and the files of a search
//! table        all probes as CSV
//! remaining    how much of the search is left
//! stored       a search that was made before
//! ```

mod record;
mod remaining;
mod report;
mod search_plan;
mod stored;
mod strategy;
mod table;

use std::time::{Duration, Instant};

use self::record::{Answer, End, ProbeRecord, SearchRecord};
use self::search_plan::SearchPlan;
pub(super) use self::stored::stored;
use self::strategy::{Bounds, Limit, Probe, ProbeFinding, SearchStep, Strategy};
use crate::atomic_file;
use crate::cli::SearchArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Measurement};
use crate::options::{Options, RecordSink};
use crate::record::{Code, Decision, Reason, Record, Validity, Verdict};
use crate::report::{existing, json};
use crate::schedule::Rate;
use crate::slo::{Metric, Slo};
use crate::units::{self, about, counted};

/// First rate, as a share of the closed loop's.
const FIRST_SHARE: f64 = 0.1;

/// Carries out the command and returns the exit code.
pub(crate) fn search(args: SearchArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let plan = SearchPlan::try_from(args)?;
    let output = &plan.open.output;
    if let Some(folder) = &output.directory {
        existing::check(folder, output.force)?;
    }
    if !output.quiet {
        console::say(&format!(
            "first a closed loop, then open loops of {} each; at most {} in all (--max-time)",
            about(expected(&plan.open)),
            about(plan.max_time)
        ));
    }
    let mut search =
        Search { interrupt, begun: Instant::now(), record: SearchRecord::new(&plan), plan: &plan };
    let answer = search.find();
    if search.record.probes.is_empty() {
        return answer.map(|answer| exit_code(&answer));
    }
    // Everything measured is written, even if the search ends in an error.
    search.record.elapsed_s = search.begun.elapsed().as_secs_f64();
    if let Ok(answer) = &answer {
        search.record.answer = answer.clone();
    }
    publish(&plan, &search.record)?;
    let answer = answer?;
    if answer.end == End::Interrupted {
        console::say(&interrupted(&plan, search.record.probes.len()));
    }
    Ok(exit_code(&answer))
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
        let closed = self.placed(self.plan.closed.clone(), "closed loop");
        let Some(peak) = self.measure(&closed)? else {
            return Ok(Answer::without_end(End::Interrupted, None));
        };
        let peak_per_s = peak.record.rate.achieved_per_s;
        self.note(ProbeRecord::peak(&peak.record), &peak);
        if peak.record.interrupted {
            return Ok(Answer::without_end(End::Interrupted, None));
        }
        self.record.peak_per_s = Some(peak_per_s);
        let mut strategy = Strategy::new(self.bounds(peak_per_s));
        loop {
            let probe = match strategy.next() {
                SearchStep::Try(probe) => probe,
                SearchStep::Found { rate_per_s, limit, confirmed } => {
                    return Ok(Answer::found(rate_per_s, limit, confirmed));
                }
                SearchStep::NoneIsGood { limit } => return Ok(Answer::none(limit)),
            };
            let options = self.placed(self.options(probe), &units::rate(probe.rate_per_s));
            if self.begun.elapsed() + expected(&options) > self.plan.max_time {
                return Ok(Answer::without_end(End::TimeUp, strategy.best_per_s()));
            }
            let Some(measurement) = self.measure(&options)? else {
                return Ok(Answer::without_end(End::Interrupted, strategy.best_per_s()));
            };
            let finding = judge(&measurement.record, &self.plan.open.slo);
            self.note(ProbeRecord::new(probe, finding, &measurement.record), &measurement);
            if measurement.record.interrupted {
                return Ok(Answer::without_end(End::Interrupted, strategy.best_per_s()));
            }
            strategy.found(finding);
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

    /// A measurement; nothing if it was interrupted before it began.
    fn measure(&self, options: &Options) -> Result<Option<Measurement>, Error> {
        if self.interrupt.is_requested() {
            return Ok(None);
        }
        match measure::measure(options, self.interrupt, &mut ()) {
            Err(Error::Interrupted) => Ok(None),
            measured => measured.map(Some),
        }
    }

    /// With the number of the probe in the live line.
    fn placed(&self, mut options: Options, load: &str) -> Options {
        options.output.position = format!("probe {} {load}", self.record.probes.len() + 1);
        options
    }

    fn options(&self, probe: Probe) -> Options {
        let options = self.plan.open.at_rate(Some(Rate::per_s(probe.rate_per_s)));
        let duration = options.duration.saturating_mul(probe.length);
        Options { duration, ..options }
    }

    /// Adds a probe to the record, and prints its result and what is left in a line.
    fn note(&mut self, probe: ProbeRecord, measurement: &Measurement) {
        let line = report::line(self.record.probes.len() + 1, &probe);
        self.record.env = measurement.record.env.clone();
        self.record.probes.push(probe);
        if !self.plan.open.output.quiet {
            let left = remaining::text(&self.record, self.begun.elapsed(), self.plan.max_time);
            console::say(&format!("{line}; {left}"));
        }
    }
}

/// How long a probe takes if nothing is left to wait for at its end.
fn expected(options: &Options) -> Duration {
    options.warmup.saturating_add(options.duration)
}

fn publish(plan: &SearchPlan, record: &SearchRecord) -> Result<(), Error> {
    let output = &plan.open.output;
    // Other results stay where they are if nothing was measured.
    if let Some(folder) = output.directory.as_ref().filter(|_| !record.probes.is_empty()) {
        existing::clear(folder)?;
        for (name, text) in report::files(record)? {
            atomic_file::text(&folder.join(name), &text)?;
        }
    }
    match &output.record {
        Some(RecordSink::File(path)) => atomic_file::json(path, record)?,
        Some(RecordSink::Stdout) => {
            console::print(&json::text(record).map_err(Error::WriteResults)?);
        }
        None if output.quiet || record.probes.is_empty() => {}
        None => console::print(&report::render(record)),
    }
    let (verdict, text) = report::verdict(record);
    if output.quiet && record.answer.limit == Some(Limit::Loader) {
        console::say(report::answer(record).trim_end());
    } else if output.quiet && verdict > Verdict::Valid {
        console::say(&text);
    }
    Ok(())
}

fn interrupted(plan: &SearchPlan, probes: usize) -> String {
    let probes = counted(probes as u64, "probe");
    let results = plan
        .open
        .output
        .directory
        .as_ref()
        .map_or_else(String::new, |folder| format!("; they are in {}", folder.display()));
    format!("interrupted after {probes}{results}. A search starts anew when it is called again")
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

/// Judges a measurement by its objectives.
///
/// Requests that failed make a rate bad, unless an objective says how many may.
fn judge(record: &Record, objectives: &[Slo]) -> ProbeFinding {
    let tolerates_errors = objectives.iter().any(|slo| slo.metric() == Metric::Errors);
    let failed = record.counters.has_errors() && !tolerates_errors;
    let decisions: Vec<Decision> = record.slo.iter().map(|slo| slo.decision).collect();
    finding(&record.validity, failed || record.counters.measured == 0, &decisions)
}

fn finding(validity: &Validity, failed: bool, decisions: &[Decision]) -> ProbeFinding {
    let has = |code: Code| validity.reasons.iter().any(|reason| reason.code == code);
    // The loader causes everything that makes a run INVALID, except a server that never answers. A
    // stall is no limit: it need not come again.
    let is_limit = |reason: &Reason| {
        let is_exception = matches!(reason.code, Code::NothingMeasured | Code::LoaderStalled);
        reason.level == Verdict::Invalid && !is_exception
    };
    // Without its own delay, the loader might have found that the objective is met.
    let is_of_loader = has(Code::LoaderStalled) || has(Code::LoaderDelay);
    // If a queue grows, a run can meet the objective only because it is short.
    let depends_on_length = has(Code::NotSteady);
    if validity.reasons.iter().any(is_limit) {
        ProbeFinding::LoaderLimited
    } else if failed || decisions.contains(&Decision::Failed) && !is_of_loader {
        ProbeFinding::Bad
    } else if decisions.contains(&Decision::Failed)
        || decisions.contains(&Decision::Undecided)
        || depends_on_length
    {
        ProbeFinding::Undecided
    } else {
        ProbeFinding::Good
    }
}

#[cfg(test)]
mod tests {
    use Decision::{Failed, Passed, Undecided};

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

    fn because(code: Code, level: Verdict) -> Validity {
        let reason = Reason { code, level, text: String::new() };
        Validity { verdict: level, reasons: vec![reason], ..Validity::valid() }
    }

    #[test]
    fn all_objectives_must_be_met_for_certain() {
        let judged = |decisions: &[Decision]| finding(&Validity::valid(), false, decisions);
        assert_eq!(judged(&[Passed, Passed]), ProbeFinding::Good);
        assert_eq!(judged(&[Passed, Undecided]), ProbeFinding::Undecided);
        assert_eq!(judged(&[Undecided, Failed]), ProbeFinding::Bad);
    }

    #[test]
    fn a_run_with_errors_is_bad_whatever_its_latencies() {
        assert_eq!(finding(&Validity::valid(), true, &[Passed]), ProbeFinding::Bad);
        let nothing = because(Code::NothingMeasured, Verdict::Invalid);
        assert_eq!(finding(&nothing, true, &[Undecided]), ProbeFinding::Bad);
    }

    #[test]
    fn what_a_late_loader_seems_to_show_counts_for_nothing() {
        let late = because(Code::LoaderLate, Verdict::Invalid);
        for decision in [Passed, Failed, Undecided] {
            assert_eq!(finding(&late, false, &[decision]), ProbeFinding::LoaderLimited);
        }
        let less_late = because(Code::LoaderLate, Verdict::Suspect);
        assert_eq!(finding(&less_late, false, &[Passed]), ProbeFinding::Good);
    }

    #[test]
    fn an_objective_that_was_missed_in_a_stall_of_the_loader_is_measured_again() {
        for (code, level) in
            [(Code::LoaderStalled, Verdict::Invalid), (Code::LoaderDelay, Verdict::Suspect)]
        {
            let stalled = because(code, level);
            assert_eq!(finding(&stalled, false, &[Failed]), ProbeFinding::Undecided);
            assert_eq!(finding(&stalled, false, &[Passed]), ProbeFinding::Good);
            assert_eq!(finding(&stalled, true, &[Failed]), ProbeFinding::Bad);
        }
    }

    #[test]
    fn an_objective_that_is_met_only_for_now_is_not_met() {
        let unsteady = because(Code::NotSteady, Verdict::Suspect);
        assert_eq!(finding(&unsteady, false, &[Passed]), ProbeFinding::Undecided);
        assert_eq!(finding(&unsteady, false, &[Failed]), ProbeFinding::Bad);
    }
}
