//! A connection during a callback: together with its worker and the registry of the worker's base.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::close::CloseReason;
use super::connection::Connection;
use super::worker::Worker;
use crate::base::{CommonTimeout, Handler, Registry};
use crate::event::{EventId, EventSpec, Interest, Token};

/// A connection during a callback; it dereferences to the [`Connection`]. Once it is closed, only
/// [`is_open`](Self::is_open) may be called.
pub(super) struct ConnectionMut<'a> {
    pub(super) worker: &'a mut Worker,
    pub(super) registry: &'a mut Registry<Worker>,
    pub(super) key: usize,
}

impl Worker {
    /// The open connection with this key.
    pub(super) fn connection<'a>(
        &'a mut self,
        registry: &'a mut Registry<Self>,
        key: usize,
    ) -> ConnectionMut<'a> {
        ConnectionMut { worker: self, registry, key }
    }

    /// The keys of all connections, in a list of their own, so that the caller may close them.
    pub(super) fn connection_keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }
}

impl Deref for ConnectionMut<'_> {
    type Target = Connection;

    #[inline]
    fn deref(&self) -> &Connection {
        &self.worker.connections[self.key]
    }
}

impl DerefMut for ConnectionMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.worker.connections[self.key]
    }
}

impl ConnectionMut<'_> {
    /// Whether it has not been closed.
    pub(super) fn is_open(&self) -> bool {
        self.worker.connections.contains(self.key)
    }

    /// Adds one of its I/O events, with a deadline from now on or with none. If the kernel is out
    /// of watches or memory, the connection is closed. With the deferred changelist the kernel
    /// refuses later, and the handler closes it. Returns whether the connection is open.
    pub(super) fn watch(&mut self, event: EventId, deadline: Option<CommonTimeout>) -> bool {
        let added = match deadline {
            Some(deadline) => self.registry.add_common(event, deadline),
            None => self.registry.add(event, None),
        };
        if added.is_err() {
            self.fail(CloseReason::Refused);
        }
        added.is_ok()
    }

    /// Waits until the socket takes output; returns whether the connection is open.
    pub(super) fn watch_writable(&mut self, handler: Handler<Worker>) -> bool {
        if self.writable.is_some() {
            return true;
        }
        let spec = EventSpec::io(&self.socket, Interest::WRITE).persist();
        let writable = self.registry.create(spec.token(Token(self.key as u64)), handler);
        self.writable = Some(writable);
        self.watch(writable, self.worker.deadlines.idle)
    }

    pub(super) fn free_writable(&mut self) {
        if let Some(writable) = self.writable.take() {
            self.registry.free(writable);
        }
    }

    /// Starts its timer, in place of any other, with a deadline of the shard.
    pub(super) fn start_deadline(&mut self, deadline: CommonTimeout, handler: Handler<Worker>) {
        let timer = self.renew_timer(handler);
        self.registry.add_common(timer, deadline).expect("a timer needs nothing of the kernel");
    }

    /// Starts its timer, in place of any other.
    pub(super) fn start_timer(&mut self, time: Duration, handler: Handler<Worker>) {
        let timer = self.renew_timer(handler);
        self.registry.add(timer, Some(time)).expect("a timer needs nothing of the kernel");
    }

    fn renew_timer(&mut self, handler: Handler<Worker>) -> EventId {
        self.free_timer();
        let timer = self.registry.create(EventSpec::timer().token(Token(self.key as u64)), handler);
        self.timer = Some(timer);
        timer
    }

    pub(super) fn free_timer(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.registry.free(timer);
        }
    }
}
