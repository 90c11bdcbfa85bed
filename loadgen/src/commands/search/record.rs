//! The machine-readable result of a search, `search.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::evidence::GroupFinding;
use super::search_plan::SearchPlan;
use super::strategy::{Limit, Probe, ProbeFinding, Stage};
use crate::environment::Environment;
use crate::record::{ArgsRecord, LatencyRecord, Record, SloRecord, Validity};
use crate::schedule::Rate;

/// Name and version of the format.
pub(super) const SCHEMA: &str = "loadgen-search/1";

/// A search, every probe of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SearchRecord {
    /// Always [`SCHEMA`].
    pub(super) schema: String,
    /// The plan of every probe; each probe has its own rate.
    pub(super) args: ArgsRecord,
    /// Where and when, as of the last probe.
    pub(super) env: Environment,
    /// What must hold.
    pub(super) objectives: Vec<String>,
    /// The lowest requested rate; null for a tenth of the peak.
    pub(super) from_per_s: Option<f64>,
    /// The highest requested rate.
    pub(super) to_per_s: f64,
    /// How close the answer is to a rate that is not good, as a share of it.
    pub(super) tolerance: f64,
    /// How many probes confirm the answer, at least.
    pub(super) confirmations: u32,
    /// What a closed loop with the same connections achieves.
    pub(super) peak_per_s: Option<f64>,
    pub(super) answer: Answer,
    /// In the order in which they were made.
    pub(super) probes: Vec<ProbeRecord>,
    pub(super) elapsed_s: f64,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// With a rate.
    Found,
    /// Without one that is good.
    NoneIsGood,
    /// Out of time; the rate is the best known, not confirmed.
    TimeUp,
    /// By the user; the rate is the best known, not confirmed.
    Interrupted,
    /// By an error.
    Failed,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) end: End,
    /// The largest rate that is good.
    pub(super) rate_per_s: Option<f64>,
    /// The lowest rate above that which misses an objective for certain, or at which the loader was
    /// the limit. Between both, it is not decided. Null if there is none.
    #[serde(default)]
    pub(super) missed_per_s: Option<f64>,
    /// What made higher rates no answer. "loader": the true limit is at least the rate.
    pub(super) limit: Option<Limit>,
    /// How many probes confirmed the rate after it was found.
    pub(super) confirmed: u32,
    /// What must be said wherever the rate is shown; null if nothing.
    pub(super) qualifier: Option<Qualifier>,
}

/// Why the rate is not the plain answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Qualifier {
    /// The loader was the limit: the true limit is at least the rate.
    AtLeast,
    /// It was good, and the search ended before more probes confirmed it, or was to make none.
    NotConfirmed,
}

impl Answer {
    /// A rate, with the number of its confirmations.
    pub(super) fn found(rate_per_s: f64, limit: Limit, confirmed: u32) -> Self {
        let qualifier = match (limit, confirmed) {
            (Limit::Loader, _) => Some(Qualifier::AtLeast),
            (_, 0) => Some(Qualifier::NotConfirmed),
            _ => None,
        };
        let (rate_per_s, limit) = (Some(rate_per_s), Some(limit));
        Self { end: End::Found, rate_per_s, missed_per_s: None, limit, confirmed, qualifier }
    }

    /// No rate.
    pub(super) fn none(limit: Limit) -> Self {
        Self { limit: Some(limit), ..Self::without_end(End::NoneIsGood, None) }
    }

    /// The best known before the search could end.
    pub(super) fn without_end(end: End, rate_per_s: Option<f64>) -> Self {
        let qualifier = rate_per_s.map(|_| Qualifier::NotConfirmed);
        Self { end, rate_per_s, missed_per_s: None, limit: None, confirmed: 0, qualifier }
    }

    /// The same, below a rate that is not good.
    pub(super) fn below(self, bad: Option<(f64, Limit)>) -> Self {
        Self { missed_per_s: bad.map(|(rate_per_s, _)| rate_per_s), ..self }
    }
}

/// What a probe was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProbeStage {
    /// What a closed loop achieves, before the search.
    Peak,
    #[serde(untagged)]
    Search(Stage),
}

