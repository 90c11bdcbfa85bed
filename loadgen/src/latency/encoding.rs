//! Latencies as messages between loaders. Nothing is lost: buckets, exact extremes, the sum.
//!
//! A histogram is HdrHistogram's V2 form in base64. It is not compressed: its buckets are few and
//! small, and compression would take processor time that a loader needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer as HistogramReader, Serializer as _, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::batches::{BATCHES, BatchCounts, LEVELS};
use super::{Latencies, Latency};

#[derive(Serialize, Deserialize)]
struct EncodedLatency {
    histogram: String,
    min_ns: u64,
    max_ns: u64,
    sum_ns: u128,
    saturated: u64,
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(&self.histogram, &mut bytes);
        written.map_err(|error| S::Error::custom(format!("{error:?}")))?;
        EncodedLatency {
            histogram: BASE64.encode(&bytes),
            min_ns: self.min_ns,
            max_ns: self.max_ns,
            sum_ns: self.sum_ns,
            saturated: self.saturated,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = EncodedLatency::deserialize(deserializer)?;
        let bytes = BASE64.decode(&encoded.histogram).map_err(D::Error::custom)?;
        let histogram = HistogramReader::new().deserialize(&mut bytes.as_slice());
        let histogram = histogram.map_err(|error| D::Error::custom(format!("{error:?}")))?;
        let latency = Self::from_histogram(histogram)
            .ok_or_else(|| D::Error::custom("a histogram with other bounds than loadgen's"))?;
        let EncodedLatency { min_ns, max_ns, sum_ns, saturated, .. } = encoded;
        Ok(Self { min_ns, max_ns, sum_ns, saturated, ..latency })
    }
}

/// The distributions that have values, by name.
impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.recorded())
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::new();
        for (name, latency) in Vec::<(String, Latency)>::deserialize(deserializer)? {
            let known = latencies.by_name(&name);
            *known.ok_or_else(|| D::Error::custom(format!("no distribution '{name}'")))? = latency;
        }
        Ok(latencies)
    }
}

/// The counts that are not zero, each with its place.
impl Serialize for BatchCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let places = (0_u32..).zip(&self.counts);
        serializer.collect_seq(places.filter(|(_, count)| **count > 0))
    }
}

impl<'de> Deserialize<'de> for BatchCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let places = Vec::<(u32, u32)>::deserialize(deserializer)?;
        let mut counts = Vec::new();
        if !places.is_empty() {
            counts.resize(BATCHES * LEVELS, 0);
        }
        for (place, count) in places {
            let known = counts.get_mut(place as usize);
            *known.ok_or_else(|| D::Error::custom(format!("no place {place} in batches")))? = count;
        }
        Ok(Self { counts })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::{Batches, Distribution, ReplyClass};
    use crate::schedule::Window;

    fn copy<T: Serialize + for<'a> Deserialize<'a>>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    #[test]
    fn what_is_sent_is_received_bit_for_bit() {
        let mut latencies = Latencies::new();
        for value_ns in [1, 17, 1_000_003, 9_000_013, 61_000_000_000] {
            latencies[Distribution::Response].record(value_ns);
            latencies.of_class(ReplyClass::Http5xx).record_n(value_ns, 3);
        }
        let received = copy(&latencies);
        let facts = |latencies: &Latencies| -> Vec<_> {
            let all = latencies.recorded().map(|(name, latency)| {
                let Latency { min_ns, max_ns, sum_ns, saturated, .. } = latency;
                (name, (*min_ns, *max_ns, *sum_ns, *saturated), latency.histogram.clone())
            });
            all.collect()
        };
        assert_eq!(facts(&received), facts(&latencies));
        assert_eq!(facts(&received).len(), 2);
    }

    #[test]
    fn batches_are_received_as_they_were_and_empty_ones_stay_empty() {
        let window = Window::new(0, Duration::from_nanos(100), Duration::from_nanos(640));
        let mut batches = Batches::new(window);
        [(100, 5), (109, 7), (739, 900_000)].iter().for_each(|&(intended_ns, value_ns)| {
            batches.record(Distribution::Service, intended_ns, value_ns);
        });
        assert_eq!(copy(&batches), batches);
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        let encoded = |name: &str, histogram: &str| {
            let exact = r#""min_ns":0,"max_ns":0,"sum_ns":0,"saturated":0"#;
            format!(r#"[["{name}", {{"histogram":"{histogram}",{exact}}}]]"#)
        };
        for (name, histogram) in [("other", ""), ("response", "AAAA"), ("response", "*")] {
            let text = encoded(name, histogram);
            assert!(serde_json::from_str::<Latencies>(&text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<BatchCounts>("[[4000000000, 1]]").is_err());
    }
}
