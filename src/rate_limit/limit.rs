//! How many bytes may be read and written per tick: the configuration of buckets and groups.

use std::time::Duration;

/// The shortest tick: event loops wait no more precisely.
const TICK_MIN: Duration = Duration::from_millis(1);
/// The tick unless another one is set.
const TICK: Duration = Duration::from_secs(1);

/// How many bytes a bufferevent, or a group of them, may read and write (libevent:
/// `ev_token_bucket_cfg`).
///
/// Each direction has a rate and a burst. Per tick it may transfer `rate` bytes. What it does not
/// use it may use later, but at most `burst` bytes in one tick. It starts with `rate` bytes.
///
/// ```
/// use std::time::Duration;
/// use evshard::RateLimit;
///
/// // 1 MiB per second each way.
/// let simple = RateLimit::bytes_per_second(1 << 20)?;
/// assert_eq!((simple.read_rate(), simple.tick()), (1 << 20, Duration::from_secs(1)));
///
/// // Reads 10 kB in each 100 ms, or 40 kB after a pause. Writes are not limited.
/// let limit = RateLimit::new(10_000, 40_000, RateLimit::UNLIMITED, RateLimit::UNLIMITED)?
///     .with_tick(Duration::from_millis(100))?;
/// assert_eq!(limit.read_burst(), 40_000);
///
/// let error = RateLimit::new(10_000, 4_000, 1, 1).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the read burst of 4000 bytes is below the rate of 10000 bytes per tick; \
///      use a burst of at least the rate"
/// );
/// # Ok::<(), evshard::RateLimitError>(())
/// ```
///
/// A short tick makes an even flow. A long one makes bursts, and costs fewer wake-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    read: Bandwidth,
    write: Bandwidth,
    tick_ns: u64,
}

/// One direction's rate and burst, in bytes per tick. 1 ≤ rate ≤ burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bandwidth {
    pub(super) rate: u64,
    pub(super) burst: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the socket.
    Read,
    /// To the socket.
    Write,
}

/// Why a [`RateLimit`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateLimitError {
    /// A rate is 0.
    #[error("a {direction} rate of 0 bytes lets nothing pass; use at least 1 byte per tick")]
    ZeroRate {
        /// "read" or "write".
        direction: &'static str,
    },
    /// A burst is less than its rate.
    #[error(
        "the {direction} burst of {burst} bytes is below the rate of {rate} bytes per tick; \
         use a burst of at least the rate"
    )]
    BurstBelowRate {
        /// "read" or "write".
        direction: &'static str,
        /// Bytes per tick.
        rate: u64,
        /// Bytes.
        burst: u64,
    },
    /// The tick is too short or too long.
    #[error("a tick of {0:?} is out of range; use one of 1 ms to 584 years, such as 100 ms")]
    Tick(Duration),
}

impl RateLimit {
    /// As a rate and a burst: no limit.
    pub const UNLIMITED: u64 = u64::MAX;

    /// A limit with rates in bytes per tick and bursts in bytes. A tick is one second; see
    /// [`with_tick`](Self::with_tick).
    ///
    /// # Errors
    ///
    /// [`RateLimitError`] unless 1 ≤ rate ≤ burst in both directions.
    pub fn new(
        read_rate: u64,
        read_burst: u64,
        write_rate: u64,
        write_burst: u64,
    ) -> Result<Self, RateLimitError> {
        let read = Bandwidth::new("read", read_rate, read_burst)?;
        let write = Bandwidth::new("write", write_rate, write_burst)?;
        Self { read, write, tick_ns: 0 }.with_tick(TICK)
    }

    /// A limit of so many bytes per second in each direction, with a burst of one second.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::ZeroRate`] if `bytes` is 0.
    pub fn bytes_per_second(bytes: u64) -> Result<Self, RateLimitError> {
        Self::new(bytes, bytes, bytes, bytes)
    }

    /// The same bytes per tick, with ticks of this length.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::Tick`] if the tick is shorter than 1 ms or longer than 584 years.
    pub fn with_tick(self, tick: Duration) -> Result<Self, RateLimitError> {
        match u64::try_from(tick.as_nanos()) {
            Ok(tick_ns) if tick >= TICK_MIN => Ok(Self { tick_ns, ..self }),
            _ => Err(RateLimitError::Tick(tick)),
        }
    }

    /// How many bytes may be read per tick.
    #[must_use]
    pub fn read_rate(&self) -> u64 {
        self.read.rate
    }

    /// How many bytes may be read in one tick at most.
    #[must_use]
    pub fn read_burst(&self) -> u64 {
        self.read.burst
    }

    /// How many bytes may be written per tick.
    #[must_use]
    pub fn write_rate(&self) -> u64 {
        self.write.rate
    }

    /// How many bytes may be written in one tick at most.
    #[must_use]
    pub fn write_burst(&self) -> u64 {
        self.write.burst
    }

    /// How long a tick is.
    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_nanos(self.tick_ns)
    }

    pub(super) fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    pub(super) fn of(&self, direction: Direction) -> Bandwidth {
        match direction {
            Direction::Read => self.read,
            Direction::Write => self.write,
        }
    }
}

impl Bandwidth {
    fn new(direction: &'static str, rate: u64, burst: u64) -> Result<Self, RateLimitError> {
        if rate == 0 {
            return Err(RateLimitError::ZeroRate { direction });
        }
        if burst < rate {
            return Err(RateLimitError::BurstBelowRate { direction, rate, burst });
        }
        Ok(Self { rate, burst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some 584 years.
    const TICK_MAX: Duration = Duration::from_nanos(u64::MAX);

    #[test]
    fn a_rate_of_zero_or_above_its_burst_is_refused_in_each_direction() {
        for (limit, expected) in [
            (RateLimit::new(0, 1, 1, 1), RateLimitError::ZeroRate { direction: "read" }),
            (RateLimit::new(1, 1, 0, 0), RateLimitError::ZeroRate { direction: "write" }),
            (
                RateLimit::new(2, 1, 1, 1),
                RateLimitError::BurstBelowRate { direction: "read", rate: 2, burst: 1 },
            ),
            (
                RateLimit::new(1, 1, u64::MAX, 3),
                RateLimitError::BurstBelowRate { direction: "write", rate: u64::MAX, burst: 3 },
            ),
        ] {
            assert_eq!(limit, Err(expected));
        }
        assert!(RateLimit::bytes_per_second(0).is_err());
    }

    #[test]
    fn a_tick_is_at_least_a_millisecond_and_fits_64_bits_of_nanoseconds() {
        let limit = RateLimit::new(1, 2, 3, 4).unwrap();
        let hour = Duration::from_secs(3600);
        for tick in [TICK_MIN, hour, TICK_MAX] {
            assert_eq!(limit.with_tick(tick).map(|limit| limit.tick()), Ok(tick));
        }
        let nanosecond = Duration::from_nanos(1);
        for tick in [Duration::ZERO, TICK_MIN - nanosecond, TICK_MAX + nanosecond, Duration::MAX] {
            assert_eq!(limit.with_tick(tick), Err(RateLimitError::Tick(tick)));
        }
    }

    #[test]
    fn what_a_limit_was_made_with_can_be_read_back() {
        let limit = RateLimit::new(1, 2, 3, RateLimit::UNLIMITED).unwrap();
        assert_eq!((limit.read_rate(), limit.read_burst()), (1, 2));
        assert_eq!((limit.write_rate(), limit.write_burst()), (3, u64::MAX));
        assert_eq!(limit.tick(), Duration::from_secs(1));
    }
}
