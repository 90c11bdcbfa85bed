//! The server's side of one handover: what its successor said, and what it is still unsent.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::listener::Listener;
use super::channel;
use super::listing::Listing;
use super::message::{Message, VERSION};
use crate::event::EventId;

/// The longest line a successor has to say.
const LINE_BYTES_MAX: usize = 256;

/// A process that connected to the upgrade socket.
pub(super) struct Successor {
    stream: OwnedFd,
    events: Events,
    received: Vec<u8>,
    unsent: VecDeque<Part>,
    /// Whether it was promised the sockets; only then it can be ready.
    asked: bool,
}

/// The events of its connection and of its deadline.
#[derive(Clone, Copy)]
pub(super) struct Events {
    pub(super) readable: EventId,
    /// Pending while something is unsent.
    pub(super) writable: EventId,
    pub(super) deadline: EventId,
}

/// A line, and the sockets that go with its first byte, by their places in the listing.
struct Part {
    line: Vec<u8>,
    sent: usize,
    sockets: Range<usize>,
}

/// How it goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has not said or got everything.
    Wait,
    /// It accepts connections.
    Ready,
}

impl Successor {
    pub(super) fn new(stream: OwnedFd, events: Events) -> Self {
        Self { stream, events, received: Vec::new(), unsent: VecDeque::new(), asked: false }
    }

    /// Its process.
    pub(super) fn process(&self) -> io::Result<u32> {
        channel::process_of(&self.stream)
    }

    pub(super) fn events(&self) -> Events {
        self.events
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads what it said; asked for the sockets, owes them.
    ///
    /// # Errors
    ///
    /// Why it is no successor: it is gone, or does not keep to the protocol.
    pub(super) fn receive(&mut self, upgrade: &Listener, offered: &[Listener]) -> io::Result<Step> {
        let mut bytes = [0; LINE_BYTES_MAX];
        // Descriptors that come with it are nothing to us, and closed.
        match channel::receive(&self.stream, &mut bytes, &mut Vec::new()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if would_wait(&error) => return Ok(Step::Wait),
            Err(error) => return Err(error),
        }
        while let Some(message) = Message::take(&mut self.received, LINE_BYTES_MAX)? {
            match message {
                Message::TakeOver { version: VERSION } if !self.asked => {
                    self.asked = true;
                    self.unsent = parts(Listing::of(upgrade, offered))?;
                }
                Message::TakeOver { version } if !self.asked => return Err(foreign(version)),
                Message::Ready if self.asked && self.unsent.is_empty() => return Ok(Step::Ready),
                _ => return Err(io::Error::other("it spoke out of turn")),
            }
        }
        Ok(Step::Wait)
    }

    /// Sends what the connection takes of what is unsent.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub(super) fn send_unsent(
        &mut self,
        upgrade: &Listener,
        offered: &[Listener],
    ) -> io::Result<()> {
        let listeners = std::iter::once(upgrade).chain(offered);
        let sockets: Vec<BorrowedFd<'_>> =
            listeners.flat_map(|listener| &listener.sockets).map(AsFd::as_fd).collect();
        while let Some(part) = self.unsent.front_mut() {
            let rights = &sockets[part.sockets.clone()];
            match channel::send(&self.stream, &part.line[part.sent..], rights) {
                Ok(count) => part.sent += count,
                Err(error) if would_wait(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            part.sockets = 0..0;
            if part.sent == part.line.len() {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Says one more thing, which is short, at once or not at all.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`; `WriteZero` if only a part went.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        send(&self.stream, message)
    }
}

/// What [`Successor::say`] does, to a peer that is none.
pub(super) fn send(stream: &OwnedFd, message: &Message) -> io::Result<()> {
    let line = message.line()?;
    let sent = channel::send(stream, &line, &[])?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The listing, and then its sockets, as many a line as fit.
fn parts(listing: Listing) -> io::Result<VecDeque<Part>> {
    let count = listing.sockets()?;
    let lines = (0..count).step_by(channel::RIGHTS_MAX).map(|from| {
        let sockets = from..count.min(from + channel::RIGHTS_MAX);
        Ok(Part { line: Message::Sockets(sockets.len()).line()?, sent: 0, sockets })
    });
    let mut parts = lines.collect::<io::Result<VecDeque<_>>>()?;
    let line = Message::Listeners(listing).line()?;
    parts.push_front(Part { line, sent: 0, sockets: 0..0 });
    Ok(parts)
}

fn foreign(version: u32) -> io::Error {
    let what = format!("it speaks version {version} of the protocol, and this server {VERSION}");
    io::Error::other(what)
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
