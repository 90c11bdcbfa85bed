//! A token bucket: how many bytes may be transferred now, and when more.

use std::time::Duration;

use super::limit::{Bandwidth, Direction, RateLimit};

/// The bytes that one direction may transfer (libevent: `ev_token_bucket`).
///
/// It starts with `rate` tokens, each one byte. A tick adds `rate` tokens, up to `burst`. The
/// balance may become negative: what was transferred beyond it counts against later ticks.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Tokens per tick.
    rate: i64,
    /// The most tokens after a tick.
    burst: i64,
    tick_ns: u64,
    balance: i64,
    /// When the last tick was that is in the balance.
    ticked_at_ns: u64,
}

impl TokenBucket {
    /// A bucket whose first tick begins now.
    pub(crate) fn new(limit: &RateLimit, direction: Direction, now_ns: u64) -> Self {
        let Bandwidth { rate, burst } = limit.of(direction);
        let (rate, burst) = (tokens(rate), tokens(burst));
        Self { rate, burst, tick_ns: limit.tick_ns(), balance: rate, ticked_at_ns: now_ns }
    }

    /// Changes the limit. Ticks that are over count by the old one. The balance stays, up to the
    /// new burst: it may be spent already.
    pub(crate) fn set_limit(&mut self, limit: &RateLimit, direction: Direction, now_ns: u64) {
        self.refill(now_ns);
        let new = Self::new(limit, direction, self.ticked_at_ns);
        *self = Self { balance: self.balance.min(new.burst), ..new };
    }

    /// The tokens, less than 0 if more was transferred (libevent:
    /// `bufferevent_get_read_limit` and `bufferevent_get_write_limit`).
    pub(crate) fn balance(&self) -> i64 {
        self.balance
    }

    /// How many bytes may be transferred now. If it is 0, the direction is to be suspended for
    /// [`wait`](Self::wait).
    pub(crate) fn available(&self) -> usize {
        usize::try_from(self.balance).unwrap_or(0)
    }

    /// Tokens per tick.
    pub(crate) fn rate(&self) -> i64 {
        self.rate
    }

    /// Counts transferred bytes.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.decrement(tokens(bytes as u64));
    }

    /// Takes back what was counted and is not to be transferred.
    #[cfg(feature = "server")]
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.decrement(-tokens(bytes as u64));
    }

    /// Removes tokens by hand, or adds them if `tokens` is negative (libevent:
    /// `bufferevent_decrement_read_limit` and `bufferevent_decrement_write_limit`). The next tick
    /// removes what is above the burst.
    pub(crate) fn decrement(&mut self, tokens: i64) {
        self.balance = self.balance.saturating_sub(tokens);
    }

    /// Adds the tokens of all ticks that have ended. A clock that went back adds none.
    pub(crate) fn refill(&mut self, now_ns: u64) {
        let ticks = now_ns.saturating_sub(self.ticked_at_ns) / self.tick_ns;
        if ticks > 0 {
            self.ticked_at_ns += ticks * self.tick_ns;
            // It fits: a tick is at least 2^19 ns, so there are less than 2^45.
            let balance = i128::from(self.balance) + i128::from(self.rate) * i128::from(ticks);
            self.balance = i64::try_from(balance).unwrap_or(i64::MAX).min(self.burst);
        }
    }

    /// How long it takes until bytes may be transferred again.
    pub(crate) fn wait(&self, now_ns: u64) -> Duration {
        self.wait_for(1, now_ns)
    }

    /// How long it takes until the balance is at least `goal`, which is at most the burst.
    pub(crate) fn wait_for(&self, goal: i64, now_ns: u64) -> Duration {
        let missing = i128::from(goal) - i128::from(self.balance);
        if missing <= 0 {
            return Duration::ZERO;
        }
        let rate = i128::from(self.rate);
        let ticks = (missing + rate - 1) / rate;
        let ticks_ns = ticks.saturating_mul(self.tick_ns.into());
        let due_ns = ticks_ns.saturating_add(self.ticked_at_ns.into());
        let wait_ns = (due_ns - i128::from(now_ns)).max(0);
        Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

/// A number of bytes as tokens. A limit above 2^63 - 1 is one of 2^63 - 1, which is none either.
fn tokens(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
