//! Listeners: the sockets connections come from, and where they are.
//!
//! They are opened here, inherited from a service manager, or taken over from the server before
//! ([`upgrade`](super::upgrade)).

mod address;
mod file;
mod inherited;
mod tcp;
mod unix;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use log::warn;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::ServerConfig;
use super::config::AcceptMode;
use crate::error::{Error, Result};

pub use address::{AddressError, ListenAddress};
pub(super) use file::{FileIdentity, SocketFile};
pub use inherited::inherited;

/// One address, and the sockets that listen on it: one, or one for each thread that accepts
/// (`SO_REUSEPORT`). Dropped, it listens no more, and the file of a unix socket of its own is
/// removed.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens; with port 0 asked for, the port that was given.
    pub(super) address: ListenAddress,
    /// Removed before the sockets are closed.
    pub(super) file: Option<Arc<SocketFile>>,
    pub(super) sockets: Vec<Socket>,
    pub(super) origin: Origin,
    /// What the service manager calls it.
    pub(super) name: Option<String>,
}

/// Whose a listening socket is, which decides how it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// Nobody else has it: what the kernel queued must be accepted before it is closed.
    Own,
    /// A service manager or another server has it, too, and goes on accepting.
    Shared,
}

impl Listener {
    /// Where it listens; with port 0 asked for, the port that was given.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// What the service manager that passed it calls it (`LISTEN_FDNAMES`).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The same sockets once more, for an [`Offer`](super::upgrade::Offer): the kernel goes on
    /// listening until both are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is no descriptor left.
    pub fn duplicate(&self) -> Result<Self> {
        let sockets = self.sockets.iter().map(Socket::try_clone).collect::<io::Result<_>>();
        Ok(Self {
            address: self.address.clone(),
            file: self.file.clone(),
            sockets: sockets.map_err(Error::os("duplicate a listening socket"))?,
            origin: self.origin,
            name: self.name.clone(),
        })
    }
}

/// Opens every address of the configuration. Where each worker accepts for itself, a TCP address
/// gets a socket for each; a unix socket is always one.
///
/// # Errors
///
/// [`Error::Listen`] for the first that cannot be listened on, somebody else listening there
/// included, in every [`AcceptMode`].
pub fn open(config: &ServerConfig) -> Result<Vec<Listener>> {
    let open = |address| open_one(address, config.unix_mode, backlog(config));
    let mut listeners = config.listen.iter().map(open).collect::<Result<Vec<_>>>()?;
    for listener in &mut listeners {
        tcp::widen(&mut listener.sockets, sockets_of_one_address(config), backlog(config))
            .map_err(|source| refused(&listener.address, source))?;
    }
    Ok(listeners)
}

/// Opens one socket at an address; of a unix socket, the file with these permissions.
///
/// # Errors
///
/// [`Error::Listen`].
pub(super) fn open_one(address: &ListenAddress, mode: u32, backlog: i32) -> Result<Listener> {
    match address {
        ListenAddress::Tcp(asked) => open_tcp(*asked, backlog),
        ListenAddress::Unix(path) => open_unix(path, mode, backlog),
    }
    .map_err(|source| refused(address, source))
}

/// Sees to it that listeners that come from elsewhere have a socket for every thread that accepts.
/// They may have more, from a server with more workers; then a thread has several. They may keep
/// fewer, where the kernel refuses to have others beside them.
///
/// What a service manager shares stays as it made it: a socket opened beside it would go with us.
pub(super) fn fit(listeners: &mut [Listener], config: &ServerConfig) {
    for listener in listeners.iter_mut().filter(|listener| listener.origin == Origin::Own) {
        let (sockets, count) = (&mut listener.sockets, sockets_of_one_address(config));
        if let Err(error) = tcp::widen(sockets, count, backlog(config)) {
            let (address, had) = (&listener.address, sockets.len());
            warn!(
                target: "listen",
                "{address} stays with {had} sockets for {count} threads: {error}"
            );
        }
    }
}

fn sockets_of_one_address(config: &ServerConfig) -> usize {
    match config.accept {
        AcceptMode::Acceptor | AcceptMode::AcceptorInShard0 => 1,
        AcceptMode::ReusePort | AcceptMode::Hybrid => config.workers.get(),
    }
}

fn open_tcp(asked: SocketAddr, backlog: i32) -> io::Result<Listener> {
    let socket = tcp::open(asked, backlog)?;
    let address = ListenAddress::Tcp(tcp::address_of(&socket)?.unwrap_or(asked));
    Ok(Listener { address, file: None, sockets: vec![socket], origin: Origin::Own, name: None })
}

fn open_unix(path: &Path, mode: u32, backlog: i32) -> io::Result<Listener> {
    let (socket, file) = unix::open(path, mode, backlog)?;
    let address = ListenAddress::Unix(path.to_owned());
    let (file, sockets) = (Some(Arc::new(file)), vec![socket]);
    Ok(Listener { address, file, sockets, origin: Origin::Own, name: None })
}

/// Takes a socket that came from elsewhere, if it is one that can be accepted from, and gives it
/// the options that those opened here have.
///
/// # Errors
///
/// `InvalidInput` if it is no listening stream socket.
pub(super) fn adopt(socket: &Socket) -> io::Result<()> {
    let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    if !is_stream || !socket.is_listener().unwrap_or(false) {
        let problem = "it is no listening stream socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    if socket.domain()? != Domain::UNIX {
        tcp::set_inherited_options(socket)?;
    }
    Ok(())
}

fn backlog(config: &ServerConfig) -> i32 {
    i32::try_from(config.backlog).unwrap_or(i32::MAX)
}

fn refused(address: &ListenAddress, source: io::Error) -> Error {
    Error::Listen { address: address.to_string(), source }
}
