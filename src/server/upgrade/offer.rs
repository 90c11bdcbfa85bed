//! The offer: the running server's side, on an event base and a thread of its own.
//!
//! It serves one successor at a time and never affects the server. An error of a successor closes
//! its connection and is logged.
//!
//! Its thread decides whether a successor has the sockets, by the rules of `decision`: they are
//! handed over once the kernel has taken the message that says so. A caller that needs to know ends
//! the offer and asks.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use log::{error, info, warn};

use super::channel::expect_same_user;
use super::decision::{Cause, Decision, decide};
use super::listing::Listing;
use super::message::Message;
use super::successor_connection::{HandoverStep, Successor, SuccessorEvents, send};
use super::{HANDOVER_TIMEOUT, UpgradeSocket};
use crate::accept::ReserveFd;
use crate::base::{Config, EventBase, Registry};
use crate::event::{EventId, EventSpec, Fired, Interest};
use crate::server::error::{Error, Result};
use crate::server::failure::Failures;
use crate::server::listener::Listener;
use crate::server::thread::Thread;
use crate::sys::accept::accept;

/// How long it does not accept after descriptors or memory ran out.
const PAUSE: Duration = Duration::from_secs(1);

/// Offers a server's listening sockets to a successor, until it is ended or dropped.
///
/// It holds duplicates of the sockets, so end it before the server stops accepting. Until then the
/// kernel goes on queueing connections that no process would accept.
#[derive(Debug)]
#[must_use = "an offer that is dropped ends"]
pub(in crate::server) struct Offer {
    /// Returns the process id of the successor that has the sockets.
    thread: Thread<Offering, Option<u32>>,
    /// Disconnected when the thread ends.
    end: Receiver<Infallible>,
}

/// The context of the offer's base.
struct Offering {
    upgrade: Listener,
    offered: Vec<Listener>,
    /// For a successor that comes while descriptors are exhausted.
    reserve: ReserveFd,
    acceptable: EventId,
    pause_over: EventId,
    successor: Option<Successor>,
    timeout: Duration,
    /// Whether this server is to end, with or without a successor.
    is_ending: bool,
    /// The process that has taken the sockets.
    taken_by: Option<u32>,
    taken_over: Box<dyn FnOnce(u32) + Send>,
    _end: Sender<Infallible>,
}

impl Offer {
    /// Offers `listeners`, [duplicates](Listener::duplicate) of the server's, at the upgrade
    /// socket. Once a successor has them and is ready, everything here is closed. The files of unix
    /// sockets then belong to the successor, and `taken_over` is called with its process id, on the
    /// offer's own thread.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is no thread or descriptor left, or if a path is no Unicode text.
    pub(super) fn start(
        socket: UpgradeSocket,
        listeners: Vec<Listener>,
        taken_over: Box<dyn FnOnce(u32) + Send>,
        failures: &Failures,
    ) -> Result<Self> {
        Self::start_with(socket, listeners, HANDOVER_TIMEOUT, taken_over, failures)
    }

    /// Offers the sockets for `time` longer at most, and then to no other successor. Returns the
    /// process id of the successor that has them, at once if there is one already. One that has
    /// received them gets the rest of its time.
    pub(super) fn end_after(self, time: Duration) -> Option<u32> {
        // Nothing is ever sent.
        let _ = self.end.recv_timeout(time);
        self.thread.post(|registry, offering| offering.end(registry));
        let ended = self.thread.join();
        ended.unwrap_or_else(|error| {
            error!(target: "upgrade", error:%; "the offer of the listening sockets failed");
            None
        })
    }

