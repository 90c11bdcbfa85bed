//! Groups of bufferevents that share a rate limit (libevent: `bufferevent_rate_limit_group`).
//!
//! When a group has no bytes left, each member is suspended once it wants to move some, and not
//! before: an idle one costs nothing. The group's timer resumes all of them.

use std::fmt;

use super::direction::Suspended;
use super::limits::{WAYS, start, ways};
use super::rate_limit::{Change, Group, GroupTotals};
use super::slots::{Slots, slot_id};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use crate::base::Registry;
use crate::event::{EventId, EventSpec, Fired, Interest};
use crate::rate_limit::{Direction as Way, RateLimit};

slot_id! {
    /// Identifies one group of bufferevents that share a rate limit; `Copy`, 8 bytes.
    ///
    /// Once the group is removed its id is *stale*.
    GroupId
}

/// All groups of a table.
pub(super) struct Groups(Slots<LimitGroup>);

/// One group, and the timer that resumes its members. The timer is created when the group has no
/// bytes left for the first time.
struct LimitGroup {
    group: Group<BuffereventId>,
    timer: Option<EventId>,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Self(Slots::new())
    }

    pub(super) fn contains(&self, id: GroupId) -> bool {
        self.0.get(id.0).is_some()
    }

    pub(super) fn join(&mut self, id: GroupId, member: BuffereventId) {
        if let Some(LimitGroup { group, .. }) = self.0.get_mut(id.0) {
            group.add(member);
        }
    }

    pub(super) fn leave(&mut self, id: GroupId, member: BuffereventId) {
        if let Some(LimitGroup { group, .. }) = self.0.get_mut(id.0) {
            group.remove(member);
        }
    }

    /// How many bytes one member may move now.
    pub(super) fn share(&mut self, id: GroupId, way: Way, now_ns: u64) -> usize {
        let Some(LimitGroup { group, .. }) = self.0.get_mut(id.0) else { return usize::MAX };
        if !group.is_suspended(way) {
            // That can only add tokens, so nothing changes for the members.
            let _ = group.refill(way, now_ns);
        }
        group.share(way)
    }

    /// Counts bytes that a member moved.
    pub(super) fn take<C: HasBufferevents>(
        &mut self,
        registry: &mut Registry<C>,
        id: GroupId,
        way: Way,
        bytes: usize,
    ) {
        let Some(LimitGroup { group, .. }) = self.0.get_mut(id.0) else { return };
        if group.take(way, bytes) == Change::Suspend {
            self.start_timer(registry, id);
        }
    }

    /// Starts the timer for the direction that has bytes first, or stops it.
    fn start_timer<C: HasBufferevents>(&mut self, registry: &mut Registry<C>, id: GroupId) {
        let Some(LimitGroup { group, timer }) = self.0.get_mut(id.0) else { return };
        let now_ns = registry.now_ns();
        let suspended = WAYS.into_iter().filter(|way| group.is_suspended(*way));
        let Some(wait) = suspended.map(|way| group.wait(way, now_ns)).min() else {
            if let Some(timer) = *timer {
                registry.del(timer);
            }
            return;
        };
        let timer = *timer.get_or_insert_with(|| {
            registry.create(EventSpec::timer().token(id.token()), on_refill::<C>)
        });
        start(registry, timer, wait);
    }
}

