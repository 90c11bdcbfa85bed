//! The replies by status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LatencyRecord;
use crate::latency::Latencies;

/// How many replies had each status code. A code has three digits, so there are at most a thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StatusCounts(BTreeMap<u16, u64>);

impl StatusCounts {
    /// Counts a reply.
    pub(crate) fn add(&mut self, status: u16) {
        *self.0.entry(status).or_default() += 1;
    }

    /// Adds the counts of another thread or another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (status, count) in other.iter() {
            *self.0.entry(status).or_default() += count;
        }
    }

    /// Codes and counts, the lowest code first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().map(|(&status, &count)| (status, count))
    }
}

/// The replies by status; empty where the protocol has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusesRecord {
    /// Complete HTTP replies by status code, warm-up and drain included.
    pub(crate) codes: StatusCounts,
    /// Latencies of the measured requests by the class of their reply: "2xx", "3xx", "4xx", "5xx",
    /// "other_status", or "error_line" for Redis and memcached. They are counted as the headline
    /// latency is: from the intended time in an open loop, from the send in a closed one. Replies
    /// with an unexpected status have a class, but do not enter the other latencies.
    pub(crate) latency_ns: BTreeMap<String, LatencyRecord>,
}

impl StatusesRecord {
    /// The replies of one run, or of several.
    pub(crate) fn new(codes: StatusCounts, latencies: &Latencies) -> Self {
        let class = |(name, latency): (&str, _)| (name.to_owned(), LatencyRecord::from(latency));
        Self { codes, latency_ns: latencies.of_classes().map(class).collect() }
    }

    /// The replies of several runs, whose latencies together are `latencies`.
    pub(crate) fn sum<'a>(runs: impl Iterator<Item = &'a Self>, latencies: &Latencies) -> Self {
        let mut codes = StatusCounts::default();
        runs.for_each(|run| codes.merge(&run.codes));
        Self::new(codes, latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ReplyClass;

    #[test]
    fn codes_are_counted_and_each_class_has_its_latencies() {
        let (mut one, mut other) = (StatusCounts::default(), StatusCounts::default());
        [200, 404, 200].into_iter().for_each(|status| one.add(status));
        [200, 503].into_iter().for_each(|status| other.add(status));
        let mut latencies = Latencies::new();
        latencies.of_class(ReplyClass::Http4xx).record(7);
        let [one, other] = [one, other].map(|codes| StatusesRecord::new(codes, &Latencies::new()));
        let sum = StatusesRecord::sum([&one, &other].into_iter(), &latencies);
        assert_eq!(sum.codes.iter().collect::<Vec<_>>(), [(200, 3), (404, 1), (503, 1)]);
        assert_eq!(sum.latency_ns.keys().collect::<Vec<_>>(), ["4xx"]);
        assert_eq!(sum.latency_ns["4xx"].max, Some(7));
    }
}
