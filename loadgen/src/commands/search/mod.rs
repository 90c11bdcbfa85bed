//! `loadgen search`: the highest rate that meets the objectives.
//!
//! ```text
//! search_plan  what the flags request
//! strategy     which rate to try next; pure
//! evidence     what the probes of one rate show together
//! neighbours   what those of several rates show together
//! record       search.json
//! report       the answer and all probes, as text and as a chart, and the files of a search
//! table        all probes as CSV
//! remaining    how much of the search is left
//! files        what is stored, and when
//! stored       a search that was made before
//! ```

mod evidence;
mod files;
mod neighbours;
mod record;
mod remaining;
mod report;
mod search_plan;
mod stored;
mod strategy;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::evidence::Evidence;
use self::files::{SearchFiles, progress};
use self::neighbours::{Neighbours, RateParts};
use self::record::{Answer, End, ProbeRecord, SearchRecord};
use self::search_plan::SearchPlan;
pub(super) use self::stored::stored;
use self::strategy::{Bounds, Limit, Probe, SearchStep, Strategy};
use crate::cli::SearchArgs;
use crate::console;
use crate::destination::Output;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::measure::{self, Loader, Measured, Measurement};
use crate::options::{Options, OutputOptions};
use crate::record::Verdict;
use crate::report::{Progress, print_beside};
use crate::schedule::Rate;
use crate::units::{self, about, counted};

/// First rate, as a share of the closed loop's.
const FIRST_SHARE: f64 = 0.1;

/// Carries out the command and returns the exit code.
pub(crate) fn search(args: SearchArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let plan = SearchPlan::try_from(args)?;
    let output = &plan.open.output;
    let mut files = SearchFiles::open(output)?;
    if !output.quiet {
        console::say(&format!(
            "first a closed loop, then open loops of {} each; at most {} in all (--max-time)",
            about(plan.open.length()),
            about(plan.max_time)
        ));
    }
    let mut search = Search {
        interrupt,
        begun: Instant::now(),
        record: SearchRecord::new(&plan),
        plan: &plan,
        files: &mut files,
        loader: Loader::default(),
    };
    let answer = search.find();
    let Search { mut record, loader, .. } = search;
    drop(loader);
    if record.probes.is_empty() {
        return answer.map(|answer| exit_code(&answer));
    }
    // Everything measured is written, even if the search ends in an error.
    record.answer = match &answer {
        Ok(answer) => answer.clone(),
        // The best that was known after the last probe.
        Err(_) => Answer { end: End::Failed, ..record.answer },
    };
    let written = files.finish(&record);
    let printed = print(output.quiet, files.record(), &record);
    if record.answer.end == End::Interrupted {
        console::say(&interrupted(output, &record));
    }
    let code = answer.as_ref().map_or(exit::FAILED, exit_code);
    console::first_error([answer.map(drop), written, printed])?;
    Ok(code)
}

/// The state of a search.
struct Search<'a> {
    plan: &'a SearchPlan,
    interrupt: &'a Interrupt,
    begun: Instant,
    record: SearchRecord,
    files: &'a mut SearchFiles,
    loader: Loader,
}

