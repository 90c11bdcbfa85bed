//! The machine-readable result, `ab.json`.

use serde::{Deserialize, Serialize};

use super::ab_plan::{Name, PlanText};
use super::judgement::{Judged, judge};
use super::null::NullRecord;
use super::pair::Pair;
use crate::comparison::Judgement;
use crate::environment::Environment;
use crate::exit;

/// Name and version of the format.
pub(super) const SCHEMA: &str = "loadgen-ab/1";

/// Pairs that are left out in a row before the measurement is given up: this machine, or a server,
/// is then likely to remain as it is.
const LEFT_OUT_MAX: usize = 5;

/// What is stored of a measurement, and read again; the rest follows from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredAb {
    /// Always [`SCHEMA`].
    pub(super) schema: String,
    pub(super) plan: PlanText,
    /// Where, as of the last run; null before the first one.
    pub(super) env: Option<Environment>,
    /// Whether it ended before it was complete, by a signal or an error.
    pub(super) interrupted: bool,
    /// How many pairs were there when it was continued; 0 if it was not.
    pub(super) continued_after: usize,
    /// In the order of measurement.
    pub(super) pairs: Vec<Pair>,
}

/// A comparison in pairs: its plan, what it has measured, and what that shows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AbRecord {
    #[serde(flatten)]
    pub(super) stored: StoredAb,
    /// Pairs that count.
    pub(super) counted: usize,
    /// Pairs that are left out because a run of them is INVALID.
    pub(super) left_out: usize,
    #[serde(flatten)]
    pub(super) judged: Judged,
    /// Of A against itself; null for A against B.
    pub(super) null: Option<NullRecord>,
}

impl StoredAb {
    /// Before the first pair.
    pub(super) fn beginning(plan: &PlanText) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            plan: plan.clone(),
            env: None,
            interrupted: false,
            continued_after: 0,
            pairs: Vec::new(),
        }
    }

    /// The pairs that count.
    pub(super) fn counted(&self) -> Vec<&Pair> {
        self.pairs.iter().filter(|pair| !pair.left_out).collect()
    }

    /// Whether so many pairs have an INVALID run that nothing can be concluded: several in a row,
    /// or more than may be measured in all. Those before it was continued do not matter, as the
    /// machine may have become quiet.
    pub(super) fn is_given_up(&self) -> bool {
        let pairs = self.pairs.get(self.continued_after..).unwrap_or_default();
        let at_end = pairs.iter().rev().take_while(|pair| pair.left_out).count();
        let left_out = pairs.iter().filter(|pair| pair.left_out).count();
        at_end >= LEFT_OUT_MAX
            || left_out > (self.plan.pairs_to_measure() as usize).max(LEFT_OUT_MAX)
    }
}

impl AbRecord {
    /// What the pairs so far show.
    pub(super) fn new(stored: StoredAb) -> Self {
        let counted = stored.counted();
        let mut judged = judge(&stored.plan, &counted);
        let differs = matches!(judged.judgement, Judgement::Slower | Judgement::Faster);
        let null = stored.plan.null_pairs.map(|_| NullRecord::of(&stored.plan, &counted, differs));
        if stored.is_given_up() {
            judged.judgement = Judgement::Invalid;
        }
        let (counted, all) = (counted.len(), stored.pairs.len());
        Self { counted, left_out: all - counted, judged, null, stored }
    }

    /// Whether no more pairs are to be measured.
    pub(super) fn is_complete(&self) -> bool {
        let plan = &self.stored.plan;
        self.stored.is_given_up()
            || self.counted >= plan.pairs_to_measure() as usize
            || (self.judged.decided && plan.null_pairs.is_none())
    }

    /// The exit code of a program that ends with this record.
    pub(super) fn exit_code(&self) -> u8 {
        let differs = self.null.as_ref().is_some_and(|null| null.differs);
        if self.stored.interrupted {
            exit::INTERRUPTED
        } else if [Name::A, Name::B].into_iter().any(|name| self.had_errors(name)) {
            exit::FAILED
        } else if self.judged.judgement == Judgement::Invalid {
            exit::INVALID
        } else if differs || self.judged.judgement == Judgement::Slower {
            exit::MISSED
        } else {
            exit::OK
        }
    }

    /// Whether a request or a connection failed in a pair that counts.
    pub(super) fn had_errors(&self, name: Name) -> bool {
        self.stored.counted().iter().any(|pair| pair.side(name).had_errors)
    }

