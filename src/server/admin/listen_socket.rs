//! The listen socket of the admin. It accepts even if descriptors are exhausted, because operators
//! then need the admin most.

use std::io;

use socket2::Socket;

use crate::accept::{AcceptError, ReserveFd};
use crate::event::{EventSpec, Interest};
use crate::server::listen_address::ListenAddress;
use crate::server::listener::Listener;
use crate::sys::accept::accept;

/// Accepts connections of the admin.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: Listener,
    pub(super) reserve: ReserveFd,
}

impl AdminSocket {
    pub(super) fn new(listener: Listener) -> Self {
        Self { listener, reserve: ReserveFd::new() }
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
        let mut accepted = accept(self.socket());
        if let Err(error) = &accepted
            && self.reserve.release_for(error)
        {
            accepted = accept(self.socket());
        }
        match accepted.map_err(AcceptError::from) {
            Ok(socket) => Ok(Some(Socket::from(socket))),
            Err(AcceptError::NoneWaiting) => Ok(None),
            // An error of one connection may repeat without end, so the caller pauses for it, too.
            Err(AcceptError::Aborted(error) | AcceptError::Exhausted(error)) => Err(error),
        }
    }
}
