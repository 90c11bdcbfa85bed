//! Listeners: they accept connections and pass each to a handler (libevent: `evconnlistener`).

mod accepting;
mod handle;
mod options;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::Socket;

use self::accepting::{on_acceptable, on_pause_over};
use super::error::BuffereventError;
use super::slots::slot_id;
use super::table::{Bufferevents, HasBufferevents};
use crate::accept::{Batch, PAUSE_MAX, PAUSE_MIN, ReserveFd};
use crate::base::Registry;
use crate::base::back_off::BackOff;
use crate::event::{EventId, EventSpec, Interest, Token};

pub use handle::ListenerMut;
pub use options::ListenOptions;

slot_id! {
    /// Identifies one listener of one table; `Copy`, 8 bytes.
    ///
    /// Once the listener is freed its id is *stale* and stays so.
    ListenerId
}

/// An accepted connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Accepted {
    /// The socket; non-blocking and close-on-exec.
    pub socket: OwnedFd,
    /// The address of the peer; `None` for a peer on a unix socket.
    pub peer: Option<SocketAddr>,
}

/// Called with each accepted connection (libevent: `evconnlistener_cb`).
pub type AcceptHandler<C> = fn(&mut Registry<C>, &mut C, ListenerId, Accepted);

/// Called when a listener cannot accept and pauses (libevent: `evconnlistener_errorcb`).
pub type ListenErrorHandler<C> = fn(&mut Registry<C>, &mut C, ListenerId, io::Error);

/// The most connections that a listener accepts in one turn, so that a storm of them leaves turns
/// to other events.
const BATCH_MAX: usize = 16;

/// One listener.
pub(super) struct Listener<C> {
    socket: Socket,
    /// Reports that a connection waits.
    acceptable: EventId,
    /// Ends a pause.
    pause_over: EventId,
    on_accept: AcceptHandler<C>,
    on_error: Option<ListenErrorHandler<C>>,
    token: Token,
    is_enabled: bool,
    is_paused: bool,
    batch: Batch,
    back_off: BackOff,
    reserve: ReserveFd,
    /// How many connections in a row ended before they were accepted.
    aborted: u32,
    /// Whether the error handler knows of the failure that lasts.
    is_reported: bool,
}

impl<C> Listener<C> {
    fn is_accepting(&self) -> bool {
        self.is_enabled && !self.is_paused
    }

    /// Makes its event pending if it accepts, and idle if not.
    fn watch(&self, registry: &mut Registry<C>) -> crate::error::Result<()> {
        if self.is_accepting() {
            registry.add(self.acceptable, None)
        } else {
            registry.del(self.acceptable);
            Ok(())
        }
    }
}

impl<C: HasBufferevents> Bufferevents<C> {
    /// Listens on an address, and calls a handler with each connection (libevent:
    /// `evconnlistener_new_bind`). Port 0 takes a free port; see
    /// [`local_address`](ListenerMut::local_address).
    ///
    /// It accepts at most 16 connections in a turn. If descriptors or memory are exhausted it
    /// resets one waiting client, calls the [error handler](ListenerMut::set_error_handler) once,
    /// and pauses for 10 ms, then twice as long each time, up to a second. For the reset it holds
    /// a descriptor in reserve.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Listen`], for instance if the address is in use, and
    /// [`BuffereventError::Base`].
    pub fn listen(
        &mut self,
        registry: &mut Registry<C>,
        address: SocketAddr,
        options: ListenOptions,
        on_accept: AcceptHandler<C>,
    ) -> Result<ListenerId, BuffereventError> {
        let socket = options.open(address).map_err(BuffereventError::listen(address))?;
        self.add_listener(registry, socket, options, on_accept)
    }

    /// Listens on a stream socket that is bound, or listens already, and owns it (libevent:
    /// `evconnlistener_new` with `LEV_OPT_CLOSE_ON_FREE`). This is for unix sockets, and for
    /// sockets from elsewhere. Of the options those about the address have no effect; nor has the
    /// backlog if the socket listens already.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_on(
        &mut self,
        registry: &mut Registry<C>,
        socket: impl Into<OwnedFd>,
        options: ListenOptions,
        on_accept: AcceptHandler<C>,
    ) -> Result<ListenerId, BuffereventError> {
        let socket = Socket::from(socket.into());
        options.adopt(&socket).map_err(|source| {
            let address = options::name(&socket);
            BuffereventError::listen(address)(source)
        })?;
        self.add_listener(registry, socket, options, on_accept)
    }

    fn add_listener(
        &mut self,
        registry: &mut Registry<C>,
        socket: Socket,
        options: ListenOptions,
        on_accept: AcceptHandler<C>,
    ) -> Result<ListenerId, BuffereventError> {
        let spec = EventSpec::io(&socket, Interest::READ).persist();
        let id = ListenerId(self.listeners.insert_with(|id| {
            let token = ListenerId(id).token();
            Listener {
                socket,
                acceptable: registry.create(spec.token(token), on_acceptable),
                pause_over: registry.create(EventSpec::timer().token(token), on_pause_over),
                on_accept,
                on_error: None,
                token: Token::default(),
                is_enabled: !options.disabled,
                is_paused: false,
                batch: Batch::new(BATCH_MAX),
                back_off: BackOff::new(PAUSE_MIN, PAUSE_MAX),
                reserve: ReserveFd::new(),
                aborted: 0,
                is_reported: false,
            }
        }));
        if let Some(listener) = self.listener_state(id)
            && let Err(error) = listener.watch(registry)
        {
            self.free_listener(registry, id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// Ends a listener and closes its socket (libevent: `evconnlistener_free`). Its handlers are
    /// not called any more. A stale id has no effect.
    pub fn free_listener(&mut self, registry: &mut Registry<C>, id: ListenerId) {
        drop(self.remove_listener(registry, id));
    }

    /// Ends a listener; returns its socket.
    fn remove_listener(&mut self, registry: &mut Registry<C>, id: ListenerId) -> Option<Socket> {
        let listener = self.listeners.remove(id.0)?;
        // First the events, then their descriptor.
        registry.free(listener.acceptable);
        registry.free(listener.pause_over);
        Some(listener.socket)
    }

    fn listener_state(&mut self, id: ListenerId) -> Option<&mut Listener<C>> {
        self.listeners.get_mut(id.0)
    }
}
