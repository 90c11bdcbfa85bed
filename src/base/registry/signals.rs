//! Events that wait for signals: an internal event of the base activates them.

use super::Registry;
use crate::error::Result;
use crate::event::{EventSpec, Fired, Interest, Ready};

impl<C> Registry<C> {
    #[inline(never)]
    pub(super) fn insert_on_signal(&mut self, index: u32, number: i32) -> Result<()> {
        self.open_signals()?;
        let events = &mut self.events;
        events.signals.insert(&mut events.slots, index, number)?;
        events.counts.add(events.slots[index].counted());
        Ok(())
    }

    /// Opens the source of deliveries before the first event that waits for a signal, and watches
    /// its descriptor.
    fn open_signals(&mut self) -> Result<()> {
        let Some(fd) = self.events.signals.open()? else { return Ok(()) };
        let spec = EventSpec::io(&fd, Interest::READ).persist();
        let delivered = self.create_internal(spec, on_delivered);
        self.add(delivered, None).inspect_err(|_| {
            self.free(delivered);
            self.events.signals.close();
        })
    }

    /// Activates every event of a signal, with one call for each of `times` deliveries.
    pub(super) fn activate_signal_times(&mut self, number: i32, times: u32) {
        let mut cursor = self.events.signals.events_of(number).cursor();
        while let Some(index) = cursor.next(&self.events.slots) {
            let id = self.events.slots[index].id(index);
            self.events.signals.add_calls(id, times);
            self.activate_index(index, Ready::SIGNAL);
        }
    }
}

/// The handler of the internal event: activates the events of the delivered signals.
fn on_delivered<C>(registry: &mut Registry<C>, _cx: &mut C, _fired: Fired) {
    let Some(counts) = registry.events.signals.take_deliveries() else { return };
    for (number, times) in (0..).zip(counts) {
        if times > 0 {
            registry.activate_signal_times(number, times);
        }
    }
}
