//! The table of a context's bufferevents, and their ids.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;

use super::connect::Resolver;
use super::error::BuffereventError;
use super::state::Bufferevent;
use crate::base::Registry;
use crate::event::{EventId, EventSpec, Token};

/// Identifies one bufferevent of one table; `Copy`, 8 bytes (so is `Option<BuffereventId>`).
///
/// Once the bufferevent is freed its id is *stale* and stays so, as that of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BuffereventId {
    index: u32,
    generation: NonZeroU32,
}

impl BuffereventId {
    /// The id as the token of its events.
    pub(super) fn token(self) -> Token {
        Token(u64::from(self.index) | u64::from(self.generation.get()) << 32)
    }

    /// The id in a token that [`token`](Self::token) made.
    pub(super) fn from_token(token: Token) -> Option<Self> {
        let generation = NonZeroU32::new((token.0 >> 32) as u32)?;
        Some(Self { index: token.0 as u32, generation })
    }
}

impl fmt::Debug for BuffereventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuffereventId({self})")
    }
}

impl fmt::Display for BuffereventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
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
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
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

struct Slot<C> {
    generation: NonZeroU32,
    bufferevent: Option<Box<Bufferevent<C>>>,
}

impl<C> Bufferevents<C> {
    /// An empty table. It allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
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
        self.slots.iter().filter(|slot| slot.bufferevent.is_some()).count()
    }

    /// Whether none exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.bufferevent.is_none())
    }

    /// Whether the id is of a bufferevent that exists.
    #[must_use]
    pub fn contains(&self, id: BuffereventId) -> bool {
        self.state(id).is_some()
    }

    pub(super) fn insert(&mut self, bufferevent: Bufferevent<C>) -> BuffereventId {
        let bufferevent = Some(Box::new(bufferevent));
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.bufferevent = bufferevent;
            return BuffereventId { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 bufferevents");
        let generation = NonZeroU32::MIN;
        self.slots.push(Slot { generation, bufferevent });
        BuffereventId { index, generation }
    }

    pub(super) fn remove(&mut self, id: BuffereventId) -> Option<Box<Bufferevent<C>>> {
        self.state(id)?;
        let slot = &mut self.slots[id.index as usize];
        // A slot whose generations are used up is not used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        slot.bufferevent.take()
    }

    pub(super) fn state(&self, id: BuffereventId) -> Option<&Bufferevent<C>> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.bufferevent.as_deref() } else { None }
    }

    pub(super) fn state_mut(&mut self, id: BuffereventId) -> Option<&mut Bufferevent<C>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.bufferevent.as_deref_mut() } else { None }
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
        let Some(state) = self.state_mut(id) else { return };
        state.is_unsettled = true;
        // A panic of a handler may have left the event behind that served them.
        let is_serving = self.serving.is_some() && self.serving == registry.running();
        if is_serving && self.current == Some(id) {
            return;
        }
        let Some(state) = self.state_mut(id) else { return };
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
        let all = self.slots.iter().filter_map(|slot| slot.bufferevent.as_deref());
        f.debug_list().entries(all).finish()
    }
}
