//! The accept rate: how many connections a second all acceptors accept together.
//!
//! It is a token bucket with a token for each connection. The bucket holds a tenth of a second, and
//! at least one token. So in any second at most the rate and a tenth more are accepted. Instead of
//! tokens, the bucket stores when it will be full again.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::base::log_interval::LogInterval;
use crate::sync::Mutex;

const SECOND_NS: u64 = 1_000_000_000;

/// Tokens that the bucket holds, as a part of those of a second. The longer it is, the larger the
/// burst after a pause.
const BURST_PER_SECOND: u64 = 10;

/// An acceptor without a token waits for the tokens of this part of a second, so that it wakes at
/// most about twice as often.
const WAKES_PER_SECOND: u64 = 100;

/// The bucket, shared by all acceptors of a server. It is locked for each accepted connection.
#[derive(Debug)]
pub(in crate::server) struct AcceptRate {
    per_second: u64,
    /// The time that the tokens of a full bucket take to come.
    burst_ns: u64,
    /// The time base.
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the bucket is full, if no token is taken until then.
    full_at_ns: u64,
    log: LogInterval,
}

impl AcceptRate {
    /// A full bucket.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let per_second = u64::from(per_second.get());
        let burst = (per_second / BURST_PER_SECOND).max(1);
        let burst_ns = burst * SECOND_NS / per_second;
        Self { per_second, burst_ns, started: Instant::now(), state: Mutex::new(State::default()) }
    }

    /// Takes a token. If there is none, returns how long to wait before the next attempt.
    pub(super) fn try_take(&self, now: Instant) -> Result<(), Duration> {
        let now_ns = self.ns(now);
        let state = &mut *self.state.lock();
        let full_at_ns = state.full_at_ns.max(now_ns) + self.interval_ns();
        if full_at_ns <= now_ns + self.burst_ns {
            state.full_at_ns = full_at_ns;
            return Ok(());
        }
        let more_ns = SECOND_NS / WAKES_PER_SECOND;
        let goal_ns = full_at_ns.max(state.full_at_ns + more_ns);
        Err(Duration::from_nanos(goal_ns - self.burst_ns - now_ns))
    }

    /// Logs that connections wait, at most once a second.
    pub(super) fn log_wait(&self, now: Instant) {
        let Some(suppressed) = self.state.lock().log.next(now) else { return };
        log::warn!(
            target: "accept", accept_rate = self.per_second, suppressed;
            "connections wait in the backlog: more came than the accept rate allows"
        );
    }

    /// Returns a token for which no connection came.
    pub(super) fn put_back(&self) {
        let full_at_ns = &mut self.state.lock().full_at_ns;
        *full_at_ns = full_at_ns.saturating_sub(self.interval_ns());
    }

    /// The time that a token takes to come. The rates of the configuration make it at least a
    /// microsecond, so its rounding is no more than a thousandth.
    fn interval_ns(&self) -> u64 {
        SECOND_NS / self.per_second
    }

    fn ns(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started).as_nanos();
        u64::try_from(since).expect("a server runs for less than 584 years")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u32) -> AcceptRate {
        AcceptRate::new(NonZeroU32::new(per_second).unwrap())
    }

    /// How many tokens there are at this time; takes them all.
    fn take_all(rate: &AcceptRate, at: Duration) -> usize {
        let now = rate.started + at;
        (0..).take_while(|_| rate.try_take(now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_a_tenth_of_a_second_and_at_least_one_connection() {
        for (per_second, burst) in [(1, 1), (9, 1), (25, 2), (1000, 100), (1_000_000, 100_000)] {
            let rate = rate(per_second);
            assert_eq!(take_all(&rate, Duration::ZERO), burst);
            assert_eq!(take_all(&rate, Duration::from_secs(60)), burst, "no more after a pause");
        }
    }

    #[test]
    fn a_token_that_was_put_back_can_be_taken_again() {
        let rate = rate(10);
        assert_eq!(rate.try_take(rate.started), Ok(()));
        assert_eq!(rate.try_take(rate.started), Err(Duration::from_millis(100)));
        rate.put_back();
        rate.put_back();
        assert_eq!(take_all(&rate, Duration::ZERO), 1, "a bucket holds no more than its burst");
    }

    proptest! {
        /// Acceptors that wait as long as they are asked to, and a little longer.
        #[test]
        fn a_busy_server_accepts_at_its_rate_and_wakes_seldom(
            per_second in 1..=3_000_u32,
            lateness_us in 0..100_u64,
        ) {
            const SECONDS: u64 = 3;
            let rate = rate(per_second);
            let (mut now, mut accepted, mut wakes) = (Duration::ZERO, 0_u64, 0_u64);
            while now < Duration::from_secs(SECONDS) {
                match rate.try_take(rate.started + now) {
                    Ok(()) => accepted += 1,
                    Err(wait) => {
                        now += wait + Duration::from_micros(lateness_us);
                        wakes += 1;
                    }
                }
            }
            let expected = u64::from(per_second) * SECONDS;
            let burst = expected / SECONDS / BURST_PER_SECOND + 1;
            prop_assert!(accepted <= expected + burst + expected / 500, "{accepted} {expected}");
            prop_assert!(accepted >= expected * 98 / 100 - 1, "{accepted} {expected}");
            prop_assert!(wakes <= 2 * WAKES_PER_SECOND * SECONDS, "{wakes}");
        }
    }
}
