//! A group: examples, fairness of the resume order, and random operations against a naive model.

use std::time::Duration;

use proptest::prelude::*;

use crate::bufferevent::rate_limit::group::{Change, Group, GroupTotals};
use crate::rate_limit::Direction::{self, Read, Write};
use crate::rate_limit::RateLimit;

const MS: u64 = 1_000_000;

/// Reads of 1,000 bytes and writes of 500 per tick of 10 ms.
fn limit() -> RateLimit {
    RateLimit::new(1_000, 4_000, 500, 500).unwrap().with_tick(Duration::from_millis(10)).unwrap()
}

fn group(members: u8) -> Group<u8> {
    let mut group = Group::new(&limit(), 0, 7);
    for member in 0..members {
        assert!(group.add(member));
    }
    group
}

#[test]
fn a_member_gets_an_equal_share_of_what_is_left_but_at_least_the_minimum() {
    let mut group = group(4);
    assert_eq!((group.share(Read), group.share(Write)), (250, 125));
    assert_eq!(group.take(Read, 250), Change::None);
    assert_eq!(group.share(Read), 187);
    assert_eq!(group.take(Read, 700), Change::None);
    assert_eq!((group.balance(Read), group.share(Read)), (50, 64));
    group.set_min_share(20);
    assert_eq!(group.share(Read), 20);
}

/// libevent's test `ratelimit_div_by_zero`.
#[test]
fn a_group_without_members_divides_by_none() {
    let mut group = group(0);
    assert_eq!(group.share(Read), 1_000);
    assert_eq!(group.resume_order(Read).count(), 0);
    assert_eq!(group.members().count(), 0);
}

#[test]
fn a_minimum_above_the_rate_is_the_rate_in_each_direction() {
    let mut group = group(100);
    group.set_min_share(600);
    assert_eq!((group.share(Read), group.share(Write)), (600, 500));
    group.set_min_share(usize::MAX);
    assert_eq!((group.share(Read), group.share(Write)), (1_000, 500));
    // It counts again when a limit allows it.
    let larger = RateLimit::bytes_per_second(1 << 20).unwrap();
    group.set_limit(&larger, 0);
    assert_eq!(group.share(Write), 1 << 20);
}

#[test]
fn an_exhausted_direction_is_suspended_alone_until_a_member_can_have_its_least_share() {
    let mut group = group(2);
    assert_eq!(group.take(Write, 500), Change::Suspend);
    assert_eq!((group.share(Write), group.share(Read)), (0, 500));
    assert!(group.is_suspended(Write) && !group.is_suspended(Read));
    // One that was under way.
    assert_eq!(group.take(Write, 940), Change::None);
    assert_eq!(group.wait(Write, 0), Duration::from_millis(30));
    assert_eq!(group.wait(Read, 0), Duration::ZERO);
    assert_eq!(group.refill(Write, 20 * MS), Change::None);
    assert_eq!(group.balance(Write), 60, "less than the minimum of 64");
    assert_eq!(group.refill(Write, 30 * MS), Change::Resume);
    assert_eq!(group.refill(Write, 40 * MS), Change::None);
    assert_eq!(group.share(Write), 250);
}

#[test]
fn a_rate_below_the_minimum_share_still_resumes() {
    let slow = RateLimit::bytes_per_second(1).unwrap();
    let mut group = Group::<u8>::new(&slow, 0, 1);
    assert_eq!(group.take(Read, 1), Change::Suspend);
    assert_eq!(group.wait(Read, 0), Duration::from_secs(1));
    assert_eq!(group.refill(Read, 1_000 * MS), Change::Resume);
    assert_eq!(group.share(Read), 1);
}

#[test]
fn tokens_removed_or_added_by_hand_suspend_and_resume() {
    let mut group = group(1);
    assert_eq!(group.decrement(Read, 1_000), Change::Suspend);
    assert_eq!(group.decrement(Read, -63), Change::None);
    assert_eq!(group.decrement(Read, -1), Change::Resume);
    assert_eq!(group.totals(), GroupTotals::default());
}

#[test]
fn a_larger_limit_ends_a_suspension_at_the_next_refill() {
    let mut group = group(1);
    assert_eq!(group.take(Read, 6_000), Change::Suspend);
    let fast = RateLimit::bytes_per_second(1 << 30).unwrap();
    group.set_limit(&fast.with_tick(Duration::from_millis(1)).unwrap(), 0);
    assert_eq!(group.wait(Read, 0), Duration::from_millis(1));
    assert_eq!(group.refill(Read, MS), Change::Resume);
}

#[test]
fn totals_count_both_directions_until_they_are_reset() {
    let mut group = group(3);
    for bytes in [10, 20] {
        assert_eq!(group.take(Read, bytes), Change::None);
        assert_eq!(group.take(Write, 2 * bytes), Change::None);
    }
    assert_eq!(group.totals(), GroupTotals { read: 30, written: 60 });
    group.reset_totals();
    assert_eq!(group.totals(), GroupTotals::default());
    assert_eq!(group.balance(Read), 970, "a reset gives no bytes back");
}

