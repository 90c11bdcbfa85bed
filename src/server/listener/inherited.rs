//! Sockets that a service manager opened and passed: systemd's socket activation.

use std::io;
use std::os::fd::RawFd;

use socket2::{Domain, Socket};

use super::{ListenAddress, Listener, Origin, adopt, tcp};
use crate::server::error::{Error, Result};
use crate::sys::socket::take_inherited;

/// The name of sockets whose connections begin with TLS.
const TLS_NAME: &str = "tls";

/// The listeners that a service manager passed to this process, `None` if it passed none
/// (sd_listen_fds(3): `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`). They must be listening stream
/// sockets. Those of one address become one [`Listener`], in the order passed. Connections of
/// sockets with the name `tls` (systemd: `FileDescriptorName=tls`) begin with TLS.
///
/// A second call returns `None`, because the sockets then have an owner. The variables stay set,
/// because changing the environment is safe only with a single thread. A child that inherits them
/// sees from `LISTEN_PID` that they are for another process.
///
/// # Errors
///
/// [`Error::Inherited`] if a descriptor is not open or no listening stream socket, or if the
/// variables contradict each other.
pub fn inherited() -> Result<Option<Vec<Listener>>> {
    // Where LISTEN_PID names another process, there are none.
    let passed = sd_notify::listen_fds_with_names(false)
        .map_err(|source| unusable(format!("{source}; start without LISTEN_FDS to open others")))?;
    let (numbers, names): (Vec<RawFd>, Vec<String>) = passed.unzip();
    if numbers.is_empty() {
        return Ok(None);
    }
    let taken = take_inherited(numbers.len()).map_err(|source| unusable(source.to_string()))?;
    let Some(taken) = taken else { return Ok(None) };
    let mut listeners = Vec::new();
    for ((descriptor, number), name) in taken.into_iter().zip(numbers).zip(names) {
        let socket = Socket::from(descriptor);
        let address = adopt(&socket).and_then(|()| address_of(&socket)).map_err(|source| {
            unusable(format!(
                "fd {number}, called {name:?}: {source}; \
                 pass what ListenStream= opens, with Accept=no"
            ))
        })?;
        add(&mut listeners, address, name, socket);
    }
    Ok(Some(listeners))
}

fn unusable(problem: String) -> Error {
    Error::Inherited { problem }
}

fn address_of(socket: &Socket) -> io::Result<ListenAddress> {
    if let Some(address) = tcp::address_of(socket)? {
        return Ok(ListenAddress::Tcp(address));
    }
    if socket.domain()? != Domain::UNIX {
        return Err(io::Error::other("it is neither a TCP nor a unix socket"));
    }
    let address = socket.local_addr()?;
    if let Some(path) = address.as_pathname() {
        return Ok(ListenAddress::Unix(path.to_owned()));
    }
    // An abstract name, as systemd and ss write it.
    let name = String::from_utf8_lossy(address.as_abstract_namespace().unwrap_or_default());
    Ok(ListenAddress::Unix(format!("@{name}").into()))
}

/// Adds a socket to the listener of its address. Their order is that of the descriptors.
fn add(listeners: &mut Vec<Listener>, address: ListenAddress, name: String, socket: Socket) {
    match listeners.iter_mut().find(|listener| listener.address == address) {
        Some(listener) => listener.sockets.push(socket),
        None => listeners.push(Listener {
            address,
            tls: name == TLS_NAME,
            file: None,
            sockets: vec![socket],
            origin: Origin::Shared,
            name: Some(name),
        }),
    }
}
