//! One duration for many events, by what the base has for that.

use std::time::Duration;

use evshard::{EventId, Registry, Result};

/// What the results say about how it was done.
pub(crate) const HOW: &str = "plain timers of one duration";

/// The duration as the base knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommonTimeout(Duration);

impl CommonTimeout {
    pub(crate) fn open<C>(_: &mut Registry<C>, duration: Duration) -> Result<Self> {
        Ok(Self(duration))
    }

    pub(crate) fn add<C>(self, registry: &mut Registry<C>, id: EventId) -> Result<()> {
        registry.add(id, Some(self.0))
    }
}
