//! How a bufferevent obeys its own rate limit and that of its group.
//!
//! A direction asks how many bytes it may move before it moves any, and counts them afterwards.
//! Where none are left it is suspended, and a timer resumes it: its own, or that of the group. A
//! bufferevent without limits has no such state, and asks nothing.

use std::time::Duration;

use super::direction::{Direction, Suspended};
use super::error::BuffereventError;
use super::handle::BuffereventMut;
use super::limit_groups::{GroupId, Groups};
use super::state::{Bufferevent, Kind};
use super::table::{BuffereventId, HasBufferevents};
use crate::base::Registry;
use crate::event::{EventId, EventSpec, Fired, Interest};
use crate::rate_limit::{Direction as Way, RateLimit, TokenBucket};

/// Both ways.
pub(super) const WAYS: [Way; 2] = [Way::Read, Way::Write];

/// The rate limits of one bufferevent.
pub(super) struct Limits {
    id: BuffereventId,
    own: Option<OwnLimit>,
    /// Resumes what the own limit suspended. It is created when that happens first.
    pub(super) timer: Option<EventId>,
    group: Option<GroupId>,
}

/// A limit for one bufferevent alone.
struct OwnLimit {
    limit: RateLimit,
    read: TokenBucket,
    write: TokenBucket,
}

impl OwnLimit {
    fn new(limit: RateLimit, now_ns: u64) -> Self {
        let bucket = |way| TokenBucket::new(&limit, way, now_ns);
        Self { limit, read: bucket(Way::Read), write: bucket(Way::Write) }
    }

    fn bucket(&mut self, way: Way) -> &mut TokenBucket {
        match way {
            Way::Read => &mut self.read,
            Way::Write => &mut self.write,
        }
    }

    /// The bucket, with the tokens of all ticks that are over.
    fn refilled(&mut self, way: Way, now_ns: u64) -> &mut TokenBucket {
        let bucket = self.bucket(way);
        bucket.refill(now_ns);
        bucket
    }

    fn set_limit(&mut self, limit: RateLimit, now_ns: u64) {
        self.limit = limit;
        for way in WAYS {
            self.bucket(way).set_limit(&limit, way, now_ns);
        }
    }
}

/// Handles the timer of a bufferevent's own limit.
fn on_refill<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    let table = cx.bufferevents();
    let Some(state) = table.state_mut(id) else { return };
    state.obey_own_limit(registry);
    table.mark_changed(registry, id);
}

impl<C> Bufferevent<C> {
    pub(super) fn group(&self) -> Option<GroupId> {
        self.limits.as_ref()?.group
    }

    pub(super) fn direction_mut(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Read => &mut self.read,
            Way::Write => &mut self.write,
        }
    }

    /// Its limits, to set one.
    fn limits_mut(&mut self, id: BuffereventId) -> &mut Limits {
        self.limits
            .get_or_insert_with(|| Box::new(Limits { id, own: None, timer: None, group: None }))
    }

    /// Ends the membership in its group, and what that suspended.
    pub(super) fn forget_group(&mut self) {
        if let Some(limits) = &mut self.limits {
            limits.group = None;
        }
        for way in WAYS {
            self.direction_mut(way).suspended -= Suspended::GROUP_BANDWIDTH;
        }
    }
}

impl<C: HasBufferevents> Bufferevent<C> {
    /// How many bytes may move now, at most `max`. If it is none, the direction is suspended.
    #[inline]
    pub(super) fn allowed(
        &mut self,
        registry: &mut Registry<C>,
        groups: &mut Groups,
        way: Way,
        max: usize,
    ) -> usize {
        if self.limits.is_none() {
            return max;
        }
        let allowed = self.left(registry, groups, way);
        if allowed == 0 {
            self.suspend(registry, groups, way);
        }
        allowed.min(max)
    }

    /// Counts bytes that moved. If none are left, the direction is suspended.
    #[inline]
    pub(super) fn moved(
        &mut self,
        registry: &mut Registry<C>,
        groups: &mut Groups,
        way: Way,
        bytes: usize,
    ) {
        if self.limits.is_some() {
            self.count(registry, groups, way, bytes);
        }
    }

