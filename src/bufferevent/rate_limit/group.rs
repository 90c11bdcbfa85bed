//! A group of bufferevents that share one limit.

use std::hash::Hash;
use std::time::Duration;

use super::members::Members;
use crate::rate_limit::{Direction, RateLimit, TokenBucket};

/// The least share of a member in bytes, unless another is set: less costs more than it transfers.
const MIN_SHARE: usize = 64;

/// 2^64 divided by the golden ratio. Multiples of it, modulo 2^64, are spread evenly, however many
/// there are (a Weyl sequence). Random numbers are not: of 30 members some would often be first.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What many bufferevents may transfer together (libevent: `bufferevent_rate_limit_group`).
///
/// Each direction has one bucket for all members. A member may transfer its [`share`](Self::share)
/// in one call. When a bucket is empty, the direction is suspended: the caller suspends all
/// [`members`](Self::members), and calls [`refill`](Self::refill) after [`wait`](Self::wait). When
/// that returns [`Change::Resume`], the caller resumes the members in
/// [`resume_order`](Self::resume_order).
#[derive(Clone, Debug)]
pub(crate) struct Group<M> {
    read: Shared,
    write: Shared,
    members: Members<M>,
    /// As it was set. Where a rate is less, the rate counts.
    min_share: usize,
}

/// What the members share of one direction.
#[derive(Clone, Debug)]
struct Shared {
    bucket: TokenBucket,
    is_suspended: bool,
    /// Bytes transferred.
    total: u64,
    /// Which member the next resume order begins with, as a fraction of 2^64 of all members.
    first: u64,
}

/// What the caller must do now with one direction of all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "members that are not suspended exceed the limit, and those not resumed stop"]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// Suspend all members.
    Suspend,
    /// Resume all members, in the resume order.
    Resume,
}

