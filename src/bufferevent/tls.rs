//! TLS of bufferevents (libevent: `bufferevent_ssl.h`): its start, its handshake, and what that
//! agreed on.
//!
//! In the handshake both directions are suspended, and the socket is watched for it alone. Then
//! [`What::CONNECTED`] is reported, and the bytes of both directions move as without TLS.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::direction::Suspended;
use super::error::BuffereventError;
use super::handle::BuffereventMut;
use super::serve::serve_from;
use super::socket::SocketState;
use super::state::{Bufferevent, BuffereventOptions, Kind};
use super::table::{BuffereventId, Bufferevents, HasBufferevents};
use super::what::What;
use crate::base::Registry;
use crate::buffer::Buffer;
use crate::event::{EventId, EventSpec, Fired, Interest};
use crate::rate_limit::Direction as Way;
use crate::tls::{TlsClient, TlsError, TlsFacts, TlsServer};

/// TLS that is to be started once there is a socket, or whose handshake is not done.
pub(super) struct Handshake {
    /// The connection and the name that it asks for, before it begins.
    begins: Option<(rustls::Connection, Option<String>)>,
    timeout: Option<Duration>,
    /// Ends the handshake if it takes too long.
    timer: Option<EventId>,
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Creates a bufferevent on a connected stream socket, and does the server's side of a TLS
    /// handshake (libevent: `bufferevent_openssl_socket_new` with `BUFFEREVENT_SSL_ACCEPTING`).
    ///
    /// The event handler gets [`What::CONNECTED`] when the handshake is done. If it fails or takes
    /// longer than [`TlsServer::handshake_timeout`], the handler gets [`What::ERROR`] for both
    /// directions, whose error has a [`TlsError`] inside.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Os`] if the descriptor cannot be non-blocking, and
    /// [`BuffereventError::Tls`].
    pub fn accept_tls(
        &mut self,
        registry: &mut Registry<C>,
        socket: impl Into<OwnedFd>,
        server: &TlsServer,
        options: BuffereventOptions,
    ) -> Result<BuffereventId, BuffereventError> {
        let handshake = Handshake::of_server(server)?;
        let transport = super::socket::non_blocking(socket.into())?;
        let id = self.unconnected(registry, options);
        let state = self.resolve(id)?;
        if let Kind::Socket(socket) = &mut state.kind {
            socket.handshake = Some(Box::new(handshake));
        }
        state.attach(registry, id, transport);
        self.mark_changed(registry, id);
        Ok(id)
    }
}

/// TLS.
impl<C: HasBufferevents> BuffereventMut<'_, C> {
    /// Begins TLS as its client, with the server of this name (libevent:
    /// `bufferevent_openssl_socket_new` with `BUFFEREVENT_SSL_CONNECTING`).
    ///
    /// Before a connect, it begins TLS once that has succeeded, and all output is sent by TLS.
    /// On a connected bufferevent it begins at once ("STARTTLS"): output that is there already is
    /// sent before, as it is. Input that is there already is an error, because it may have come
    /// from anyone, and no one should take it for what TLS brought. Bytes that arrive from now on
    /// are taken for TLS.
    ///
    /// The name may be an address. The server's certificate must be for it. What happens then is as
    /// described at [`Bufferevents::accept_tls`].
    ///
    /// # Errors
    ///
    /// [`BuffereventError::PlainInput`], [`BuffereventError::HasTls`],
    /// [`BuffereventError::NoSocket`] for a pair and a filter, and [`BuffereventError::Tls`] if the
    /// name is none. Nothing is changed then.
    ///
    /// ```
    /// # use evshard::{BuffereventOptions, Bufferevents, Config, EventBase, HasBufferevents};
    /// use evshard::tls::{TlsClient, TrustRoots};
    /// # #[derive(Default)]
    /// # struct App { bufferevents: Bufferevents<Self> }
    /// # impl HasBufferevents for App {
    /// #     fn bufferevents(&mut self) -> &mut Bufferevents<Self> { &mut self.bufferevents }
    /// # }
    /// # type Result = std::result::Result<(), Box<dyn std::error::Error>>;
    /// # fn connect(base: &mut EventBase<App>, app: &mut App) -> Result {
    ///
    /// let client = TlsClient::builder(TrustRoots::system()?).build()?;
    /// let id = app.bufferevents.unconnected(base.registry(), BuffereventOptions::empty());
    /// let mut bufferevent = app.bufferevents.get(base.registry(), id).expect("it is new");
    /// bufferevent.start_tls_client(&client, "example.org")?;
    /// bufferevent.connect_host("example.org", 443, None)?;
    /// bufferevent.write(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_tls_client(
        &mut self,
        client: &TlsClient,
        name: &str,
    ) -> Result<(), BuffereventError> {
        self.expect_plain()?;
        let is_address = name.parse::<IpAddr>().is_ok();
        let requested = (!is_address).then(|| name.to_owned());
        let begins = Some((client.connection(name)?, requested));
        let timeout = client.handshake_timeout();
        self.start_tls(Handshake { begins, timeout, timer: None })
    }

    /// Begins TLS as its server; see [`start_tls_client`](Self::start_tls_client).
    ///
    /// # Errors
    ///
    /// As `start_tls_client`.
    pub fn start_tls_server(&mut self, server: &TlsServer) -> Result<(), BuffereventError> {
        self.expect_plain()?;
        self.start_tls(Handshake::of_server(server)?)
    }

    fn expect_plain(&mut self) -> Result<(), BuffereventError> {
        let id = self.id;
        let state = self.state();
        match &state.kind {
            Kind::Socket(socket) if socket.is_tls() || socket.handshake.is_some() => {
                Err(BuffereventError::HasTls(id))
            }
            Kind::Socket(_) if !state.input.is_empty() => {
                Err(BuffereventError::PlainInput { id, bytes: state.input.len() })
            }
            Kind::Socket(_) => Ok(()),
            Kind::Pair(_) | Kind::Filter(_) => Err(BuffereventError::NoSocket(id)),
        }
    }

    fn start_tls(&mut self, handshake: Handshake) -> Result<(), BuffereventError> {
        self.is_changed = true;
        let (table, registry, id) = self.parts();
        let Some((state, groups)) = table.state_and_groups(id) else { return Ok(()) };
        let Kind::Socket(socket) = &mut state.kind else { return Ok(()) };
        socket.handshake = Some(Box::new(handshake));
        if socket.transport.is_some() {
            let first = std::mem::take(&mut state.output);
            state.moved(registry, groups, Way::Write, first.len());
            state.begin_handshake(registry, id, first);
        }
        Ok(())
    }

    /// Takes a stream that ended without close_notify for one that ended properly: the event is
    /// [`What::EOF`] (libevent: `bufferevent_openssl_set_allow_dirty_shutdown`).
    ///
    /// Anyone between the two can cut such a stream off. So allow it only if the protocol above
    /// marks where its messages end. By default it is an error whose kind is `UnexpectedEof`.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::NoSocket`] for a pair and a filter.
    pub fn set_allow_dirty_shutdown(&mut self, allow: bool) -> Result<(), BuffereventError> {
        let id = self.id;
        let Kind::Socket(socket) = &mut self.state().kind else {
            return Err(BuffereventError::NoSocket(id));
        };
        socket.allows_truncation = allow;
        Ok(())
    }

    /// Whether that is allowed (libevent: `bufferevent_openssl_get_allow_dirty_shutdown`).
    #[must_use]
    pub fn allow_dirty_shutdown(&self) -> bool {
        matches!(&self.state_ref().kind, Kind::Socket(socket) if socket.allows_truncation)
    }

    /// What the TLS handshake agreed on, also of the socket below its filters (libevent:
    /// `bufferevent_openssl_get_ssl`); `None` without TLS, and until the handshake is done.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFacts> {
        self.transport()?.tls_facts()
    }
}