    #[inline(never)]
    fn count(&mut self, registry: &mut Registry<C>, groups: &mut Groups, way: Way, bytes: usize) {
        let Some(limits) = &mut self.limits else { return };
        if let Some(own) = &mut limits.own {
            own.bucket(way).take(bytes);
        }
        if let Some(group) = limits.group {
            groups.take(registry, group, way, bytes);
        }
        if self.left(registry, groups, way) == 0 {
            self.suspend(registry, groups, way);
        }
    }

    /// How many bytes its limits leave.
    #[inline(never)]
    fn left(&mut self, registry: &mut Registry<C>, groups: &mut Groups, way: Way) -> usize {
        let Some(limits) = &mut self.limits else { return usize::MAX };
        let now_ns = registry.now_ns();
        let own = limits.own.as_mut();
        let own = own.map_or(usize::MAX, |own| own.refilled(way, now_ns).available());
        let share = limits.group.map_or(usize::MAX, |group| groups.share(group, way, now_ns));
        own.min(share)
    }

    /// Suspends a direction for each limit that leaves nothing.
    #[cold]
    fn suspend(&mut self, registry: &mut Registry<C>, groups: &mut Groups, way: Way) {
        self.is_unsettled = true;
        if let Some(group) = self.group()
            && groups.share(group, way, registry.now_ns()) == 0
        {
            self.direction_mut(way).suspended |= Suspended::GROUP_BANDWIDTH;
        }
        self.obey_own_limit(registry);
    }

    /// Suspends or resumes both directions as the own limit says, and starts its timer.
    fn obey_own_limit(&mut self, registry: &mut Registry<C>) {
        let now_ns = registry.now_ns();
        let mut wait: Option<Duration> = None;
        for way in WAYS {
            let own = self.limits.as_mut().and_then(|limits| limits.own.as_mut());
            let bucket = own.map(|own| own.refilled(way, now_ns));
            let own_wait = bucket.filter(|bucket| bucket.available() == 0);
            let own_wait = own_wait.map(|bucket| bucket.wait(now_ns));
            let is_empty = own_wait.is_some();
            self.direction_mut(way).suspended.set(Suspended::BANDWIDTH, is_empty);
            wait = [wait, own_wait].into_iter().flatten().min();
        }
        self.set_timer(registry, wait);
    }

    fn set_timer(&mut self, registry: &mut Registry<C>, wait: Option<Duration>) {
        let Some(limits) = &mut self.limits else { return };
        match (wait, limits.timer) {
            (None, None) => {}
            (None, Some(timer)) => registry.del(timer),
            (Some(wait), Some(timer)) => start(registry, timer, wait),
            (Some(wait), None) => {
                let spec = EventSpec::timer().token(limits.id.token());
                let timer = registry.create(spec, on_refill::<C>);
                limits.timer = Some(timer);
                self.apply_priority(registry);
                start(registry, timer, wait);
            }
        }
    }
}

/// Starts a timer.
pub(super) fn start<C>(registry: &mut Registry<C>, timer: EventId, wait: Duration) {
    registry.add(timer, Some(wait)).expect("the timer exists, and needs no kernel");
}

/// The directions in `directions`.
pub(super) fn ways(directions: Interest) -> impl Iterator<Item = Way> {
    let both = [(Interest::READ, Way::Read), (Interest::WRITE, Way::Write)];
    both.into_iter().filter(move |(one, _)| directions.contains(*one)).map(|(_, way)| way)
}

