//! A bucket: examples, extreme values, and random operations against a naive model.

use std::time::Duration;

use proptest::prelude::*;

use crate::rate_limit::{Direction, RateLimit, TokenBucket};

const MS: u64 = 1_000_000;

fn limit(rate: u64, burst: u64, tick: Duration) -> RateLimit {
    RateLimit::new(1, 1, rate, burst).unwrap().with_tick(tick).unwrap()
}

/// A bucket for writes whose first tick begins at 0.
fn bucket(rate: u64, burst: u64, tick_ms: u64) -> TokenBucket {
    TokenBucket::new(&limit(rate, burst, Duration::from_millis(tick_ms)), Direction::Write, 0)
}

#[test]
fn a_bucket_starts_with_one_ticks_tokens_and_saves_up_to_its_burst() {
    let mut bucket = bucket(100, 250, 10);
    assert_eq!(bucket.available(), 100);
    for (now_ms, expected) in [(9, 100), (10, 200), (19, 200), (20, 250), (1_000, 250)] {
        bucket.refill(now_ms * MS);
        assert_eq!(bucket.available(), expected, "at {now_ms} ms");
    }
}

#[test]
fn what_was_transferred_beyond_the_balance_counts_against_later_ticks() {
    let mut bucket = bucket(100, 250, 10);
    bucket.take(350);
    assert_eq!((bucket.balance(), bucket.available()), (-250, 0));
    // Three ticks make it 50. The wait is as long before, within and after the ticks on the way.
    for (now_ms, wait_ms) in [(0, 30), (4, 26), (15, 15), (29, 1), (30, 0), (31, 0)] {
        assert_eq!(bucket.wait(now_ms * MS), Duration::from_millis(wait_ms), "at {now_ms} ms");
    }
    bucket.refill(29 * MS);
    assert_eq!((bucket.available(), bucket.wait(29 * MS)), (0, Duration::from_millis(1)));
    bucket.refill(30 * MS);
    assert_eq!((bucket.available(), bucket.wait(30 * MS)), (50, Duration::ZERO));
}

#[test]
fn a_balance_of_zero_waits_for_one_tick() {
    let mut bucket = bucket(1, 1, 5);
    bucket.take(1);
    assert_eq!(bucket.wait(2 * MS), Duration::from_millis(3));
}

#[test]
fn tokens_added_by_hand_last_until_the_next_tick() {
    let mut bucket = bucket(10, 20, 1);
    bucket.decrement(-90);
    assert_eq!(bucket.available(), 100);
    bucket.refill(MS - 1);
    assert_eq!(bucket.available(), 100);
    bucket.refill(MS);
    assert_eq!(bucket.available(), 20);
}

#[test]
fn a_new_limit_keeps_what_is_spent_and_the_time_since_the_last_tick() {
    let mut bucket = bucket(100, 400, 10);
    bucket.take(60);
    bucket.refill(19 * MS);
    assert_eq!(bucket.available(), 140);
    let faster = limit(7, 50, Duration::from_millis(2));
    // The tick at 20 ms counts by the old limit; then 4 ms are 2 ticks of the new one.
    bucket.set_limit(&faster, Direction::Write, 24 * MS);
    assert_eq!(bucket.available(), 50);
    bucket.take(50);
    bucket.refill(24 * MS);
    assert_eq!(bucket.available(), 14);
}

#[test]
fn a_clock_that_goes_back_adds_no_tokens_and_removes_none() {
    let tick = Duration::from_millis(1);
    let mut bucket = TokenBucket::new(&limit(1, 9, tick), Direction::Write, 100 * MS);
    bucket.take(1);
    bucket.refill(0);
    assert_eq!(bucket.balance(), 0);
    assert_eq!(bucket.wait(99 * MS), Duration::from_millis(2));
    bucket.refill(101 * MS);
    assert_eq!(bucket.balance(), 1);
}

/// libevent's test `ratelimit_overflow` is one of these: a far jump, and a balance at its minimum.
#[test]
fn no_extreme_value_overflows_or_divides_by_zero() {
    for rate in [1, 2, 1 << 62, i64::MAX as u64, u64::MAX] {
        for tick in [Duration::from_millis(1), Duration::from_nanos(u64::MAX)] {
            for spent in [0, 1, usize::MAX] {
                for now_ns in [0, 1, MS, u64::MAX - 1, u64::MAX] {
                    let limit = limit(rate, u64::MAX, tick);
                    let mut bucket = TokenBucket::new(&limit, Direction::Write, 0);
                    bucket.take(spent);
                    bucket.take(spent);
                    let before = bucket.balance();
                    let wait = bucket.wait(now_ns);
                    bucket.refill(now_ns);
                    assert!(bucket.balance() >= before);
                    assert!(bucket.wait(now_ns) <= wait);
                    bucket.decrement(i64::MIN);
                    bucket.decrement(i64::MIN);
                    assert_eq!(bucket.available(), i64::MAX as usize);
                    bucket.refill(u64::MAX);
                }
            }
        }
    }
}