    pub(super) fn start_with(
        UpgradeSocket(upgrade): UpgradeSocket,
        offered: Vec<Listener>,
        timeout: Duration,
        taken_over: Box<dyn FnOnce(u32) + Send>,
        failures: &Failures,
    ) -> Result<Self> {
        // Find an invalid listing now, and not when a successor asks.
        let listing = Listing::of(&upgrade, &offered);
        let line = listing.sockets().and_then(|_| Message::Listeners(listing).line());
        line.map_err(Error::os("describe the listening sockets"))?;
        let mut base = EventBase::new(Config::default())?;
        let registry = base.registry();
        let listening = EventSpec::io(&upgrade.sockets[0], Interest::READ).persist();
        let acceptable = registry.create(listening, on_acceptable);
        registry.add(acceptable, None)?;
        let (sender, end) = mpsc::channel();
        let offering = Offering {
            upgrade,
            offered,
            reserve: ReserveFd::new(),
            acceptable,
            pause_over: registry.create(EventSpec::timer(), on_pause_over),
            successor: None,
            timeout,
            is_ending: false,
            taken_by: None,
            taken_over,
            _end: sender,
        };
        let thread = Thread::start("upgrade".into(), base, offering, Offering::run, failures)?;
        Ok(Self { thread, end })
    }
}

impl Offering {
    /// Runs on the offer's thread.
    fn run(mut base: EventBase<Self>, mut offering: Self) -> crate::error::Result<Option<u32>> {
        let end = base.run_until_exit(&mut offering);
        if let Err(error) = &end {
            // The server ends because of it, and this thread waits for nothing any more.
            offering.is_ending = true;
            offering.settle(base.registry(), Cause::Late, error);
        }
        drop(base);
        let Self { taken_by, taken_over, _end, .. } = offering;
        if let Some(process) = taken_by {
            taken_over(process);
            return Ok(Some(process));
        }
        end.map(|_| None)
    }

    /// Serves a process that connected, unless another is being served.
    fn accept_successor(&mut self, registry: &mut Registry<Self>, stream: OwnedFd) {
        // The current successor may have closed, and its end may be reported after this one's
        // connect.
        self.receive(registry);
        let checked = expect_same_user(&stream).and_then(|()| match self.successor {
            Some(_) => Err(io::Error::other("another server is taking over just now")),
            None => Ok(()),
        });
        if let Err(error) = checked {
            warn!(target: "upgrade", "refused a server that asked for the sockets: {error}");
            // The peer need not receive the reason.
            let _ = send(&stream, &Message::Refused(error.to_string()));
            return;
        }
        let readable = EventSpec::io(&stream, Interest::READ).persist();
        let writable = EventSpec::io(&stream, Interest::WRITE);
        let events = SuccessorEvents {
            readable: registry.create(readable, on_readable),
            writable: registry.create(writable, on_writable),
            deadline: registry.create(EventSpec::timer(), on_late),
        };
        self.successor = Some(Successor::new(stream, events));
        let added = registry.add(events.deadline, Some(self.timeout));
        if let Err(error) = added.and_then(|()| registry.add(events.readable, None)) {
            self.settle(registry, Cause::Failed, &error);
        }
    }

    fn receive(&mut self, registry: &mut Registry<Self>) {
        let Some(successor) = &mut self.successor else { return };
        match successor.receive(&self.upgrade, &self.offered) {
            Ok(HandoverStep::Wait) => self.send_unsent(registry),
            Ok(HandoverStep::Ready) => self.settle(registry, Cause::Ready, &"it is ready"),
            Err(error) => self.settle(registry, Cause::Failed, &error),
        }
    }

    fn send_unsent(&mut self, registry: &mut Registry<Self>) {
        let Some(successor) = &mut self.successor else { return };
        let sent = successor.send_unsent(&self.upgrade, &self.offered);
        let sent = sent.and_then(|()| match successor.has_unsent() {
            true => registry.add(successor.events().writable, None).map_err(io::Error::other),
            false => Ok(()),
        });
        if let Err(error) = sent {
            self.settle(registry, Cause::Failed, &error);
        }
    }

    /// Ends the offer once no successor has received the sockets, or that one has been answered.
    fn end(&mut self, registry: &mut Registry<Self>) {
        self.is_ending = true;
        registry.del(self.acceptable);
        registry.del(self.pause_over);
        if self.successor.as_ref().is_some_and(Successor::has_sockets) {
            info!(target: "upgrade", "waiting for the successor that has received the sockets");
        }
        self.settle(registry, Cause::Ending, &"this server ends");
    }