    /// Requests that failed in the pairs that count.
    pub(super) fn failed_requests(&self, name: Name) -> u64 {
        self.stored.counted().iter().map(|pair| pair.side(name).failed_requests).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ab_plan::tests::plan;
    use super::super::null::tests::null_pairs;
    use super::super::pair::tests::pair;
    use super::*;
    use crate::record::Verdict;
    use crate::record::tests::schema::Schema;

    /// The record of these pairs.
    pub(in crate::commands::ab) fn record(flags: &str, pairs: Vec<Pair>) -> AbRecord {
        let plan = plan(flags).unwrap().text;
        AbRecord::new(StoredAb { pairs, ..StoredAb::beginning(&plan) })
    }

    /// A pair with an INVALID run of B.
    pub(in crate::commands::ab) fn invalid(number: u32) -> Pair {
        let mut pair = pair(number, 1.0);
        pair.b.verdict = Verdict::Invalid;
        pair.b.reason = Some("loader-late: p99 1 ms".to_owned());
        Pair::of(number, pair.seed, pair.first, pair.a, pair.b)
    }

    const AB: &str = "--a 'old {addr}' --b 'new {addr}'";

    fn pairs(count: u32, ratio: f64) -> Vec<Pair> {
        (1..=count).map(|number| pair(number, ratio)).collect()
    }

    #[test]
    fn the_exit_code_is_that_of_the_judgement_unless_something_graver_happened() {
        assert_eq!(record(AB, pairs(9, 1.2)).exit_code(), 2);
        assert_eq!(record(AB, pairs(9, 0.8)).exit_code(), 0);
        assert_eq!(record(AB, pairs(9, 1.0)).exit_code(), 0);
        assert_eq!(record(AB, pairs(3, 1.2)).exit_code(), 0);
        let mut failed = pairs(9, 1.2);
        failed[4].b.had_errors = true;
        assert_eq!(record(AB, failed).exit_code(), 1);
        assert_eq!(record(AB, (1..=5).map(invalid).collect()).exit_code(), 3);
        let interrupted = record(AB, pairs(9, 1.2));
        let stored = StoredAb { interrupted: true, ..interrupted.stored };
        assert_eq!(AbRecord::new(stored).exit_code(), 130);
        assert_eq!(record("--null --a old", pairs(9, 0.8)).exit_code(), 2);
        assert_eq!(record("--null --a old", null_pairs(60, 1)).exit_code(), 0);
    }

    #[test]
    fn pairs_that_are_left_out_do_not_count() {
        let mut all = pairs(9, 1.2);
        all.insert(4, invalid(10));
        all.insert(2, invalid(11));
        all[5].b.had_errors = true;
        let mixed = record(AB, all);
        assert_eq!((mixed.counted, mixed.left_out), (9, 2));
        assert_eq!(mixed.judged.judgement, Judgement::Slower);
        assert!(!mixed.had_errors(Name::B));
    }

    #[test]
    fn the_measurement_is_given_up_after_five_left_out_in_a_row_or_too_many_in_all() {
        let of = |left_out: u32| {
            let invalid = (4..4 + left_out).map(invalid);
            record(AB, pairs(3, 1.2).into_iter().chain(invalid).collect())
        };
        assert!(!of(4).is_complete());
        let given_up = of(5);
        assert!(given_up.is_complete());
        assert_eq!(given_up.judged.judgement, Judgement::Invalid);
        let every_second = |count: u32| {
            (1..=count).map(|n| if n % 2 == 0 { invalid(n) } else { pair(n, 1.2) }).collect()
        };
        let plan = "--null=6 --a old --pairs 6";
        assert!(!record(plan, every_second(10)).is_complete());
        let mut stored = record(plan, (1..=7).flat_map(|_| every_second(2)).collect()).stored;
        assert!(stored.is_given_up());
        stored.continued_after = stored.pairs.len();
        assert!(!stored.is_given_up());
    }

    #[test]
    fn it_is_complete_when_decided_or_at_the_last_pair_and_against_itself_only_then() {
        assert!(!record(AB, pairs(7, 1.2)).is_complete());
        assert!(record(AB, pairs(9, 1.2)).is_complete());
        assert!(record(&format!("{AB} --pairs 3"), pairs(3, 1.2)).is_complete());
        assert!(!record("--null=50 --a old", pairs(49, 1.2)).is_complete());
        assert!(record("--null=50 --a old", pairs(50, 1.0)).is_complete());
    }

    #[test]
    fn a_record_is_what_its_schema_says_and_is_read_again() {
        for record in [
            record(AB, pairs(9, 1.2)),
            record(AB, vec![]),
            record(AB, vec![invalid(1)]),
            record("--null --a old", null_pairs(60, 1)),
        ] {
            Schema::named("ab").expect_valid(&record);
            let text = serde_json::to_string(&record).unwrap();
            let again: StoredAb = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&AbRecord::new(again)).unwrap(), text);
        }
    }
}
