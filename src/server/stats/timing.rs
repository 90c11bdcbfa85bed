//! A histogram of times: HDR, two significant digits, a nanosecond to a minute.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Times beyond this count as this: a minute in nanoseconds.
const HIGHEST_NS: u64 = 60_000_000_000;
/// Two digits are one percent, and keep a histogram at some thirty kilobytes.
const DIGITS: u8 = 2;

/// Times recorded by one thread. Serialized as its [`Percentiles`].
#[derive(Clone, Debug, PartialEq)]
pub struct Timing(Histogram<u64>);

/// What a histogram is told by, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many times were recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// Nine of ten are below.
    pub p90: u64,
    /// 99 of a hundred are below.
    pub p99: u64,
    /// 999 of a thousand are below.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Default for Timing {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS);
        Self(times.expect("bounds that the crate allows"))
    }
}

impl Timing {
    /// Records a time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// The percentiles of what was recorded.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            mean: self.0.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        }
    }
}

impl Serialize for Timing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.percentiles().serialize(serializer)
    }
}