#[test]
fn all_members_are_first_to_resume_equally_often_even_in_a_short_time() {
    for (members, seed) in [(1, 0), (2, u64::MAX), (10, 1), (30, 2), (41, 3)] {
        let mut group = Group::new(&limit(), 0, seed);
        assert!((0..members).all(|member| group.add(member)));
        let mut first = |direction| group.resume_order(direction).next().unwrap();
        // Writes alternate with reads, and have an order of their own.
        let firsts: Vec<u8> =
            (0..10 * usize::from(members)).flat_map(|_| [first(Read), first(Write)]).collect();
        for direction in [0, 1] {
            let of_direction: Vec<u8> = firsts.iter().copied().skip(direction).step_by(2).collect();
            for rounds in of_direction.windows(5 * usize::from(members)) {
                for member in 0..members {
                    let times = rounds.iter().filter(|first| **first == member).count();
                    assert!((3..=7).contains(&times), "{member} of {members}: {times} times");
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Add(u8),
    Remove(u8),
    Take(Direction, usize),
    Decrement(Direction, i64),
    Refill(Direction, u64),
    SetMinShare(usize),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let direction = prop_oneof![Just(Read), Just(Write)];
    let operation = prop_oneof![
        2 => (0..20_u8).prop_map(Operation::Add),
        1 => (0..20_u8).prop_map(Operation::Remove),
        4 => (direction.clone(), 0..600_usize)
            .prop_map(|(direction, bytes)| Operation::Take(direction, bytes)),
        1 => (direction.clone(), -300..300_i64)
            .prop_map(|(direction, tokens)| Operation::Decrement(direction, tokens)),
        3 => (direction, 0..30 * MS)
            .prop_map(|(direction, passed_ns)| Operation::Refill(direction, passed_ns)),
        1 => (0..800_usize).prop_map(Operation::SetMinShare),
    ];
    prop::collection::vec(operation, 1..1_000)
}

/// One direction as the documentation describes it.
struct Naive {
    rate: i64,
    burst: i64,
    balance: i64,
    ticks: u64,
    is_suspended: bool,
    total: u64,
}

impl Naive {
    fn new(rate: i64, burst: i64) -> Self {
        Self { rate, burst, balance: rate, ticks: 0, is_suspended: false, total: 0 }
    }

    fn refill(&mut self, now_ns: u64) {
        while self.ticks < now_ns / (10 * MS) {
            self.ticks += 1;
            self.balance = (self.balance + self.rate).min(self.burst);
        }
    }

    fn change(&mut self, min_share: usize) -> Change {
        let resumes_at = (min_share as i64).min(self.rate).max(1);
        match self.is_suspended {
            false if self.balance <= 0 => {
                self.is_suspended = true;
                Change::Suspend
            }
            true if self.balance >= resumes_at => {
                self.is_suspended = false;
                Change::Resume
            }
            _ => Change::None,
        }
    }

    fn share(&self, members: usize, min_share: usize) -> usize {
        if self.is_suspended {
            return 0;
        }
        let equal = self.balance.max(0) as usize / members.max(1);
        equal.max(min_share.min(self.rate as usize))
    }
}

proptest! {
    /// Some 128,000 steps.
    #[test]
    fn a_group_agrees_with_a_naive_model(seed in any::<u64>(), operations in operations()) {
        let mut group = Group::new(&limit(), 0, seed);
        let mut naive = [Naive::new(1_000, 4_000), Naive::new(500, 500)];
        let mut members: Vec<u8> = Vec::new();
        let (mut now_ns, mut min_share) = (0, 64);
        for operation in operations {
            match operation {
                Operation::Add(member) => {
                    let is_new = !members.contains(&member);
                    prop_assert_eq!(group.add(member), is_new);
                    members.extend(is_new.then_some(member));
                }
                Operation::Remove(member) => {
                    prop_assert_eq!(group.remove(member), members.contains(&member));
                    members.retain(|other| *other != member);
                }
                Operation::Take(direction, bytes) => {
                    let naive = &mut naive[direction as usize];
                    naive.balance -= bytes as i64;
                    naive.total += bytes as u64;
                    prop_assert_eq!(group.take(direction, bytes), naive.change(min_share));
                }
                Operation::Decrement(direction, tokens) => {
                    let naive = &mut naive[direction as usize];
                    naive.balance -= tokens;
                    prop_assert_eq!(group.decrement(direction, tokens), naive.change(min_share));
                }
                Operation::Refill(direction, passed_ns) => {
                    now_ns += passed_ns;
                    let naive = &mut naive[direction as usize];
                    naive.refill(now_ns);
                    prop_assert_eq!(group.refill(direction, now_ns), naive.change(min_share));
                }
                Operation::SetMinShare(bytes) => {
                    group.set_min_share(bytes);
                    min_share = bytes.max(1);
                }
            }
            check(&mut group, &naive, &members, min_share);
            for direction in [Read, Write] {
                check_wait(&group, direction, now_ns);
            }
        }
    }
}

fn check(group: &mut Group<u8>, naive: &[Naive; 2], members: &[u8], min_share: usize) {
    group.check();
    let mut expected = members.to_vec();
    expected.sort_unstable();
    let plain: Vec<u8> = group.members().collect();
    let resumed: Vec<u8> = group.resume_order(Write).collect();
    for mut order in [plain, resumed] {
        order.sort_unstable();
        assert_eq!(order, expected);
    }
    assert_eq!(group.len(), members.len());
    for direction in [Read, Write] {
        let naive = &naive[direction as usize];
        assert_eq!(group.balance(direction), naive.balance);
        assert_eq!(group.is_suspended(direction), naive.is_suspended);
        assert_eq!(group.share(direction), naive.share(members.len(), min_share));
    }
    let [read, write] = naive;
    assert_eq!(group.totals(), GroupTotals { read: read.total, written: write.total });
}

/// A suspended direction resumes after its wait, and not a nanosecond before.
fn check_wait(group: &Group<u8>, direction: Direction, now_ns: u64) {
    let wait_ns = group.wait(direction, now_ns).as_nanos() as u64;
    if !group.is_suspended(direction) {
        assert_eq!(wait_ns, 0);
        return;
    }
    let resumes_at = |at_ns| {
        let mut later = group.clone();
        later.refill(direction, at_ns) == Change::Resume
    };
    assert!(resumes_at(now_ns + wait_ns));
    assert!(wait_ns == 0 || !resumes_at(now_ns + wait_ns - 1));
}
