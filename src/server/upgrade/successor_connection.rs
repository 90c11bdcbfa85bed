//! The server's side of one handover: what its successor sent, and what is still to be sent.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt;

use super::channel;
use super::listing::Listing;
use super::message::{Message, VERSION};
use crate::event::EventId;
use crate::server::listener::Listener;
use crate::transport::would_block;

/// The longest line that a successor sends.
const LINE_BYTES_MAX: usize = 256;

/// A process that connected to the upgrade socket.
pub(super) struct Successor {
    stream: OwnedFd,
    events: SuccessorEvents,
    received: Vec<u8>,
    unsent: VecDeque<Part>,
    /// Whether it asked for the sockets; only then it can be ready.
    asked: bool,
}

/// The events of its connection and of its deadline.
#[derive(Clone, Copy)]
pub(super) struct SuccessorEvents {
    pub(super) readable: EventId,
    /// Pending while something is unsent.
    pub(super) writable: EventId,
    pub(super) deadline: EventId,
}

/// A line, and the sockets attached to its first byte, by their indices in the listing.
struct Part {
    line: Vec<u8>,
    sent: usize,
    sockets: Range<usize>,
}

/// The state of the handover after a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HandoverStep {
    /// Messages or sockets are still missing.
    Wait,
    /// It accepts connections.
    Ready,
}

impl Successor {
    pub(super) fn new(stream: OwnedFd, events: SuccessorEvents) -> Self {
        Self { stream, events, received: Vec::new(), unsent: VecDeque::new(), asked: false }
    }

    /// Its process id when it connected (`SO_PEERCRED`, unix(7)).
    pub(super) fn process(&self) -> io::Result<u32> {
        Ok(sockopt::socket_peercred(&self.stream)?.pid.as_raw_nonzero().get().unsigned_abs())
    }

    pub(super) fn events(&self) -> SuccessorEvents {
        self.events
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether all sockets were sent to it.
    pub(super) fn has_sockets(&self) -> bool {
        self.asked && self.unsent.is_empty()
    }

    /// Reads its messages. If it asks for the sockets, queues them for sending.
    ///
    /// # Errors
    ///
    /// Why it is no successor: it closed, or broke the protocol.
    pub(super) fn receive(
        &mut self,
        upgrade: &Listener,
        offered: &[Listener],
    ) -> io::Result<HandoverStep> {
        let mut bytes = [0; LINE_BYTES_MAX];
        // Descriptors that it sends are closed.
        match channel::receive(&self.stream, &mut bytes, &mut Vec::new()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if would_block(&error) => return Ok(HandoverStep::Wait),
            Err(error) => return Err(error),
        }
        while let Some(message) = Message::take(&mut self.received, LINE_BYTES_MAX)? {
            match message {
                Message::TakeOver { version: VERSION } if !self.asked => {
                    self.asked = true;
                    self.unsent = parts(Listing::of(upgrade, offered))?;
                }
                Message::TakeOver { version } if !self.asked => return Err(foreign(version)),
                Message::Ready if self.has_sockets() => {
                    return Ok(HandoverStep::Ready);
                }
                _ => return Err(io::Error::other("it sent a message out of turn")),
            }
        }
        Ok(HandoverStep::Wait)
    }

    /// Sends what the connection takes of the unsent parts.
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
            // The refusal must fit behind the last socket, and it does if there is room for much.
            if part.sent == 0 && !channel::has_room(&self.stream)? {
                return Ok(());
            }
            let rights = &sockets[part.sockets.clone()];
            match channel::send(&self.stream, &part.line[part.sent..], rights) {
                Ok(count) => part.sent += count,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            part.sockets = 0..0;
            if part.sent == part.line.len() {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Sends one short message, at once or not at all.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`; `WriteZero` if only a part went.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        send(&self.stream, message)
    }
}

/// As [`Successor::send`], to a peer that is no successor.
pub(super) fn send(stream: &OwnedFd, message: &Message) -> io::Result<()> {
    let line = message.line()?;
    let sent = channel::send(stream, &line, &[])?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The listing, and then its sockets, as many per line as fit.
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
    let what = format!("it uses version {version} of the protocol, and this server {VERSION}");
    io::Error::other(what)
}
