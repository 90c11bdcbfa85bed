//! Events that wait for signals: an internal event of the base activates them.

use super::Registry;
use crate::base::events::slot::NONE;
use crate::error::Result;
use crate::event::{EventSpec, Fired, Interest, Ready};

impl<C> Registry<C> {
    pub(in crate::base) fn insert_on_signal(&mut self, index: u32, number: i32) -> Result<()> {
        self.open_signals()?;
        self.signals.insert(&mut self.slots, index, number)?;
        self.counts.joined(self.slots[index].counted());
        Ok(())
    }

    /// Opens the source of deliveries before the first event that waits for a signal, and watches
    /// its descriptor.
    fn open_signals(&mut self) -> Result<()> {
        let Some(fd) = self.signals.open()? else { return Ok(()) };
        let spec = EventSpec::io(&fd, Interest::READ).persist();
        let delivered = self.create_internal(spec, on_delivered);
        self.add(delivered, None).inspect_err(|_| {
            self.free(delivered);
            self.signals.close();
        })
    }

    /// Activates every event of a signal, with one call for each of `times` deliveries.
    pub(in crate::base) fn activate_signal_times(&mut self, number: i32, times: u32) {
        let mut index = self.signals.of(number).first();
        while index != NONE {
            let id = self.slots[index].id(index);
            self.signals.add_calls(id, times);
            self.activate_index(index, Ready::SIGNAL);
            index = self.slots[index].of_source.next;
        }
    }
}

/// The handler of the internal event: activates the events of the delivered signals.
fn on_delivered<C>(registry: &mut Registry<C>, _cx: &mut C, _fired: Fired) {
    let Some(counts) = registry.signals.take_deliveries() else { return };
    for (number, times) in (0..).zip(counts) {
        if times > 0 {
            registry.activate_signal_times(number, times);
        }
    }
}
