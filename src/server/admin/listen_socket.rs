//! The listen_socket: accepting the admin's connections, also when descriptors have run out, which
//! is when somebody will want to look.

use std::fs::File;
use std::io::{self, ErrorKind};

use socket2::Socket;

use super::super::listener::{ListenAddress, Listener};
use crate::event::{EventSpec, Interest};

/// HasAcceptor from the listening socket.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: Listener,
    /// A descriptor to give up when there is no other.
    reserve: Option<File>,
}

impl AdminSocket {
    pub(super) fn new(listener: Listener) -> Self {
        let mut listen_socket = Self { listener, reserve: None };
        listen_socket.refill();
        listen_socket
    }

    /// An event that fires when somebody waits at the listen_socket.
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

    /// Takes a descriptor in reserve again, if one can be had.
    pub(super) fn refill(&mut self) {
        if self.reserve.is_none() {
            self.reserve = File::open("/dev/null").ok();
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether nobody waits, or not any more.
fn is_none_waiting(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}
