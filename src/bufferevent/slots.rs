//! Slots with generational ids, in which a table has its bufferevents, groups and listeners.

use std::fmt;
use std::num::NonZeroU32;

use crate::event::Token;

/// Identifies what one slot holds; *stale* once that was removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId {
    index: u32,
    generation: NonZeroU32,
}

impl SlotId {
    /// The id as the token of an event.
    pub(super) fn token(self) -> Token {
        Token(u64::from(self.index) | u64::from(self.generation.get()) << 32)
    }

    /// The id in a token that [`token`](Self::token) made.
    pub(super) fn from_token(token: Token) -> Option<Self> {
        let generation = NonZeroU32::new((token.0 >> 32) as u32)?;
        Some(Self { index: token.0 as u32, generation })
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Values by their ids.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// No slots. It allocates nothing.
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, value: T) -> SlotId {
        self.insert_with(|_| value)
    }

    /// Inserts what `make` makes of its id.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(SlotId) -> T) -> SlotId {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            let id = SlotId { index, generation: slot.generation };
            slot.value = Some(make(id));
            return id;
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 values");
        let id = SlotId { index, generation: NonZeroU32::MIN };
        let value = Some(make(id));
        self.slots.push(Slot { generation: id.generation, value });
        id
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        // A slot whose generations are used up is not used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        slot.value.take()
    }

    pub(super) fn get(&self, id: SlotId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }
}

/// Makes a type of ids that differs from the others.
macro_rules! slot_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub(super) $crate::bufferevent::slots::SlotId);

        impl $name {
            /// The id as the token of its events.
            pub(super) fn token(self) -> $crate::event::Token {
                self.0.token()
            }

            /// The id in a token that [`token`](Self::token) made.
            pub(super) fn from_token(token: $crate::event::Token) -> Option<Self> {
                $crate::bufferevent::slots::SlotId::from_token(token).map(Self)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(super) use slot_id;
