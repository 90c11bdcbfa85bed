//! `loadgen ab`: A and B measured in turn, in pairs, until it is decided which is faster.
//!
//! ```text
//! ab_plan    both sides; the seed of each pair, and the order in it
//! pair       the numbers of one pair
//! judgement  what the pairs so far show, and whether more are needed
//! null       A against itself: false alarms, and which differences are found
//! record     ab.json: plan, pairs and judgement
//! report     for people: a text and Markdown
//! junit      for programs of continuous integration
//! folder     what is stored, and an interrupted measurement found
//! stored     a comparison that was measured before
//! ```

mod ab_plan;
mod folder;
mod judgement;
mod junit;
mod null;
mod pair;
mod record;
mod report;
mod stored;

use std::time::{Duration, Instant};

use self::ab_plan::{AbPlan, Name};
use self::folder::AbFolder;
use self::pair::{Pair, SideRun};
use self::record::{AbRecord, StoredAb};
pub(super) use self::stored::stored;
use crate::cli::AbArgs;
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::measure::{self, Loader, Measured};
use crate::record::Record;
use crate::report::{json, print_beside};
use crate::units::{about, counted};

/// Carries out the command and returns the exit code.
pub(crate) fn ab(args: AbArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let plan = AbPlan::new(args)?;
    let (folder, stored) = AbFolder::open(&plan)?;
    let mut comparison = Ab { plan: &plan, folder, record: AbRecord::new(stored) };
    let measured = comparison.measure(interrupt);
    if comparison.record.stored.pairs.is_empty() {
        measured?;
        return Err(Error::Interrupted);
    }
    if !comparison.record.is_complete() {
        comparison.set(|stored| stored.interrupted = true);
    }
    let Ab { folder, record, .. } = comparison;
    // Whatever was measured is reported, also if it ends in an error.
    let stored = folder.finish(&record);
    let written = write(&plan, &record);
    console::first_error([measured, stored, written])?;
    Ok(record.exit_code())
}

/// A pair, with the records of its runs in their order.
struct MeasuredPair {
    pair: Pair,
    records: Vec<(Name, Record)>,
}

/// The state of a comparison.
struct Ab<'a> {
    plan: &'a AbPlan,
    folder: AbFolder,
    record: AbRecord,
}

impl Ab<'_> {
    /// Measures pair after pair until the record is complete.
    fn measure(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        self.announce();
        let (begun, before) = (Instant::now(), self.record.counted);
        let mut loader = Loader::default();
        while !self.record.is_complete() {
            let number = self.record.stored.pairs.len() as u32 + 1;
            let Some(MeasuredPair { pair, records }) = self.pair(number, &mut loader, interrupt)?
            else {
                return Ok(());
            };
            let env = records.last().map(|(_, record)| record.env.clone());
            self.set(|stored| {
                stored.env = env;
                stored.pairs.push(pair.clone());
            });
            self.folder.store(&pair, &records, &self.record)?;
            if !self.plan.quiet {
                let line = report::line(&self.record, &pair);
                let left = self.remaining(begun.elapsed(), self.record.counted - before);
                console::say(&(line + &left));
            }
        }
        Ok(())
    }

    /// Measures both sides; nothing if a signal ended it.
    fn pair(
        &self,
        number: u32,
        loader: &mut Loader,
        interrupt: &Interrupt,
    ) -> Result<Option<MeasuredPair>, Error> {
        let order = self.plan.text.order(number);
        let mut records = Vec::new();
        for (name, position) in order.into_iter().zip(1..) {
            let mut options = self.plan.options(name, number);
            options.output.position = format!("pair {}, run {position}: {name}", number);
            let Some(Measured { measurement, failure }) =
                measure::measure_whole(&options, loader, interrupt)?
            else {
                return Ok(None);
            };
            failure.map_or(Ok(()), Err)?;
            records.push((name, measurement.record));
        }
        let run = |wanted: Name| {
            let found = records.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, record)| SideRun::of(record))
        };
        let seed = self.plan.options(Name::A, number).seed;
        let both = run(Name::A).zip(run(Name::B));
        Ok(both
            .map(|(a, b)| MeasuredPair { pair: Pair::of(number, seed, order[0], a, b), records }))
    }

    /// Changes what is stored, and judges it anew.
    fn set(&mut self, change: impl FnOnce(&mut StoredAb)) {
        let mut stored = self.record.stored.clone();
        change(&mut stored);
        self.record = AbRecord::new(stored);
    }

    /// Says how many pairs there are to measure at most, and about how long all of them take.
    fn announce(&self) {
        if self.plan.quiet {
            return;
        }
        let most = self.plan.text.pairs_to_measure();
        let counted_before = self.record.counted as u64;
        if self.record.is_complete() {
            console::say(&format!(
                "{} there already; no more are needed",
                counted(counted_before, "pair")
            ));
            return;
        }
        let missing = most.saturating_sub(counted_before as u32);
        let length = self.plan.options(Name::A, 1).length().saturating_mul(2 * missing);
        let found = match counted_before {
            0 => String::new(),
            found => format!("; {} there already", counted(found, "pair")),
        };
        let stops = match self.plan.text.null_pairs {
            Some(_) => "of A against itself",
            None => "of A and B, until it is decided",
        };
        console::say(&format!(
            "at most {} {stops}; about {} for all{found}",
            counted(missing.into(), "pair"),
            about(length)
        ));
    }

    /// The remaining time, if further pairs take as long as those so far, and nothing is decided.
    fn remaining(&self, elapsed: Duration, made: usize) -> String {
        let left = (self.plan.text.pairs_to_measure() as usize).saturating_sub(self.record.counted);
        if made == 0 || left == 0 || self.record.is_complete() {
            return String::new();
        }
        let left_s = elapsed.as_secs_f64() / made as f64 * left as f64;
        format!("; at most {} left", about(Duration::from_secs_f64(left_s)))
    }
}

/// Writes what the flags name, and prints the report.
fn write(plan: &AbPlan, record: &AbRecord) -> Result<(), Error> {
    let outputs = &plan.outputs;
    let mut written = Vec::new();
    if let Some(output) = &outputs.json {
        written.push(json::text(record).and_then(|text| output.write(&text)));
    }
    if let Some(output) = &outputs.markdown {
        written.push(output.write(&report::markdown(record)));
    }
    if let Some(output) = &outputs.junit {
        written.push(output.write(&junit::xml(record)));
    }
    if !plan.quiet {
        written.push(print_beside(outputs.stdout(), |style| report::text(record, style)));
    } else if let Some(line) = report::quiet_line(record) {
        console::say(&line);
    }
    console::first_error(written)
}