/// Rate limits. They apply to a bufferevent with a socket; one below a filter can have them, too.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Limits how many bytes it reads and writes per tick, besides what its group allows; `None`
    /// removes the limit (libevent: `bufferevent_set_rate_limit`).
    ///
    /// A new limit begins with the tokens of one tick. A changed one keeps the balance. A direction
    /// that has bytes again goes on at once.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::NoSocket`] for a pair and a filter.
    pub fn set_rate_limit(&mut self, limit: Option<RateLimit>) -> Result<(), BuffereventError> {
        self.expect_socket()?;
        self.is_changed = true;
        let Self { table, registry, id, .. } = self;
        let state = table.resolve(*id)?;
        let now_ns = registry.now_ns();
        match limit {
            Some(limit) => match &mut state.limits_mut(*id).own {
                Some(own) => own.set_limit(limit, now_ns),
                none => *none = Some(OwnLimit::new(limit, now_ns)),
            },
            None => {
                if let Some(limits) = &mut state.limits {
                    limits.own = None;
                }
            }
        }
        state.obey_own_limit(registry);
        Ok(())
    }

    /// Its own limit (libevent: `bufferevent_get_token_bucket_cfg`).
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        Some(self.state_ref().limits.as_ref()?.own.as_ref()?.limit)
    }

    /// How many bytes its own limit lets it read now; less than 0 if it read more than that, and
    /// `None` without a limit (libevent: `bufferevent_get_read_limit`).
    pub fn read_limit(&mut self) -> Option<i64> {
        self.balance(Way::Read)
    }

    /// The same for writing (libevent: `bufferevent_get_write_limit`).
    pub fn write_limit(&mut self) -> Option<i64> {
        self.balance(Way::Write)
    }

    fn balance(&mut self, way: Way) -> Option<i64> {
        let now_ns = self.registry.now_ns();
        let own = self.state().limits.as_mut()?.own.as_mut()?;
        Some(own.refilled(way, now_ns).balance())
    }

    /// Removes tokens of its own limit in each of the directions, or adds them if `tokens` is
    /// negative (libevent: `bufferevent_decrement_read_limit`, `_write_limit`). Without a limit
    /// nothing happens.
    pub fn decrement_limit(&mut self, directions: Interest, tokens: i64) {
        self.is_changed = true;
        let Self { table, registry, id, .. } = self;
        let Some(state) = table.state_mut(*id) else { return };
        let now_ns = registry.now_ns();
        if let Some(own) = state.limits.as_mut().and_then(|limits| limits.own.as_mut()) {
            for way in ways(directions) {
                own.refilled(way, now_ns).decrement(tokens);
            }
        }
        state.obey_own_limit(registry);
    }

    /// How many bytes one read may take now: the least of its
    /// [single maximum](Self::set_max_single), its own limit and its share of the group's
    /// (libevent: `bufferevent_get_max_to_read`).
    pub fn max_to_read(&mut self) -> usize {
        self.max_to(Way::Read)
    }

    /// The same for one write (libevent: `bufferevent_get_max_to_write`).
    pub fn max_to_write(&mut self) -> usize {
        self.max_to(Way::Write)
    }

    fn max_to(&mut self, way: Way) -> usize {
        let Self { table, registry, id, .. } = self;
        let Some((state, groups)) = table.state_and_groups(*id) else { return 0 };
        let left = state.left(registry, groups, way);
        left.min(state.direction_mut(way).max_single)
    }

    /// Makes it a member of a group, and of no other (libevent:
    /// `bufferevent_add_to_rate_limit_group`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::StaleGroup`], and [`BuffereventError::NoSocket`] for a pair and a
    /// filter. It stays in its earlier group then.
    pub fn join_group(&mut self, group: GroupId) -> Result<(), BuffereventError> {
        self.expect_socket()?;
        if !self.table.groups.contains(group) {
            return Err(BuffereventError::StaleGroup(group));
        }
        self.leave_group();
        let id = self.id;
        self.table.groups.join(group, id);
        self.state().limits_mut(id).group = Some(group);
        Ok(())
    }

    /// Ends its membership in its group, if it has one (libevent:
    /// `bufferevent_remove_from_rate_limit_group`).
    pub fn leave_group(&mut self) {
        let Some(group) = self.group() else { return };
        self.is_changed = true;
        self.table.groups.leave(group, self.id);
        self.state().forget_group();
    }

    /// The group of which it is a member.
    #[must_use]
    pub fn group(&self) -> Option<GroupId> {
        self.state_ref().group()
    }

    fn expect_socket(&self) -> Result<(), BuffereventError> {
        match self.state_ref().kind {
            Kind::Socket(_) => Ok(()),
            _ => Err(BuffereventError::NoSocket(self.id)),
        }
    }
}
