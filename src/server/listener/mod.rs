//! Listeners: addresses and the sockets that listen on them.
//!
//! They are opened here, inherited from a service manager, or taken over from a running server
//! ([`upgrade`](super::upgrade)).

mod inherited;
mod socket_file;
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

use crate::server::config::{AcceptMode, ServerConfig, ranges};
use crate::server::error::{Error, Result};

pub use crate::server::listen_address::{AddressError, Listen, ListenAddress};
pub use inherited::inherited;
pub(super) use socket_file::{FileIdentity, SocketFile};

/// One address and its listening sockets: one, or one for each accepting thread (`SO_REUSEPORT`).
/// Dropping it closes the sockets, and removes the file of its own unix socket.
#[derive(Debug)]
pub struct Listener {
    /// Its address; for port 0 it has the port that the kernel chose.
    pub(super) address: ListenAddress,
    /// Whether its connections begin with TLS.
    pub(super) tls: bool,
    /// Removed before the sockets are closed.
    pub(super) file: Option<Arc<SocketFile>>,
    pub(super) sockets: Vec<Socket>,
    pub(super) origin: Origin,
    /// The name that the service manager gave it.
    pub(super) name: Option<String>,
}

/// Which processes have a listening socket. This decides how it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// Only this process. It must accept the kernel's backlog before it closes the socket.
    Own,
    /// A service manager or another server, too, which goes on accepting.
    Shared,
}

impl Listener {
    /// One that this process has opened, without TLS.
    fn own(address: ListenAddress, file: Option<Arc<SocketFile>>, socket: Socket) -> Self {
        let (sockets, origin) = (vec![socket], Origin::Own);
        Self { address, tls: false, file, sockets, origin, name: None }
    }

    /// Its address; for port 0 it has the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Its address, and whether its connections begin with TLS.
    #[must_use]
    pub fn listen(&self) -> Listen {
        Listen { address: self.address.clone(), tls: self.tls }
    }

    /// The name that the service manager gave it (`LISTEN_FDNAMES`).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Duplicates the sockets, so that they can be offered to a successor. The kernel goes on
    /// listening until both are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if there is no descriptor left.
    pub(super) fn duplicate(&self) -> Result<Self> {
        let sockets = self.sockets.iter().map(Socket::try_clone).collect::<io::Result<_>>();
        Ok(Self {
            address: self.address.clone(),
            tls: self.tls,
            file: self.file.clone(),
            sockets: sockets.map_err(Error::os("duplicate a listening socket"))?,
            origin: self.origin,
            name: self.name.clone(),
        })
    }
}

/// Opens every address of the configuration. In modes where each worker accepts, a TCP address gets
/// one socket per worker. A unix socket is always one.
///
/// # Errors
///
/// [`Error::OutOfRange`] for a value of the configuration that is out of its [range](ranges), and
/// [`Error::Listen`] for the first address that cannot be opened. In every [`AcceptMode`] this
/// includes an address where another process listens.
pub fn open(config: &ServerConfig) -> Result<Vec<Listener>> {
    config.check()?;
    ranges::expect_listeners(config.listen.len())?;
    let open = |listen: &Listen| {
        let listener = open_one(&listen.address, config.unix_mode, backlog(config))?;
        Ok(Listener { tls: listen.tls, ..listener })
    };
    let mut listeners = config.listen.iter().map(open).collect::<Result<Vec<_>>>()?;
    for listener in &mut listeners {
        tcp::widen(&mut listener.sockets, sockets_of_one_address(config), backlog(config))
            .map_err(|source| refused(&listener.address, source))?;
    }
    Ok(listeners)
}

/// Opens one socket at an address, without TLS. `mode` has the permissions of a unix socket's file.
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

/// Gives inherited or received listeners a socket for every accepting thread. They may have more,
/// from a server with more workers: then a thread has several. They may keep fewer, if the kernel
/// refuses to add others.
///
/// The sockets that a service manager shares stay as they are: one opened beside them would end
/// with this process.
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
    Ok(Listener::own(address, None, socket))
}

fn open_unix(path: &Path, mode: u32, backlog: i32) -> io::Result<Listener> {
    let (socket, file) = unix::open(path, mode, backlog)?;
    let address = ListenAddress::Unix(path.to_owned());
    Ok(Listener::own(address, Some(Arc::new(file)), socket))
}

/// Checks a socket from elsewhere, and sets the options of those opened here.
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
