//! Access to one listener.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::super::error::BuffereventError;
use super::super::table::{Bufferevents, HasBufferevents};
use super::{AcceptHandler, ListenErrorHandler, Listener, ListenerId};
use crate::base::Registry;
use crate::event::Token;

impl<C: HasBufferevents> Bufferevents<C> {
    /// Gives access to a listener; `None` if it was freed.
    pub fn listener<'a>(
        &'a mut self,
        registry: &'a mut Registry<C>,
        id: ListenerId,
    ) -> Option<ListenerMut<'a, C>> {
        self.listeners.get(id.0)?;
        Some(ListenerMut { table: self, registry, id })
    }
}

/// A listener, together with the registry of its base (libevent: `struct evconnlistener`).
///
/// [`Bufferevents::listener`] returns it.
pub struct ListenerMut<'a, C: HasBufferevents> {
    table: &'a mut Bufferevents<C>,
    registry: &'a mut Registry<C>,
    id: ListenerId,
}

impl<C: HasBufferevents> ListenerMut<'_, C> {
    /// Accepts connections again (libevent: `evconnlistener_enable`). If it is paused, it does so
    /// after the pause.
    ///
    /// # Errors
    ///
    /// [`BuffereventError::Base`]. It stays disabled then.
    pub fn enable(&mut self) -> Result<(), BuffereventError> {
        self.state().is_enabled = true;
        let watched = self.watch();
        self.state().is_enabled = watched.is_ok();
        Ok(watched?)
    }

    /// Accepts no more connections (libevent: `evconnlistener_disable`), from this moment on. New
    /// ones wait in the kernel's backlog.
    pub fn disable(&mut self) {
        self.state().is_enabled = false;
        // Ending it needs nothing of the kernel that could fail.
        let _ = self.watch();
    }

    fn watch(&mut self) -> crate::error::Result<()> {
        let Self { table, registry, id } = self;
        table.listener_state(*id).map_or(Ok(()), |listener| listener.watch(registry))
    }

    /// Whether it is enabled, also while it is paused.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.state_ref().is_enabled
    }

    /// Whether it does not accept for a moment, because accepting failed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state_ref().is_paused
    }

    /// Sets the handler of connections (libevent: `evconnlistener_set_cb`).
    pub fn set_handler(&mut self, on_accept: AcceptHandler<C>) {
        self.state().on_accept = on_accept;
    }

    /// Sets the handler of errors (libevent: `evconnlistener_set_error_cb`).
    ///
    /// It is called once when accepting begins to fail, for instance because descriptors are
    /// exhausted, and again only after a connection was accepted in between. The listener resumes
    /// by itself.
    pub fn set_error_handler(&mut self, on_error: Option<ListenErrorHandler<C>>) {
        self.state().on_error = on_error;
    }

    /// Sets a number of the owner's choice (libevent: the callback's `arg`).
    pub fn set_token(&mut self, token: Token) {
        self.state().token = token;
    }

    /// The number that was set; 0 if none was.
    #[must_use]
    pub fn token(&self) -> Token {
        self.state_ref().token
    }

    /// The address on which it listens; `None` for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.state_ref().socket.local_addr().ok()?.as_socket()
    }

    /// Its descriptor (libevent: `evconnlistener_get_fd`).
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.state_ref().socket.as_raw_fd()
    }

    /// Ends the listener, and returns its socket, which goes on listening.
    pub fn take_socket(self) -> OwnedFd {
        let socket = self.table.remove_listener(self.registry, self.id);
        socket.expect("it exists as long as this access").into()
    }

    fn state_ref(&self) -> &Listener<C> {
        self.table.listeners.get(self.id.0).expect("it exists as long as this access")
    }

    fn state(&mut self) -> &mut Listener<C> {
        self.table.listener_state(self.id).expect("it exists as long as this access")
    }
}

impl<C: HasBufferevents> fmt::Debug for ListenerMut<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenerMut").field(&self.id).finish()
    }
}