impl Handshake {
    fn of_server(server: &TlsServer) -> Result<Self, TlsError> {
        let begins = Some((server.connection()?, None));
        Ok(Self { begins, timeout: server.handshake_timeout(), timer: None })
    }
}

/// The time for a handshake is over.
fn on_deadline<C: HasBufferevents>(registry: &mut Registry<C>, cx: &mut C, fired: Fired) {
    let Some(id) = BuffereventId::from_token(fired.token) else { return };
    let Some(state) = cx.bufferevents().state_mut(id) else { return };
    if let Kind::Socket(SocketState { handshake: Some(handshake), .. }) = &state.kind
        && let Some(timeout) = handshake.timeout
    {
        state.fail_handshake(registry, TlsError::HandshakeTimedOut { timeout }.into());
        serve_from(registry, cx, fired.id, Some((id, false)));
    }
}

impl<C> Bufferevent<C> {
    /// The event that ends its handshake if it takes too long.
    pub(super) fn handshake_timer(&self) -> Option<EventId> {
        match &self.kind {
            Kind::Socket(socket) => socket.handshake.as_ref()?.timer,
            _ => None,
        }
    }
}

impl<C: HasBufferevents> Bufferevent<C> {
    /// Begins TLS if that is to be, on the socket that it has: suspends both directions, and sends
    /// `first` and what the handshake begins with.
    pub(super) fn begin_handshake(
        &mut self,
        registry: &mut Registry<C>,
        id: BuffereventId,
        first: Buffer,
    ) {
        let Kind::Socket(SocketState {
            transport: Some(transport),
            handshake: Some(handshake),
            ..
        }) = &mut self.kind
        else {
            return;
        };
        let Some((connection, requested)) = handshake.begins.take() else { return };
        if let Some(timeout) = handshake.timeout {
            let timer = registry.create(EventSpec::timer().token(id.token()), on_deadline);
            super::limits::start(registry, timer, timeout);
            handshake.timer = Some(timer);
        }
        transport.start_tls(connection, requested, first);
        self.has_tls = true;
        self.apply_priority(registry);
        for direction in [&mut self.read, &mut self.write] {
            direction.suspended |= Suspended::HANDSHAKE;
            if let Some(event) = direction.event {
                registry.remove_timeout(event);
            }
        }
        self.continue_handshake(registry);
    }

    /// Does what the handshake can do now.
    pub(super) fn continue_handshake(&mut self, registry: &mut Registry<C>) {
        self.is_unsettled = true;
        let Kind::Socket(SocketState { transport: Some(transport), .. }) = &self.kind else {
            return;
        };
        match transport.handshake() {
            Ok(true) => {
                self.end_handshake(registry);
                self.due.what |= What::CONNECTED;
                self.renew_timeout(registry, Interest::READ);
                self.renew_timeout(registry, Interest::WRITE);
            }
            Ok(false) => {}
            Err(error) => self.fail_handshake(registry, error),
        }
    }

    /// Ends both directions, since neither can go on without TLS.
    fn fail_handshake(&mut self, registry: &mut Registry<C>, error: io::Error) {
        self.end_handshake(registry);
        self.report_error(error, What::READING | What::WRITING);
    }

    /// Ends what is only for the handshake.
    pub(super) fn end_handshake(&mut self, registry: &mut Registry<C>) {
        self.read.suspended -= Suspended::HANDSHAKE;
        self.write.suspended -= Suspended::HANDSHAKE;
        if let Kind::Socket(socket) = &mut self.kind
            && let Some(timer) = socket.handshake.take().and_then(|handshake| handshake.timer)
        {
            registry.free(timer);
        }
    }
}