/// Handles the timer of a group.
fn on_refill<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = GroupId::from_token(fired.token) else { return };
    cx.bufferevents().refill_group(registry, id);
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Adds a group, whose members share a limit (libevent: `bufferevent_rate_limit_group_new`).
    /// Bufferevents [join](crate::BuffereventMut::join_group) it.
    pub fn add_group(&mut self, registry: &mut Registry<C>, limit: RateLimit) -> GroupId {
        let now_ns = registry.now_ns();
        let group = Group::new(&limit, now_ns, now_ns);
        GroupId(self.groups.0.insert(LimitGroup { group, timer: None }))
    }

    /// Removes a group (libevent: `bufferevent_rate_limit_group_free`). Its members go on without
    /// its limit. A stale id has no effect.
    pub fn remove_group(&mut self, registry: &mut Registry<C>, id: GroupId) {
        let Some(LimitGroup { group, timer }) = self.groups.0.remove(id.0) else { return };
        if let Some(timer) = timer {
            registry.free(timer);
        }
        for member in group.members() {
            if let Some(state) = self.state_mut(member) {
                state.forget_group();
                self.mark_changed(registry, member);
            }
        }
    }

    /// Gives access to a group; `None` if it was removed.
    pub fn group<'a>(
        &'a mut self,
        registry: &'a mut Registry<C>,
        id: GroupId,
    ) -> Option<GroupMut<'a, C>> {
        self.groups.contains(id).then_some(GroupMut { table: self, registry, id })
    }

    /// Adds the tokens of the ticks that are over, and resumes the members that may go on.
    fn refill_group(&mut self, registry: &mut Registry<C>, id: GroupId) {
        let now_ns = registry.now_ns();
        for way in WAYS {
            let Some(LimitGroup { group, .. }) = self.groups.0.get_mut(id.0) else { return };
            if group.refill(way, now_ns) == Change::Resume {
                self.resume_members(registry, id, way);
            }
        }
        self.groups.start_timer(registry, id);
    }

    /// Resumes the members that were suspended, each time beginning with another one.
    fn resume_members(&mut self, registry: &mut Registry<C>, id: GroupId, way: Way) {
        let Some(LimitGroup { group, .. }) = self.groups.0.get_mut(id.0) else { return };
        let members: Vec<_> = group.resume_order(way).collect();
        for member in members {
            let Some(state) = self.state_mut(member) else { continue };
            let suspended = &mut state.direction_mut(way).suspended;
            if suspended.contains(Suspended::GROUP_BANDWIDTH) {
                *suspended -= Suspended::GROUP_BANDWIDTH;
                self.mark_changed(registry, member);
            }
        }
    }
}

/// A group, together with the registry of its base (libevent:
/// `struct bufferevent_rate_limit_group`).
///
/// [`Bufferevents::group`] returns it.
pub struct GroupMut<'a, C: HasBufferevents> {
    table: &'a mut Bufferevents<C>,
    registry: &'a mut Registry<C>,
    id: GroupId,
}

impl<C: HasBufferevents> GroupMut<'_, C> {
    /// Changes the limit (libevent: `bufferevent_rate_limit_group_set_cfg`). The balance stays.
    pub fn set_limit(&mut self, limit: RateLimit) {
        let now_ns = self.registry.now_ns();
        self.state().set_limit(&limit, now_ns);
        self.table.refill_group(self.registry, self.id);
    }

    /// Sets the least share of a member in bytes, 64 by default (libevent:
    /// `bufferevent_rate_limit_group_set_min_share`). Where it is above the rate, the rate counts.
    /// It is at least 1.
    pub fn set_min_share(&mut self, bytes: usize) {
        self.state().set_min_share(bytes);
        self.table.refill_group(self.registry, self.id);
    }

    /// How many bytes its members may read now; less than 0 if they read more than that (libevent:
    /// `bufferevent_rate_limit_group_get_read_limit`).
    pub fn read_limit(&mut self) -> i64 {
        self.balance(Way::Read)
    }

    /// The same for writing (libevent: `bufferevent_rate_limit_group_get_write_limit`).
    pub fn write_limit(&mut self) -> i64 {
        self.balance(Way::Write)
    }

    fn balance(&mut self, way: Way) -> i64 {
        self.table.refill_group(self.registry, self.id);
        self.state().balance(way)
    }

    /// Removes tokens in each of the directions, or adds them if `tokens` is negative (libevent:
    /// `bufferevent_rate_limit_group_decrement_read`, `_write`). Totals do not count them.
    pub fn decrement_limit(&mut self, directions: Interest, tokens: i64) {
        self.table.refill_group(self.registry, self.id);
        for way in ways(directions) {
            if self.state().decrement(way, tokens) == Change::Resume {
                self.table.resume_members(self.registry, self.id, way);
            }
        }
        self.table.groups.start_timer(self.registry, self.id);
    }

    /// The bytes that its members moved since it was added, or since the last reset (libevent:
    /// `bufferevent_rate_limit_group_get_totals`).
    #[must_use]
    pub fn totals(&self) -> GroupTotals {
        self.state_ref().totals()
    }

    /// Sets the totals to 0 (libevent: `bufferevent_rate_limit_group_reset_totals`).
    pub fn reset_totals(&mut self) {
        self.state().reset_totals();
    }

    /// How many members it has.
    #[must_use]
    pub fn members(&self) -> usize {
        self.state_ref().len()
    }

    fn state_ref(&self) -> &Group<BuffereventId> {
        let group = self.table.groups.0.get(self.id.0);
        &group.expect("it exists as long as this access").group
    }

    fn state(&mut self) -> &mut Group<BuffereventId> {
        let group = self.table.groups.0.get_mut(self.id.0);
        &mut group.expect("it exists as long as this access").group
    }
}

impl<C: HasBufferevents> fmt::Debug for GroupMut<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupMut").field(&self.id).finish()
    }
}