#[test]
fn an_unlimited_bucket_never_waits() {
    let mut bucket = bucket(RateLimit::UNLIMITED, RateLimit::UNLIMITED, 1);
    for now_ms in 0..1_000 {
        bucket.refill(now_ms * MS);
        bucket.take(usize::MAX / 4);
        bucket.refill((now_ms + 1) * MS);
        assert_eq!(bucket.wait((now_ms + 1) * MS), Duration::ZERO);
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Take(usize),
    Decrement(i64),
    /// Nanoseconds pass, and the bucket is refilled.
    Pass(u64),
    /// Nanoseconds pass, and the limit becomes this rate, burst less rate, and tick in ns.
    Set(u64, u64, u64, u64),
}

const TICK_NS: std::ops::Range<u64> = MS..20 * MS;

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => (0..500_usize).prop_map(Operation::Take),
        1 => (-200..200_i64).prop_map(Operation::Decrement),
        4 => (0..40 * MS).prop_map(Operation::Pass),
        1 => (MS..2_000 * MS).prop_map(Operation::Pass),
        1 => (0..30 * MS, 1..300_u64, 0..900_u64, TICK_NS)
            .prop_map(|(pass, rate, more, tick)| Operation::Set(pass, rate, more, tick)),
    ];
    prop::collection::vec(operation, 1..1_000)
}

/// The bucket as the documentation describes it: one tick after the other.
struct Naive {
    rate: i64,
    burst: i64,
    tick_ns: u64,
    balance: i64,
    next_tick_ns: u64,
}

impl Naive {
    fn refill(&mut self, now_ns: u64) {
        while self.next_tick_ns <= now_ns {
            self.balance = (self.balance + self.rate).min(self.burst);
            self.next_tick_ns += self.tick_ns;
        }
    }

    fn wait(&self, now_ns: u64) -> u64 {
        let (mut balance, mut at_ns) = (self.balance, now_ns);
        let mut next_tick_ns = self.next_tick_ns;
        while balance <= 0 {
            balance += self.rate;
            at_ns = next_tick_ns;
            next_tick_ns += self.tick_ns;
        }
        at_ns - now_ns
    }
}

proptest! {
    /// Some 128,000 steps.
    #[test]
    fn a_bucket_agrees_with_a_naive_model(
        rate in 1..300_u64, more in 0..900_u64, tick_ns in TICK_NS, start_ns in 0..MS,
        operations in operations()
    ) {
        let first = limit(rate, rate + more, Duration::from_nanos(tick_ns));
        let mut bucket = TokenBucket::new(&first, Direction::Write, start_ns);
        let rate = rate as i64;
        let (burst, next_tick_ns) = (rate + more as i64, start_ns + tick_ns);
        let mut naive = Naive { rate, burst, tick_ns, balance: rate, next_tick_ns };
        let mut now_ns = start_ns;
        for operation in operations {
            match operation {
                Operation::Take(bytes) => {
                    bucket.take(bytes);
                    naive.balance -= bytes as i64;
                }
                Operation::Decrement(tokens) => {
                    bucket.decrement(tokens);
                    naive.balance -= tokens;
                }
                Operation::Pass(passed_ns) => {
                    now_ns += passed_ns;
                    bucket.refill(now_ns);
                    naive.refill(now_ns);
                }
                Operation::Set(passed_ns, rate, more, tick_ns) => {
                    now_ns += passed_ns;
                    let limit = limit(rate, rate + more, Duration::from_nanos(tick_ns));
                    bucket.set_limit(&limit, Direction::Write, now_ns);
                    naive.refill(now_ns);
                    let last_tick_ns = naive.next_tick_ns - naive.tick_ns;
                    let burst = (rate + more) as i64;
                    naive = Naive {
                        rate: rate as i64,
                        burst,
                        tick_ns,
                        balance: naive.balance.min(burst),
                        next_tick_ns: last_tick_ns + tick_ns,
                    };
                    // The new ticks may be shorter than the time since the last old one.
                    bucket.refill(now_ns);
                    naive.refill(now_ns);
                }
            }
            prop_assert_eq!(bucket.balance(), naive.balance);
            prop_assert_eq!(bucket.available(), naive.balance.max(0) as usize);
            prop_assert_eq!(bucket.wait(now_ns), Duration::from_nanos(naive.wait(now_ns)));
        }
    }
}
