//! The table of a context's bufferevents, and their ids.

use std::collections::VecDeque;
use std::fmt;

use super::error::BuffereventError;
use super::limit_groups::Groups;
use super::listener::Listener;
use super::slots::{Slots, slot_id};
use super::state::Bufferevent;
use crate::base::Registry;
use crate::connect::Resolver;
use crate::event::{EventId, EventSpec};

slot_id! {
    /// Identifies one bufferevent of one table; `Copy`, 8 bytes (so is `Option<BuffereventId>`).
    ///
    /// Once the bufferevent is freed its id is *stale* and stays so, as that of an event.
    BuffereventId
}

/// A context that has bufferevents. The handlers of their events find the table by it.
///
/// ```
/// use evshard::{Bufferevents, HasBufferevents};
///
/// #[derive(Default)]
/// struct App {
///     bufferevents: Bufferevents<Self>,
/// }
///
/// impl HasBufferevents for App {
///     fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
///         &mut self.bufferevents
///     }
/// }
/// ```
pub trait HasBufferevents: Sized + 'static {
    /// Its table, always the same one.
    fn bufferevents(&mut self) -> &mut Bufferevents<Self>;
}

/// The bufferevents of one context, whose events are those of one event base.
///
/// Creating one returns its id; [`get`](Self::get) gives access to it.
/// [`free`](Self::free) ends it, and so does dropping the table.
pub struct Bufferevents<C> {
    bufferevents: Slots<Box<Bufferevent<C>>>,
    pub(super) groups: Groups,
    pub(super) listeners: Slots<Listener<C>>,
    /// Those that changed outside of a call of their own: each is served once.
    pub(super) changed: VecDeque<BuffereventId>,
    /// The event that serves them, if no other event does.
    pub(super) serve_event: Option<EventId>,
    /// The event whose handler serves them now.
    pub(super) serving: Option<EventId>,
    /// The one that it serves.
    pub(super) current: Option<BuffereventId>,
    /// Looks host names up, once that is needed.
    pub(super) resolver: Option<Resolver>,
    /// How many connects were begun.
    pub(super) connects: u64,
}

impl<C> Bufferevents<C> {
    /// An empty table. It allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bufferevents: Slots::new(),
            groups: Groups::new(),
            listeners: Slots::new(),
            changed: VecDeque::new(),
            serve_event: None,
            serving: None,
            current: None,
            resolver: None,
            connects: 0,
        }
    }

    /// How many bufferevents exist.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bufferevents.iter().count()
    }

    /// Whether none exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bufferevents.iter().next().is_none()
    }

    /// Whether the id is of a bufferevent that exists.
    #[must_use]
    pub fn contains(&self, id: BuffereventId) -> bool {
        self.state(id).is_some()
    }

    pub(super) fn insert(&mut self, bufferevent: Bufferevent<C>) -> BuffereventId {
        BuffereventId(self.bufferevents.insert(Box::new(bufferevent)))
    }

    pub(super) fn remove(&mut self, id: BuffereventId) -> Option<Box<Bufferevent<C>>> {
        self.bufferevents.remove(id.0)
    }

    pub(super) fn state(&self, id: BuffereventId) -> Option<&Bufferevent<C>> {
        self.bufferevents.get(id.0).map(|state| &**state)
    }

    pub(super) fn state_mut(&mut self, id: BuffereventId) -> Option<&mut Bufferevent<C>> {
        self.bufferevents.get_mut(id.0).map(|state| &mut **state)
    }

    /// A bufferevent, and the groups of which one may limit it.
    pub(super) fn state_and_groups(
        &mut self,
        id: BuffereventId,
    ) -> Option<(&mut Bufferevent<C>, &mut Groups)> {
        let state = self.bufferevents.get_mut(id.0)?;
        Some((state, &mut self.groups))
    }

    pub(super) fn resolve(
        &mut self,
        id: BuffereventId,
    ) -> Result<&mut Bufferevent<C>, BuffereventError> {
        self.state_mut(id).ok_or(BuffereventError::Stale(id))
    }
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Has a bufferevent served after the running handler, because it changed.
    pub(super) fn mark_changed(&mut self, registry: &mut Registry<C>, id: BuffereventId) {
        // A panic of a handler may have left the event behind that served them.
        let is_serving = self.serving.is_some_and(|event| registry.is_running(event));
        let is_current = is_serving && self.current == Some(id);
        let Some(state) = self.state_mut(id) else { return };
        state.is_unsettled = true;
        if is_current {
            return;
        }
        if !std::mem::replace(&mut state.is_marked, true) {
            self.changed.push_back(id);
        }
        if !is_serving {
            self.schedule(registry);
        }
    }

    /// Has the changed bufferevents served by an event of their own.
    pub(super) fn schedule(&mut self, registry: &mut Registry<C>) {
        let event = *self.serve_event.get_or_insert_with(|| {
            registry.create(EventSpec::timer(), super::serve::on_scheduled::<C>)
        });
        registry.schedule(event).expect("the table never frees its event");
    }
}

impl<C> Default for Bufferevents<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Bufferevents<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.bufferevents.iter()).finish()
    }
}
