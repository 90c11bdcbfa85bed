//! The document behind `/stats`.

use serde::Serialize;

use super::{Balance, ProcessStats, ServerStats, ShardStats, Timing};

#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    #[serde(flatten)]
    stats: &'a ServerStats,
    balance: Balance,
    process: &'a ProcessStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    histograms: Option<Vec<Histograms>>,
}

/// One shard's histograms: pairs of a recorded time in nanoseconds and its count.
#[derive(Serialize)]
struct Histograms {
    loop_lag_ns: Vec<(u64, u64)>,
    callback_ns: Vec<(u64, u64)>,
    handoff_ns: Vec<(u64, u64)>,
    handshake_ns: Vec<(u64, u64)>,
}

impl ServerStats {
    /// The statistics as one JSON object: the fields of this struct, `version`, the
    /// [`balance`](Self::balance) and the process. Times have their percentiles. With `histograms`
    /// they are also complete, as pairs of a time and its count. The difference of two such
    /// documents has the percentiles of the time between.
    #[must_use]
    pub fn to_json(&self, process: &ProcessStats, histograms: bool) -> String {
        let document = Document {
            version: env!("CARGO_PKG_VERSION"),
            stats: self,
            balance: self.balance(),
            process,
            histograms: histograms.then(|| self.shards.iter().map(Histograms::of).collect()),
        };
        serde_json::to_string(&document).expect("names are texts, and numbers are finite")
    }
}

impl Histograms {
    fn of(shard: &ShardStats) -> Self {
        let counts = |timing: &Timing| timing.counts().collect();
        Self {
            loop_lag_ns: counts(&shard.timings.loop_lag),
            callback_ns: counts(&shard.timings.callback),
            handoff_ns: counts(&shard.timings.handoff),
            handshake_ns: counts(&shard.timings.handshake),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(histograms: bool) -> Value {
        let mut shard = ShardStats { answered: true, bytes_in: 1 << 60, ..Default::default() };
        shard.timings.loop_lag.record(1_500);
        let stats = ServerStats { shards: vec![shard], ..Default::default() };
        serde_json::from_str(&stats.to_json(&ProcessStats::read(), histograms)).unwrap()
    }

    #[test]
    fn the_document_has_the_tree_its_balance_and_the_process() {
        let found = document(false);
        assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(found["shards"][0]["bytes_in"], 1_u64 << 60);
        assert_eq!(found["shards"][0]["timings"]["loop_lag_ns"]["count"], 1);
        assert_eq!(found["balance"]["open"]["jain"], 1.0);
        assert_eq!(found["process"]["pid"], std::process::id());
        assert_eq!(found.get("histograms"), None);
    }

    #[test]
    fn histograms_are_pairs_of_a_time_and_its_count() {
        let found = document(true);
        let expected = json!([{
            "loop_lag_ns": [[1496, 1]], "callback_ns": [], "handoff_ns": [], "handshake_ns": [],
        }]);
        assert_eq!(found["histograms"], expected);
    }
}
