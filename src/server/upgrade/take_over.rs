//! Taking over: the new server's side. It blocks on each answer, because it has nothing else to do.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::warn;
use socket2::{Domain, SockAddr, Socket, Type};

use super::channel::{self, expect_same_user};
use super::decision::{LastReceived, successor_serves};
use super::listing::Listing;
use super::message::{LINE_BYTES_MAX, Message, VERSION};
use super::{HANDOVER_TIMEOUT, UpgradeSocket};
use crate::server::error::{Error, Result};
use crate::server::listener::{Listener, SocketFile};

/// Bytes per read; a listing is seldom longer.
const READ_BYTES: usize = 4096;

/// A handover that has not ended: this process has the sockets, and the other server still accepts.
/// If it is dropped, the other server continues unchanged.
#[derive(Debug)]
#[must_use = "the other server continues until this one is ready"]
pub struct TakeOver {
    path: PathBuf,
    server: OfferConnection,
    upgrade: UpgradeSocket,
    files: Vec<Arc<SocketFile>>,
}

/// Asks the server that offers its listening sockets at `path` for them. Start a server on them,
/// and then call [`TakeOver::ready`].
///
/// # Errors
///
/// [`Error::TakeOver`] if no process offers sockets there, if this process runs as another user, if
/// it was refused, or if there was no answer for ten seconds.
pub fn take_over(path: &Path) -> Result<(Vec<Listener>, TakeOver)> {
    take_over_within(HANDOVER_TIMEOUT, path)
}

pub(super) fn take_over_within(
    timeout: Duration,
    path: &Path,
) -> Result<(Vec<Listener>, TakeOver)> {
    let error = |source| Error::TakeOver { path: path.to_owned(), source };
    let mut server = OfferConnection::begin(path, timeout).map_err(error)?;
    let (upgrade, listeners) = server.sockets().map_err(error)?;
    let files = listeners.iter().chain([&upgrade]).filter_map(|l| l.file.clone()).collect();
    let take_over =
        TakeOver { path: path.to_owned(), server, upgrade: UpgradeSocket(upgrade), files };
    Ok((listeners, take_over))
}

/// Ends a take-over from another thread.
#[derive(Debug)]
pub struct Abort {
    stream: Socket,
    is_aborted: Arc<AtomicBool>,
}

impl Abort {
    /// Ends the take-over. [`TakeOver::ready`] then returns an error, unless the other server has
    /// handed over already: then it returns the upgrade socket.
    pub fn abort(&self) {
        self.is_aborted.store(true, Ordering::SeqCst);
        // It cannot be sent any message then. A socket that is not connected has no other server.
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl TakeOver {
    /// A handle that ends the take-over.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is no descriptor left.
    pub fn abort_handle(&self) -> Result<Abort> {
        let stream = self.server.stream.try_clone().map_err(Error::os("duplicate a socket"))?;
        Ok(Abort { stream, is_aborted: self.server.is_aborted.clone() })
    }

    /// Notifies the other server that this one accepts connections. It then stops accepting and
    /// drains. Returns the upgrade socket, at which this server can offer the sockets in turn. From
    /// now on the files of unix sockets belong to this server.
    ///
    /// If the other server is gone, killed for example, the sockets are this server's as well.
    ///
    /// # Errors
    ///
    /// [`Error::TakeOver`] if the other server does not drain. It goes on accepting, so this one
    /// must end.
    pub fn ready(mut self) -> Result<UpgradeSocket> {
        let (last, received) = self.server.last_message(&Message::Ready);
        if !successor_serves(last) {
            let source = received.map_or_else(|error| error, refusal);
            return Err(Error::TakeOver { path: self.path, source });
        }
        if last == LastReceived::Closed {
            warn!(target: "upgrade", "the other server has ended; this one serves");
        }
        self.files.iter().for_each(|file| file.take_ownership());
        Ok(self.upgrade)
    }
}

/// The connection to the other server.
#[derive(Debug)]
struct OfferConnection {
    stream: Socket,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Set before the connection is shut down from another thread.
    is_aborted: Arc<AtomicBool>,
}

impl OfferConnection {
    fn begin(path: &Path, timeout: Duration) -> io::Result<Self> {
        let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // If the other server's backlog is full, connecting blocks like sending.
        stream.set_write_timeout(Some(timeout))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.connect(&SockAddr::unix(path)?).map_err(late)?;
        expect_same_user(&stream)?;
        let is_aborted = Arc::default();
        Ok(Self { stream, received: Vec::new(), descriptors: Vec::new(), is_aborted })
    }

    /// Asks for the sockets and receives them.
    fn sockets(&mut self) -> io::Result<(Listener, Vec<Listener>)> {
        let listing: Listing = match self.ask(&Message::TakeOver { version: VERSION })? {
            Message::Listeners(listing) => listing,
            other => return Err(refusal(other)),
        };
        let count = listing.sockets()?;
        let mut announced = 0;
        while announced < count {
            match self.receive()? {
                Message::Sockets(more @ 1..) => announced = announced.saturating_add(more),
                other => return Err(refusal(other)),
            }
        }
        if (announced, self.descriptors.len()) != (count, count) {
            return Err(io::Error::new(ErrorKind::InvalidData, "not the sockets that were listed"));
        }
        listing.listeners(std::mem::take(&mut self.descriptors))
    }

    fn ask(&mut self, message: &Message) -> io::Result<Message> {
        let asked = channel::send(&self.stream.as_fd(), &message.line()?, &[]);
        // A server that refused has closed, and its message can still be read.
        self.receive().map_err(|error| asked.err().unwrap_or(error))
    }

    /// Sends a message, and receives the last one of the other server. A caller that gives up must
    /// know which it was: after this no other can come.
    fn last_message(&mut self, message: &Message) -> (LastReceived, io::Result<Message>) {
        let (received, is_gone) = match self.ask(message) {
            Ok(received) => (Ok(received), false),
            Err(error) => {
                let is_gone = self.is_gone();
                let _ = self.stream.shutdown(Shutdown::Read);
                (self.receive().map_err(|_| error), is_gone)
            }
        };
        let last = match &received {
            Ok(Message::Draining) => LastReceived::Draining,
            Ok(_) => LastReceived::Refused,
            Err(_) if is_gone => LastReceived::Closed,
            Err(_) => LastReceived::Nothing,
        };
        (last, received)
    }

    /// Whether the other server has closed the connection while it could still be sent messages.
    fn is_gone(&self) -> bool {
        // In this order: after an abort, a server that goes on cannot say so before it closes.
        channel::is_closed(&self.stream) && !self.is_aborted.load(Ordering::SeqCst)
    }

    fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::take(&mut self.received, LINE_BYTES_MAX)? {
                return Ok(message);
            }
            let mut bytes = [0; READ_BYTES];
            match channel::receive(&self.stream, &mut bytes, &mut self.descriptors) {
                Ok(0) => {
                    let what = "the other server closed the connection";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
                }
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(late(error)),
            }
        }
    }
}

/// A timeout of a socket is reported as `EAGAIN`.
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock {
        return io::Error::new(ErrorKind::TimedOut, "no answer in time");
    }
    error
}

/// The error for an unexpected message.
fn refusal(message: Message) -> io::Error {
    match message {
        Message::Refused(reason) => io::Error::other(format!("refused: {reason}")),
        _ => io::Error::new(ErrorKind::InvalidData, "the other server sent a message out of turn"),
    }
}