    /// Hands over or refuses if it is time to. `why` is the reason of a refusal.
    fn settle(&mut self, registry: &mut Registry<Self>, cause: Cause, why: &dyn fmt::Display) {
        if let Some(successor) = &self.successor {
            match decide(cause, successor.has_sockets(), self.is_ending) {
                Decision::Wait => return,
                Decision::HandOver => {
                    if let Err(error) = self.hand_over(registry) {
                        self.refuse(registry, &error);
                    }
                }
                Decision::Refuse => self.refuse(registry, why),
            }
        }
        if self.is_ending || self.taken_by.is_some() {
            registry.loop_exit();
        }
    }

    /// Releases the files before the successor is notified, because from then on it may remove
    /// them.
    fn hand_over(&mut self, registry: &mut Registry<Self>) -> io::Result<()> {
        let Some(successor) = &self.successor else { return Ok(()) };
        let process = successor.process()?;
        let files = || self.offered.iter().chain([&self.upgrade]).filter_map(|l| l.file.as_ref());
        files().for_each(|file| file.give_up_ownership());
        successor
            .send(&Message::Draining)
            .inspect_err(|_| files().for_each(|file| file.take_ownership()))?;
        info!(target: "upgrade", "a successor has the listening sockets; this server drains");
        self.taken_by = Some(process);
        // Connections of this last turn belong to the successor.
        registry.del(self.acceptable);
        self.dismiss(registry);
        Ok(())
    }

    /// Drops the successor, and sends it the reason if it still reads. One that has the sockets
    /// must not find the connection closed without it.
    fn refuse(&mut self, registry: &mut Registry<Self>, why: &dyn fmt::Display) {
        let Some(successor) = self.dismiss(registry) else { return };
        let effect =
            if self.is_ending { "this server ends without" } else { "this server goes on" };
        warn!(target: "upgrade", "a successor did not take over, {effect}: {why}");
        let _ = successor.send(&Message::Refused(why.to_string()));
    }

    fn dismiss(&mut self, registry: &mut Registry<Self>) -> Option<Successor> {
        let successor = self.successor.take()?;
        let SuccessorEvents { readable, writable, deadline } = successor.events();
        for event in [readable, writable, deadline] {
            registry.free(event);
        }
        self.reserve.refill();
        Some(successor)
    }
}

impl fmt::Debug for Offering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offering").field("upgrade", &self.upgrade).finish_non_exhaustive()
    }
}

fn on_acceptable(registry: &mut Registry<Offering>, offering: &mut Offering, fired: Fired) {
    let socket = &offering.upgrade.sockets[0];
    let accepted = accept(socket).or_else(|error| match offering.reserve.release_for(&error) {
        true => accept(socket),
        false => Err(error),
    });
    match accepted {
        Ok(stream) => offering.accept_successor(registry, stream),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => {
            warn!(target: "upgrade", "cannot accept a successor, which has to wait: {error}");
            registry.del(fired.id);
            registry.add(offering.pause_over, Some(PAUSE)).expect("a timer needs no kernel");
        }
    }
}

fn on_pause_over(registry: &mut Registry<Offering>, offering: &mut Offering, _fired: Fired) {
    offering.reserve.refill();
    if registry.add(offering.acceptable, None).is_err() {
        registry.add(offering.pause_over, Some(PAUSE)).expect("a timer needs no kernel");
    }
}

fn on_readable(registry: &mut Registry<Offering>, offering: &mut Offering, _fired: Fired) {
    offering.receive(registry);
}

fn on_writable(registry: &mut Registry<Offering>, offering: &mut Offering, _fired: Fired) {
    offering.send_unsent(registry);
}

fn on_late(registry: &mut Registry<Offering>, offering: &mut Offering, _fired: Fired) {
    let timeout = offering.timeout;
    let why = format_args!("it was not ready within {timeout:?}");
    offering.settle(registry, Cause::Late, &why);
}
