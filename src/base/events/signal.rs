//! Signals: which events wait for which signal, and the source of deliveries.
//!
//! A delivery makes the source's descriptor readable, by a signal handler or a signalfd. The
//! registry watches that descriptor. Three deliveries are three calls of an event's handler.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::list::Stack;
use super::slot::{SlotTable, State};
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::sys::signal::{SignalCounter, is_signal};
use crate::sys::signal_counts::SIGNAL_MAX;
use crate::sys::signalfd::SignalFd;

/// How a base receives signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalMethod {
    /// A signal handler (`sigaction(2)`) that counts. Every delivery is one call, in every base
    /// that waits for the signal. (In libevent only one base at a time gets signals.)
    #[default]
    Handler,
    /// As `Handler`, but of all bases with this method only one gets each delivery: the one that
    /// was the last to add an event for a signal, or to begin its loop while it has such events.
    /// (That is what libevent does.)
    LastBase,
    /// `signalfd(2)` (libevent: `EVENT_BASE_FLAG_USE_SIGNALFD`).
    ///
    /// `add` blocks the signal in its thread, which must be the one that runs the base. Block the
    /// signal in all other threads, or the kernel may deliver it to them. The kernel folds
    /// deliveries that were not read yet, and children inherit the blocked mask.
    SignalFd,
}

/// The events of each signal, and the source of deliveries once a signal has an event.
#[derive(Debug)]
pub(in crate::base) struct Signals {
    method: SignalMethod,
    events: [Stack; SIGNAL_MAX as usize + 1],
    source: Option<Delivery>,
    /// The number of deliveries for each event that a signal made active.
    calls: Vec<(EventId, u32)>,
}

#[derive(Debug)]
enum Delivery {
    Handler(SignalCounter),
    SignalFd(Box<SignalFd>),
}

impl Delivery {
    fn open(method: SignalMethod) -> Result<Self> {
        match method {
            SignalMethod::Handler | SignalMethod::LastBase => {
                let counter = SignalCounter::new(method == SignalMethod::LastBase);
                counter.map(Self::Handler).map_err(Error::os("eventfd"))
            }
            SignalMethod::SignalFd => {
                let signalfd = SignalFd::new().map_err(Error::os("signalfd"))?;
                Ok(Self::SignalFd(Box::new(signalfd)))
            }
        }
    }

    fn watch(&mut self, number: i32) -> Result<()> {
        let (op, watched) = match self {
            Self::Handler(counter) => ("sigaction", counter.watch(number)),
            Self::SignalFd(signalfd) => ("signalfd", signalfd.watch(number)),
        };
        watched.map_err(|source| Error::Signal { op, number, source })
    }

    fn unwatch(&mut self, number: i32) {
        match self {
            Self::Handler(counter) => counter.unwatch(number),
            Self::SignalFd(signalfd) => signalfd.unwatch(number),
        }
    }

    fn claim(&self) {
        if let Self::Handler(counter) = self {
            counter.claim();
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Self::Handler(counter) => counter.as_raw_fd(),
            Self::SignalFd(signalfd) => signalfd.as_raw_fd(),
        }
    }

    /// The deliveries of each signal since the last call.
    fn take(&self) -> io::Result<[u32; SIGNAL_MAX as usize + 1]> {
        let mut counts = [0; SIGNAL_MAX as usize + 1];
        match self {
            Self::Handler(counter) => {
                counter.drain()?;
                for (number, count) in (0..).zip(&mut counts) {
                    *count = counter.take(number);
                }
            }
            Self::SignalFd(signalfd) => signalfd.drain(|number| counts[number as usize] += 1)?,
        }
        Ok(counts)
    }
}

impl Signals {
    pub(in crate::base) fn new(method: SignalMethod) -> Self {
        Self {
            method,
            events: [Stack::EMPTY; SIGNAL_MAX as usize + 1],
            source: None,
            calls: Vec::new(),
        }
    }

    /// Opens the source of deliveries, if it is closed; returns the descriptor to watch then.
    pub(in crate::base) fn open(&mut self) -> Result<Option<RawFd>> {
        if self.source.is_some() {
            return Ok(None);
        }
        let source = Delivery::open(self.method)?;
        Ok(Some(self.source.insert(source).fd()))
    }

    /// Claims the signals for this base, if it waits for any; see [`SignalMethod::LastBase`].
    pub(in crate::base) fn claim(&self) {
        if let Some(source) = &self.source
            && self.events.iter().any(|events| !events.is_empty())
        {
            source.claim();
        }
    }

    /// Closes the source again, because the base cannot watch it.
    pub(in crate::base) fn close(&mut self) {
        self.source = None;
    }

    /// The deliveries of each signal since the last call; `None` if they cannot be read.
    pub(in crate::base) fn take_deliveries(&self) -> Option<[u32; SIGNAL_MAX as usize + 1]> {
        // Reading our own descriptor fails only if other code closed it. The deliveries are then
        // lost, and the backend drops the descriptor.
        self.source.as_ref()?.take().ok()
    }

    /// The events of a signal.
    pub(in crate::base) fn events_of(&self, number: i32) -> Stack {
        if is_signal(number) { self.events[number as usize] } else { Stack::EMPTY }
    }

    /// Links an event to its signal. An error leaves everything unchanged.
    pub(in crate::base) fn insert<H>(
        &mut self,
        slots: &mut SlotTable<H>,
        index: u32,
        number: i32,
    ) -> Result<()> {
        if self.events_of(number).is_empty() {
            let source = self.source.as_mut().expect("opened before the first event is added");
            source.watch(number)?;
            source.claim();
        }
        self.events[number as usize].push(slots, index);
        slots[index].state |= State::INSERTED;
        Ok(())
    }

    /// Unlinks an event from its signal.
    pub(in crate::base) fn remove<H>(&mut self, slots: &mut SlotTable<H>, index: u32, number: i32) {
        let events = &mut self.events[number as usize];
        events.remove(slots, index);
        slots[index].state -= State::INSERTED;
        if events.is_empty()
            && let Some(source) = &mut self.source
        {
            source.unwatch(number);
        }
    }

    /// Takes the number of calls of an event that is about to run.
    pub(in crate::base) fn take_calls(&mut self, id: EventId) -> u32 {
        let at = self.calls.iter().position(|(active, _)| *active == id);
        at.map_or(1, |at| self.calls.swap_remove(at).1)
    }

    /// Counts deliveries for an event that becomes active.
    pub(in crate::base) fn add_calls(&mut self, id: EventId, times: u32) {
        match self.calls.iter_mut().find(|(active, _)| *active == id) {
            Some((_, calls)) => *calls = calls.saturating_add(times),
            None => self.calls.push((id, times)),
        }
    }

    /// Every event that waits for a signal.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        // Without a source there has been no event.
        let used = if self.source.is_some() { &self.events[..] } else { &[] };
        used.iter().flat_map(|events| events.iter(slots))
    }

    /// Renews the source in a child after `fork(2)`.
    pub(in crate::base) fn renew(&self) -> Result<()> {
        match &self.source {
            Some(Delivery::Handler(counter)) => counter.renew().map_err(Error::os("dup3")),
            // A signalfd reports the signals of the process that reads it.
            Some(Delivery::SignalFd(_)) | None => Ok(()),
        }
    }
}
