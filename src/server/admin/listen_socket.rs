//! The listen socket of the admin. It accepts even if descriptors are exhausted, because operators
//! then need the admin most.

use std::fs::File;
use std::io::{self, ErrorKind};

use socket2::Socket;

use crate::event::{EventSpec, Interest};
use crate::server::listener::{ListenAddress, Listener};

/// Accepts connections of the admin.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: Listener,
    /// A reserve descriptor, closed when no other is free.
    reserve: Option<File>,
}

impl AdminSocket {
    pub(super) fn new(listener: Listener) -> Self {
        let mut socket = Self { listener, reserve: None };
        socket.refill();
        socket
    }

    /// An event that fires when a connection waits.
    pub(super) fn event(&self) -> EventSpec {
        EventSpec::io(self.socket(), Interest::READ).persist()
    }

    fn socket(&self) -> &Socket {
        &self.listener.sockets[0]
    }

    pub(super) fn address(&self) -> &ListenAddress {
        self.listener.address()
    }

    /// The next connection, if one waits.
    pub(super) fn accept(&mut self) -> io::Result<Option<Socket>> {
        let accepted = self.socket().accept().or_else(|error| {
            let gave_up = is_exhausted(&error) && self.reserve.take().is_some();
            if gave_up { self.socket().accept() } else { Err(error) }
        });
        match accepted {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                Ok(Some(socket))
            }
            Err(error) if is_none_waiting(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the reserve descriptor again, if possible.
    pub(super) fn refill(&mut self) {
        if self.reserve.is_none() {
            self.reserve = File::open("/dev/null").ok();
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether the backlog is empty, or the connection was aborted.
fn is_none_waiting(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}