/// As in the file.
impl fmt::Display for ProbeStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// One probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ProbeRecord {
    /// From 1; 0 for the peak.
    pub(super) number: u32,
    /// Probes of one group have one rate, and are judged together. Null for the peak.
    pub(super) group: Option<u32>,
    /// Of its schedule, sizes and payload: `args.seed` plus its number.
    pub(super) seed: u64,
    pub(super) stage: ProbeStage,
    /// Null for the peak, which is a closed loop.
    pub(super) rate_per_s: Option<f64>,
    pub(super) achieved_per_s: f64,
    pub(super) duration_s: f64,
    pub(super) measured: u64,
    /// Response times; of the peak, service times.
    pub(super) latency_ns: LatencyRecord,
    /// What its group shows with it. Null for the peak.
    pub(super) decision: Option<ProbeFinding>,
    /// Whether the loader disturbed it, so that it was repeated unless the rate is good.
    pub(super) disturbed: bool,
    /// Seconds of measurements that the decision rests on. Null for the peak.
    pub(super) evidence_s: Option<f64>,
    /// If it is undecided: about how many seconds would decide. Null if that is not known.
    pub(super) needed_s: Option<f64>,
    pub(super) slo: Vec<SloRecord>,
    pub(super) validity: Validity,
    pub(super) had_errors: bool,
    pub(super) server_cpu_us_per_request: Option<f64>,
    /// Whether a signal ended it.
    pub(super) interrupted: bool,
}

impl SearchRecord {
    /// A search that has found nothing yet.
    pub(super) fn new(plan: &SearchPlan) -> Self {
        let args = ArgsRecord { rate: None, ..ArgsRecord::from(&plan.open) };
        Self {
            schema: SCHEMA.to_owned(),
            objectives: args.slo.iter().map(ToString::to_string).collect(),
            args,
            env: Environment::default(),
            from_per_s: plan.from.map(Rate::get),
            to_per_s: plan.to.get(),
            tolerance: plan.tolerance,
            confirmations: plan.confirmations,
            peak_per_s: None,
            answer: Answer::without_end(End::Failed, None),
            probes: Vec::new(),
            elapsed_s: 0.0,
        }
    }
}

impl ProbeRecord {
    /// The closed loop before the search.
    pub(super) fn peak(record: &Record) -> Self {
        Self::of(ProbeStage::Peak, record)
    }

    /// A probe at a rate.
    pub(super) fn new(probe: Probe, found: GroupFinding, record: &Record) -> Self {
        Self {
            number: probe.number,
            group: Some(probe.group),
            rate_per_s: Some(probe.rate_per_s),
            decision: Some(found.observed.finding),
            disturbed: found.observed.disturbed,
            evidence_s: Some(found.evidence_s),
            needed_s: found.needed_s,
            ..Self::of(ProbeStage::Search(probe.stage), record)
        }
    }

    fn of(stage: ProbeStage, record: &Record) -> Self {
        Self {
            number: 0,
            group: None,
            seed: record.args.seed,
            stage,
            rate_per_s: None,
            achieved_per_s: record.rate.achieved_per_s,
            duration_s: record.rate.measured_s,
            measured: record.counters.measured,
            latency_ns: record.latency_ns.headline(record.args.mode).clone(),
            decision: None,
            disturbed: false,
            evidence_s: None,
            needed_s: None,
            slo: record.slo.clone(),
            validity: record.validity.clone(),
            had_errors: record.counters.has_errors(),
            server_cpu_us_per_request: record.server.as_ref().and_then(|s| s.cpu_us_per_request),
            interrupted: record.interrupted,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::search_plan::tests::plan;
    use super::super::strategy::Observation;
    use super::*;
    use crate::record::tests::extremes;
    use crate::record::tests::schema::Schema;

    /// The first probe of its rate.
    pub(in crate::commands::search) fn probe(
        stage: Stage,
        rate_per_s: f64,
        finding: ProbeFinding,
        measured: &Record,
    ) -> ProbeRecord {
        let probe = Probe { number: 1, group: 1, stage, rate_per_s, length: 1 };
        let observed = Observation { finding, disturbed: false };
        let found = GroupFinding { observed, evidence_s: 20.0, needed_s: None };
        ProbeRecord::new(probe, found, measured)
    }

    /// A search in which every value is known, and whose peak is a closed loop.
    fn full() -> SearchRecord {
        let measured = extremes::full();
        let mut record = SearchRecord::new(&plan("--slo p99<1ms --from 1k").unwrap());
        record.args = measured.args.clone();
        record.env = measured.env.clone();
        record.peak_per_s = Some(9_000.0);
        record.answer =
            Answer::found(1_000.0, Limit::Loader, 3).below(Some((1_100.0, Limit::Loader)));
        record.probes.push(ProbeRecord::peak(&measured));
        let limited = probe(Stage::Confirm, 1_000.0, ProbeFinding::LoaderLimited, &measured);
        record.probes.push(ProbeRecord { needed_s: Some(40.0), ..limited });
        record
    }

    #[test]
    fn a_search_is_what_its_schema_says() {
        let schema = Schema::named("search");
        schema.expect_valid(&full());
        schema.expect_valid(&SearchRecord::new(&plan("--slo p99<1ms").unwrap()));
        schema.expect_same_fields(&full(), |at| {
            at.starts_with("/env/") || at.starts_with("/probes/0/")
        });
    }

    #[test]
    fn a_search_survives_its_way_through_a_file() {
        let text = serde_json::to_string(&full()).unwrap();
        let read: SearchRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
