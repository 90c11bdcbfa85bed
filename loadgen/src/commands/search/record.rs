//! The machine-readable result of a search, `search.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// How often the answer is confirmed.
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
    /// What made higher rates no answer. "loader": the true limit is at least the rate.
    pub(super) limit: Option<Limit>,
    /// How often the rate was confirmed after it was found.
    pub(super) confirmed: u32,
}

impl Answer {
    /// A rate, with the number of its confirmations.
    pub(super) fn found(rate_per_s: f64, limit: Limit, confirmed: u32) -> Self {
        Self { end: End::Found, rate_per_s: Some(rate_per_s), limit: Some(limit), confirmed }
    }

    /// No rate.
    pub(super) fn none(limit: Limit) -> Self {
        Self { end: End::NoneIsGood, rate_per_s: None, limit: Some(limit), confirmed: 0 }
    }

    /// The best known before the search could end.
    pub(super) fn without_end(end: End, rate_per_s: Option<f64>) -> Self {
        Self { end, rate_per_s, limit: None, confirmed: 0 }
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
    pub(super) stage: ProbeStage,
    /// Null for the peak, which is a closed loop.
    pub(super) rate_per_s: Option<f64>,
    pub(super) achieved_per_s: f64,
    pub(super) duration_s: f64,
    pub(super) measured: u64,
    /// Response times; of the peak, service times.
    pub(super) latency_ns: LatencyRecord,
    /// Null for the peak.
    pub(super) decision: Option<ProbeFinding>,
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
    pub(super) fn new(probe: Probe, finding: ProbeFinding, record: &Record) -> Self {
        Self {
            rate_per_s: Some(probe.rate_per_s),
            decision: Some(finding),
            ..Self::of(ProbeStage::Search(probe.stage), record)
        }
    }

    fn of(stage: ProbeStage, record: &Record) -> Self {
        Self {
            stage,
            rate_per_s: None,
            achieved_per_s: record.rate.achieved_per_s,
            duration_s: record.rate.measured_s,
            measured: record.counters.measured,
            latency_ns: record.latency_ns.headline(record.args.mode).clone(),
            decision: None,
            slo: record.slo.clone(),
            validity: record.validity.clone(),
            had_errors: record.counters.has_errors(),
            server_cpu_us_per_request: record.server.as_ref().and_then(|s| s.cpu_us_per_request),
            interrupted: record.interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::search_plan::tests::plan;
    use super::*;
    use crate::record::tests::extremes;
    use crate::record::tests::schema::Schema;

    /// A search in which every value is known, and whose peak is a closed loop.
    fn full() -> SearchRecord {
        let measured = extremes::full();
        let mut record = SearchRecord::new(&plan("--slo p99<1ms --from 1k").unwrap());
        record.args = measured.args.clone();
        record.env = measured.env.clone();
        record.peak_per_s = Some(9_000.0);
        record.answer = Answer::found(1_000.0, Limit::Loader, 3);
        let probe = Probe { stage: Stage::Confirm, rate_per_s: 1_000.0, length: 1 };
        record.probes.push(ProbeRecord::peak(&measured));
        record.probes.push(ProbeRecord::new(probe, ProbeFinding::LoaderLimited, &measured));
        record
    }

    #[test]
    fn a_search_is_what_its_schema_says() {
        let schema = Schema::named("search");
        schema.expect_valid(&full());
        schema.expect_valid(&SearchRecord::new(&plan("--slo p99<1ms").unwrap()));
        schema.expect_same_fields(&full(), |at| {
            at.starts_with("/env/") || ["/probes/0/rate_per_s", "/probes/0/decision"].contains(&at)
        });
    }

    #[test]
    fn a_search_survives_its_way_through_a_file() {
        let text = serde_json::to_string(&full()).unwrap();
        let read: SearchRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