impl Search<'_> {
    fn find(&mut self) -> Result<Answer, Error> {
        let mut closed = self.plan.closed.clone();
        closed.output.position = "closed loop".to_owned();
        let Some(Measured { measurement: peak, failure }) = self.measure(&closed)? else {
            return Ok(Answer::without_end(End::Interrupted, None));
        };
        let peak_per_s = peak.record.rate.achieved_per_s;
        self.record.peak_per_s = (!peak.record.interrupted).then_some(peak_per_s);
        self.note(ProbeRecord::peak(&peak.record), &peak, None);
        failure.map_or(Ok(()), Err)?;
        self.loader.expect_whole()?;
        if peak.record.interrupted {
            return Ok(Answer::without_end(End::Interrupted, None));
        }
        self.find_at_rates(Strategy::new(self.bounds(peak_per_s)))
    }

    /// Tries the rates that the strategy chooses.
    fn find_at_rates(&mut self, mut strategy: Strategy) -> Result<Answer, Error> {
        let objectives = &self.plan.open.slo;
        let mut evidence: BTreeMap<u32, Evidence> = BTreeMap::new();
        let mut neighbours = Neighbours::new(objectives, self.plan.open.duration.as_secs_f64());
        let time_to_find = self.plan.max_time.saturating_sub(self.plan.confirm_time());
        let without_end = |end: End, strategy: &Strategy| {
            Ok(Answer::without_end(end, strategy.best_known_per_s()).below(strategy.bad()))
        };
        loop {
            let probe = match strategy.next() {
                SearchStep::Try(probe) => probe,
                SearchStep::Found { rate_per_s, limit, confirmed } => {
                    let found = Answer::found(rate_per_s, limit, confirmed);
                    return Ok(found.below(strategy.bad()));
                }
                SearchStep::NoneIsGood { limit } => {
                    return Ok(Answer::none(limit).below(strategy.bad()));
                }
            };
            let options = self.options(probe);
            let until = self.begun.elapsed().saturating_add(options.length());
            if until > time_to_find && strategy.give_up() {
                continue;
            }
            if until > self.plan.max_time {
                return without_end(End::TimeUp, &strategy);
            }
            let Some(Measured { measurement, failure }) = self.measure(&options)? else {
                return without_end(End::Interrupted, &strategy);
            };
            let group = evidence.entry(probe.group).or_default();
            let mut found = group.add(probe.number, &measurement, objectives);
            let [usable, doubtful] = group.parts(objectives);
            let Probe { group, rate_per_s, .. } = probe;
            let finding = found.observed.finding;
            let parts = RateParts { group, rate_per_s, finding, usable, doubtful };
            found.observed.finding = neighbours.update(parts);
            let probe_record = ProbeRecord::new(probe, found, &measurement.record);
            let is_lost = self.loader.expect_whole();
            let is_whole = failure.is_none() && is_lost.is_ok() && !measurement.record.interrupted;
            if is_whole {
                strategy.time_passed(self.begun.elapsed().div_duration_f64(time_to_find));
                strategy.found(found.observed, neighbours.findings());
            }
            self.note(probe_record, &measurement, Some(&strategy));
            failure.map_or(Ok(()), Err)?;
            is_lost?;
            if !is_whole {
                return without_end(End::Interrupted, &strategy);
            }
            if strategy.bad().is_some_and(|(bad_per_s, _)| rate_per_s >= bad_per_s) {
                // No further probe joins its group.
                evidence.remove(&group);
            }
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
            confirm_length: self.plan.confirm_length(),
        }
    }

    /// A measurement; nothing if it was interrupted before it began.
    fn measure(&mut self, options: &Options) -> Result<Option<Measured>, Error> {
        if self.interrupt.is_requested() {
            return Ok(None);
        }
        match measure::measure(options, &mut self.loader, self.interrupt, &mut ()) {
            Err(Error::Interrupted) => Ok(None),
            measured => measured.map(Some),
        }
    }

    fn options(&self, probe: Probe) -> Options {
        let options = self.plan.open.at_rate(Some(Rate::per_s(probe.rate_per_s)));
        let duration = options.duration.saturating_mul(probe.length);
        // The peak has the seed itself.
        let seed = options.seed.wrapping_add(u64::from(probe.number));
        let mut options = Options { duration, seed, ..options };
        let rate = units::rate(probe.rate_per_s);
        options.output.position = format!("probe {} {rate}/s", probe.number);
        options
    }

    /// Adds a probe to the record, which is stored at once, and prints its result and what is left
    /// in a line. If nothing further is written, the search was interrupted with the best rate that
    /// is known by then.
    fn note(&mut self, probe: ProbeRecord, measurement: &Measurement, strategy: Option<&Strategy>) {
        let line = report::line(&probe);
        let best_per_s = strategy.and_then(Strategy::best_known_per_s);
        let bad = strategy.and_then(Strategy::bad);
        self.record.env = measurement.record.env.clone();
        self.record.probes.push(probe);
        self.record.elapsed_s = self.begun.elapsed().as_secs_f64();
        self.record.answer = Answer::without_end(End::Interrupted, best_per_s).below(bad);
        self.files.store(&self.record);
        if !self.plan.open.output.quiet {
            let at_most = self.plan.max_time.saturating_sub(self.begun.elapsed());
            let left = strategy.and_then(|strategy| self.confirmations_left(strategy));
            console::say(&format!("{line}; {}", remaining::text(left, at_most)));
        }
    }

    /// How many probes confirm the rate yet, and how long they take.
    fn confirmations_left(&self, strategy: &Strategy) -> Option<(u32, Duration)> {
        let left = strategy.confirmations_left()?;
        let each = match strategy.next() {
            SearchStep::Try(probe) => self.options(probe).length(),
            _ => Duration::ZERO,
        };
        Some((left, each.saturating_mul(left)))
    }
}

/// Prints the report, or without it why the exit code is not 0.
fn print(quiet: bool, output: Option<&Output>, record: &SearchRecord) -> Result<(), Error> {
    if !quiet {
        return print_beside(output, |_| report::render(record));
    }
    if let Some(line) = quiet_line(record) {
        console::say(&line);
    }
    Ok(())
}

/// All that a search without a report says: the answer if it is not a rate that holds, otherwise a
/// verdict that is not VALID. The line about an error or an interrupt is printed besides.
fn quiet_line(record: &SearchRecord) -> Option<String> {
    let (verdict, text) = report::verdict(record);
    let Answer { end, limit, .. } = record.answer;
    match (end, limit) {
        (End::Failed | End::Interrupted, _) => None,
        (End::Found, Some(Limit::Objective | Limit::Highest | Limit::Undecided) | None) => {
            (verdict > Verdict::Valid).then_some(text)
        }
        _ => Some(report::answer(record).trim_end().to_owned()),
    }
}

fn interrupted(output: &OutputOptions, record: &SearchRecord) -> String {
    let probes = counted(record.probes.len() as u64, "probe");
    let results = match &output.directory {
        Some(folder) if progress(record) == Progress::Result => {
            format!("; they are in {}", folder.display())
        }
        _ => String::new(),
    };
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

#[cfg(test)]
mod tests {
    use super::search_plan::tests::plan;
    use super::*;

    #[test]
    fn a_quiet_search_without_a_rate_that_holds_says_so() {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms").unwrap());
        for (answer, said) in [
            (Answer::without_end(End::TimeUp, None), Some("NOT KNOWN: out of time")),
            (Answer::without_end(End::TimeUp, Some(9.0)), Some("NOT CONFIRMED: out of time")),
            (Answer::none(Limit::Objective), Some("MISSED: no rate tried")),
            (Answer::found(9.0, Limit::Loader, 3), Some("INVALID above 9.00/s")),
            (Answer::found(9.0, Limit::Objective, 3), None),
            (Answer::without_end(End::Failed, None), None),
        ] {
            record.answer = answer;
            let line = quiet_line(&record);
            assert_eq!(line.is_some(), said.is_some(), "{line:?}");
            assert!(line.unwrap_or_default().starts_with(said.unwrap_or_default()), "{said:?}");
        }
    }

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
