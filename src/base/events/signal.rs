//! Signals as events: which events wait for which signal, and how deliveries reach the loop.
//!
//! A delivery makes a descriptor of the base readable, by a handler or a signalfd. An internal
//! event of the base waits for it and activates the signal's events with a count: three deliveries
//! are three calls.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::list::Stack;
use super::slot::NONE;
use super::slot::{SlotTable, State};
use crate::base::Registry;
use crate::error::{Error, Result};
use crate::event::{EventId, EventSpec, Fired, Interest, Ready};
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
            SignalMethod::Handler => {
                SignalCounter::new().map(Self::Handler).map_err(Error::os("eventfd"))
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

    fn of(&self, number: i32) -> Stack {
        if is_signal(number) { self.events[number as usize] } else { Stack::EMPTY }
    }

    /// Links an event to its signal. An error leaves everything unchanged.
    fn insert<H>(&mut self, slots: &mut SlotTable<H>, index: u32, number: i32) -> Result<()> {
        if self.of(number).is_empty() {
            let source = self.source.as_mut().expect("opened before the first event is added");
            source.watch(number)?;
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

    fn add_calls(&mut self, id: EventId, times: u32) {
        match self.calls.iter_mut().find(|(active, _)| *active == id) {
            Some((_, calls)) => *calls = calls.saturating_add(times),
            None => self.calls.push((id, times)),
        }
    }

    /// Every event that waits for a signal.
    pub(in crate::base) fn iter<H>(&self, slots: &SlotTable<H>) -> impl Iterator<Item = u32> {
        self.events.iter().flat_map(|events| events.iter(slots))
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

impl<C> Registry<C> {
    pub(in crate::base) fn insert_on_signal(&mut self, index: u32, number: i32) -> Result<()> {
        self.open_signals()?;
        self.signals.insert(&mut self.slots, index, number)?;
        self.counts.joined(self.slots[index].counted());
        Ok(())
    }

    /// Opens the source of deliveries before the first event that waits for a signal.
    fn open_signals(&mut self) -> Result<()> {
        if self.signals.source.is_some() {
            return Ok(());
        }
        let source = Delivery::open(self.signals.method)?;
        let spec = EventSpec::io(&source.fd(), Interest::READ).persist();
        let delivered = self.create_internal(spec, on_delivered);
        if let Err(error) = self.add(delivered, None) {
            self.free(delivered);
            return Err(error);
        }
        self.signals.source = Some(source);
        Ok(())
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
    let Some(source) = &registry.signals.source else { return };
    // Reading our own descriptor fails only if other code closed it. The deliveries are then lost,
    // and the backend drops the descriptor.
    let Ok(counts) = source.take() else { return };
    for (number, times) in (0..).zip(counts) {
        if times > 0 {
            registry.activate_signal_times(number, times);
        }
    }
}
