//! Connecting a bufferevent: by address, by host name, or to a unix socket.
//!
//! Meanwhile both directions are suspended. `crate::connect` does the work, and here its events
//! reach it. The result is an event: connected, or an error.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::direction::Suspended;
use super::error::BuffereventError;
use super::handle::BuffereventMut;
use super::serve::serve_from;
use super::socket::SocketState;
use super::state::{Bufferevent, Kind};
use super::table::{BuffereventId, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::connect::{ConnectError, ConnectEvents, Connector, Progress, Resolver};
use crate::event::Fired;
use crate::transport::Transport;

/// Where to connect to.
enum Target<'a> {
    Address(SocketAddr),
    Host(&'a str, u16),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A connect that has not ended.
pub(super) struct Connecting {
    /// Distinguishes this connect from an earlier one of the same bufferevent.
    number: u64,
    connector: Connector,
}

impl BuffereventId {
    /// The events of its connect.
    fn connect_events<C: HasBufferevents>(self) -> ConnectEvents<C> {
        ConnectEvents { token: self.token(), on_attempt, on_timer }
    }
}

/// Connecting (libevent: `bufferevent_socket_connect` and its siblings).
///
/// Each of these returns at once. Then the event handler gets [`What::CONNECTED`], or
/// [`What::ERROR`], whose error is a [`ConnectError`]. Output that is put in before is sent
/// afterwards. The timeout covers all, the lookup too. Without one the kernel gives up after
/// some minutes.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Connects to an address (libevent: `bufferevent_socket_connect`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`].
    pub fn connect(
        &mut self,
        address: SocketAddr,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.begin_connect(Target::Address(address), timeout)
    }

    /// Looks a host name up, without making the loop wait, and connects to it (libevent:
    /// `bufferevent_socket_connect_hostname`).
    ///
    /// All its addresses are tried, both families early, each beside the one before it if that
    /// takes more than 250 ms ("Happy Eyeballs", RFC 8305). The first connection is used.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`].
    pub fn connect_host(
        &mut self,
        host: &str,
        port: u16,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.begin_connect(Target::Host(host, port), timeout)
    }

    /// Connects to a unix stream socket (libevent: `bufferevent_socket_connect` with `AF_UNIX`).
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Connected`] and [`BuffereventError::NoSocket`]; and
    /// [`BuffereventError::Os`] if that cannot be connected to at once: a unix socket either
    /// accepts or refuses, or its backlog is full.
    pub fn connect_unix(&mut self, path: &Path) -> Result<(), BuffereventError> {
        let (state, registry, id) = self.unconnected_state()?;
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
            socket.connect(&SockAddr::unix(path)?).map(|()| socket)
        };
        let op = format!("connect to the unix socket {}", path.display());
        let socket = connect().map_err(BuffereventError::os(op))?;
        state.attach(registry, id, Transport::new(socket));
        state.report_connected();
        self.note_change();
        Ok(())
    }

    /// Whether it is being connected.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        matches!(&self.state_ref().kind, Kind::Socket(SocketState { connecting: Some(_), .. }))
    }

    fn begin_connect(
        &mut self,
        target: Target<'_>,
        timeout: Option<Duration>,
    ) -> Result<(), BuffereventError> {
        self.unconnected_state()?;
        let (table, registry, id) = self.parts();
        table.connects += 1;
        let number = table.connects;
        let events = id.connect_events();
        let connector = match target {
            Target::Address(address) => {
                Ok(Connector::to_address(registry, &events, address, timeout))
            }
            Target::Host(name, port) => {
                let remote = registry.remote();
                let resolver = table.resolver.get_or_insert_with(Resolver::new);
                let lookup = resolver.look_up(name, port, move |addresses| {
                    // If the base is gone, so is the bufferevent.
                    let _ = remote.post(move |registry, cx| {
                        looked_up(registry, cx, id, number, addresses);
                    });
                });
                let host = target.to_string();
                lookup.map(|lookup| Connector::to_host(registry, &events, host, lookup, timeout))
            }
        };
        let state = table.resolve(id)?;
        match connector {
            Ok(connector) => state.begin_connect(registry, id, Connecting { number, connector }),
            Err(error) => state.fail_connect(registry, error),
        }
        self.note_change();
        Ok(())
    }

    fn unconnected_state(
        &mut self,
    ) -> Result<(&mut Bufferevent<C>, &mut Registry<C>, BuffereventId), BuffereventError> {
        let (table, registry, id) = self.parts();
        let state = table.resolve(id)?;
        match &state.kind {
            Kind::Socket(SocketState { transport: None, connecting: None, .. }) => {
                Ok((state, registry, id))
            }
            Kind::Socket(_) => Err(BuffereventError::Connected(id)),
            Kind::Pair(_) | Kind::Filter(_) => Err(BuffereventError::NoSocket(id)),
        }
    }
}

impl Connecting {
    /// Ends it: frees its events, and closes its sockets.
    pub(super) fn cancel<C>(self, registry: &mut Registry<C>) {
        self.connector.cancel(registry);
    }
}

/// The socket of an attempt is connected, or its connect failed.
fn on_attempt<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    if let Some(state) = cx.bufferevents().state_mut(id) {
        state.advance_connect(registry, id, |connector, registry, events| {
            connector.attempt_ended(registry, events, fired.id)
        });
        serve_from(registry, cx, fired.id, Some((id, false)));
    }
}

/// It is time for the next attempt, or to give up.
fn on_timer<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    if let Some(state) = cx.bufferevents().state_mut(id) {
        state.advance_connect(registry, id, Connector::advance);
        serve_from(registry, cx, fired.id, Some((id, false)));
    }
}

/// The host name was looked up.
fn looked_up<C: HasBufferevents>(
    registry: &mut Registry<C>,
    cx: &mut C,
    id: BuffereventId,
    number: u64,
    addresses: io::Result<Vec<SocketAddr>>,
) {
    let table = cx.bufferevents();
    let Some(state) = table.state_mut(id) else { return };
    let Kind::Socket(SocketState { connecting: Some(connecting), .. }) = &mut state.kind else {
        return;
    };
    if connecting.number != number {
        return;
    }
    state.advance_connect(registry, id, |connector, registry, events| {
        connector.looked_up(registry, events, addresses)
    });
    table.mark_changed(registry, id);
}

impl<C: HasBufferevents> Bufferevent<C> {
    /// Suspends both directions until the connect has ended, and starts it.
    fn begin_connect(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        connecting: Connecting,
    ) {
        let Kind::Socket(socket) = &mut self.kind else { return };
        socket.connecting = Some(Box::new(connecting));
        self.read.suspended |= Suspended::CONNECT;
        self.write.suspended |= Suspended::CONNECT;
        self.advance_connect(registry, id, Connector::advance);
    }

    fn advance_connect(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        advance: impl FnOnce(&mut Connector, &mut Registry<C>, &ConnectEvents<C>) -> Progress,
    ) {
        let Kind::Socket(SocketState { connecting: Some(connecting), .. }) = &mut self.kind else {
            return;
        };
        match advance(&mut connecting.connector, registry, &id.connect_events()) {
            Progress::Waits => {}
            Progress::Connected(socket) => {
                self.end_connect(registry);
                self.attach(registry, id, Transport::new(socket));
                self.report_connected();
            }
            Progress::Failed(error) => self.fail_connect(registry, error),
        }
    }

    fn fail_connect(&mut self, registry: &mut Registry<C>, error: ConnectError) {
        self.end_connect(registry);
        let kind = match &error {
            ConnectError::Failed { source, .. } | ConnectError::Lookup { source, .. } => {
                source.kind()
            }
            ConnectError::TimedOut { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        self.report_error(io::Error::new(kind, error), What::empty());
    }

    /// Ends a connect, if there is one: frees its events, and closes its sockets.
    pub(super) fn end_connect(&mut self, registry: &mut Registry<C>) {
        self.is_unsettled = true;
        self.read.suspended -= Suspended::CONNECT;
        self.write.suspended -= Suspended::CONNECT;
        if let Kind::Socket(socket) = &mut self.kind
            && let Some(connecting) = socket.connecting.take()
        {
            connecting.cancel(registry);
        }
    }
}
