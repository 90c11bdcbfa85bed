//! The listing of the offered sockets, and which descriptor is which.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use socket2::Socket;

use crate::server::listener::{self, FileIdentity, ListenAddress, Listener, Origin, SocketFile};

/// Maximum of sockets in a listing. It bounds how many a successor waits for.
const SOCKETS_MAX: usize = 1 << 16;

/// The upgrade socket and the listeners. Their sockets follow in this order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    upgrade: ListedListener,
    listeners: Vec<ListedListener>,
}

/// A [`Listener`] with the number of its sockets.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedListener {
    address: ListenAddress,
    tls: bool,
    sockets: usize,
    origin: Origin,
    name: Option<String>,
    file: Option<FileIdentity>,
}

impl Listing {
    pub(super) fn of(upgrade: &Listener, listeners: &[Listener]) -> Self {
        let listeners = listeners.iter().map(ListedListener::of).collect();
        Self { upgrade: ListedListener::of(upgrade), listeners }
    }

    /// The number of listed sockets.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the numbers make no sense.
    pub(super) fn sockets(&self) -> io::Result<usize> {
        let counts = self.listeners.iter().map(|entry| entry.sockets);
        let sum = counts.clone().try_fold(1_usize, usize::checked_add);
        sum.filter(|sum| *sum <= SOCKETS_MAX)
            .filter(|_| self.upgrade.sockets == 1 && counts.clone().all(|count| count > 0))
            .ok_or_else(|| wrong("the listing of the sockets makes no sense"))
    }

    /// Builds the upgrade socket and the listeners from these descriptors:
    /// [`sockets`](Self::sockets) many, in the listing's order. Their files still belong to the
    /// other process.
    ///
    /// # Errors
    ///
    /// `InvalidData` if one of them is no listening stream socket.
    pub(super) fn listeners(
        self,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<(Listener, Vec<Listener>)> {
        let mut sockets = descriptors.into_iter().map(|descriptor| {
            let socket = Socket::from(descriptor);
            listener::adopt(&socket).map(|()| socket)
        });
        let upgrade = self.upgrade.listener(&mut sockets)?;
        let listeners = self.listeners.into_iter().map(|entry| entry.listener(&mut sockets));
        Ok((upgrade, listeners.collect::<io::Result<_>>()?))
    }
}

impl ListedListener {
    fn of(listener: &Listener) -> Self {
        Self {
            address: listener.address.clone(),
            tls: listener.tls,
            sockets: listener.sockets.len(),
            origin: listener.origin,
            name: listener.name.clone(),
            file: listener.file.as_ref().map(|file| file.identity().clone()),
        }
    }

    fn listener(
        self,
        sockets: &mut dyn Iterator<Item = io::Result<Socket>>,
    ) -> io::Result<Listener> {
        let count = self.sockets;
        let sockets = sockets.take(count).collect::<io::Result<Vec<_>>>()?;
        if sockets.len() != count {
            return Err(wrong("there are fewer sockets than were listed"));
        }
        Ok(Listener {
            address: self.address,
            tls: self.tls,
            file: self.file.map(|place| Arc::new(SocketFile::of_another(place))),
            sockets,
            origin: self.origin,
            name: self.name,
        })
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