/// The bytes that a group has transferred (libevent: `bufferevent_rate_limit_group_get_totals`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupTotals {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl<M: Copy + Eq + Hash> Group<M> {
    /// A group without members. The seed determines with which members its resume orders begin.
    pub(crate) fn new(limit: &RateLimit, now_ns: u64, seed: u64) -> Self {
        let shared = |direction| Shared {
            bucket: TokenBucket::new(limit, direction, now_ns),
            is_suspended: false,
            total: 0,
            first: seed,
        };
        Self {
            read: shared(Direction::Read),
            write: shared(Direction::Write),
            members: Members::new(),
            min_share: MIN_SHARE,
        }
    }

    /// Changes the limit (libevent: `bufferevent_rate_limit_group_set_cfg`). A suspended direction
    /// stays suspended until the next refill.
    pub(crate) fn set_limit(&mut self, limit: &RateLimit, now_ns: u64) {
        self.read.bucket.set_limit(limit, Direction::Read, now_ns);
        self.write.bucket.set_limit(limit, Direction::Write, now_ns);
    }

    /// Sets the least share of a member in bytes, 64 by default (libevent:
    /// `bufferevent_rate_limit_group_set_min_share`). Where it is above the rate, the rate counts.
    /// 0 counts as 1: with a share of nothing a member would wait for a refill that no one starts.
    pub(crate) fn set_min_share(&mut self, bytes: usize) {
        self.min_share = bytes.max(1);
    }

    /// Adds a member; returns whether it is new. If a direction
    /// [is suspended](Self::is_suspended), the caller suspends it of the new member, too.
    pub(crate) fn add(&mut self, member: M) -> bool {
        self.members.add(member)
    }

    /// Removes a member; returns whether it was one. The caller resumes it.
    pub(crate) fn remove(&mut self, member: M) -> bool {
        self.members.remove(member)
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// All members.
    pub(crate) fn members(&self) -> impl Iterator<Item = M> + '_ {
        self.members.starting_at(0)
    }

    /// All members, from another one on each time: all are first to use new tokens equally often.
    pub(crate) fn resume_order(&mut self, direction: Direction) -> impl Iterator<Item = M> + '_ {
        let shared = self.shared_mut(direction);
        let fraction = u128::from(shared.first);
        shared.first = shared.first.wrapping_add(GOLDEN_STEP);
        let first = (fraction * self.members.len() as u128) >> 64;
        self.members.starting_at(first as usize)
    }

    /// Whether the members must not transfer in this direction.
    pub(crate) fn is_suspended(&self, direction: Direction) -> bool {
        self.shared(direction).is_suspended
    }

    /// How many bytes a member may transfer now, in one call: what is left, divided by the number
    /// of members, but at least the minimum. 0 while the direction is suspended.
    pub(crate) fn share(&self, direction: Direction) -> usize {
        let shared = self.shared(direction);
        if shared.is_suspended {
            return 0;
        }
        let equal = shared.bucket.available() / self.members.len().max(1);
        equal.max(shared.min_share(self.min_share))
    }

    /// The tokens of a direction, less than 0 if more was transferred (libevent:
    /// `bufferevent_rate_limit_group_get_read_limit` and its sibling).
    pub(crate) fn balance(&self, direction: Direction) -> i64 {
        self.shared(direction).bucket.balance()
    }

    /// Counts bytes that a member transferred.
    pub(crate) fn take(&mut self, direction: Direction, bytes: usize) -> Change {
        let shared = self.shared_mut(direction);
        shared.total = shared.total.saturating_add(bytes as u64);
        shared.bucket.take(bytes);
        self.settle(direction)
    }

    /// Removes tokens by hand, or adds them if `tokens` is negative (libevent:
    /// `bufferevent_rate_limit_group_decrement_read` and its sibling). Totals do not count them.
    pub(crate) fn decrement(&mut self, direction: Direction, tokens: i64) -> Change {
        self.shared_mut(direction).bucket.decrement(tokens);
        self.settle(direction)
    }

    /// Adds the tokens of all ticks that have ended.
    pub(crate) fn refill(&mut self, direction: Direction, now_ns: u64) -> Change {
        self.shared_mut(direction).bucket.refill(now_ns);
        self.settle(direction)
    }

    /// How long it takes until a refill resumes a suspended direction; 0 if it is not suspended.
    pub(crate) fn wait(&self, direction: Direction, now_ns: u64) -> Duration {
        let shared = self.shared(direction);
        if !shared.is_suspended {
            return Duration::ZERO;
        }
        shared.bucket.wait_for(shared.resumes_at(self.min_share), now_ns)
    }

    /// The bytes transferred since the group was made, or since the last reset.
    pub(crate) fn totals(&self) -> GroupTotals {
        GroupTotals { read: self.read.total, written: self.write.total }
    }

    /// Sets the totals to 0 (libevent: `bufferevent_rate_limit_group_reset_totals`).
    pub(crate) fn reset_totals(&mut self) {
        self.read.total = 0;
        self.write.total = 0;
    }

    /// Suspends a direction without tokens. Resumes it when one member can have its least share:
    /// with less, all would wake for a few bytes.
    fn settle(&mut self, direction: Direction) -> Change {
        let min_share = self.min_share;
        let shared = self.shared_mut(direction);
        let balance = shared.bucket.balance();
        if !shared.is_suspended && balance <= 0 {
            shared.is_suspended = true;
            Change::Suspend
        } else if shared.is_suspended && balance >= shared.resumes_at(min_share) {
            shared.is_suspended = false;
            Change::Resume
        } else {
            Change::None
        }
    }

    fn shared(&self, direction: Direction) -> &Shared {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    fn shared_mut(&mut self, direction: Direction) -> &mut Shared {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.members.check();
    }
}

impl Shared {
    /// The least share: as it was set, but not above the rate.
    fn min_share(&self, set: usize) -> usize {
        usize::try_from(self.bucket.rate()).map_or(set, |rate| set.min(rate))
    }

    /// The balance at which a suspended direction resumes.
    fn resumes_at(&self, min_share: usize) -> i64 {
        i64::try_from(self.min_share(min_share)).unwrap_or(i64::MAX).max(1)
    }
}
