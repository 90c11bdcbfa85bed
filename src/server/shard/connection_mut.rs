//! A connection during a callback, together with its worker and the registry of the worker's base:
//! its events, its timer, and its close.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::close_reason::CloseReason;
use super::connection::Connection;
use super::worker::Worker;
use crate::base::{CommonTimeout, Handler, Registry};
use crate::event::{EventId, EventSpec, Token};
use crate::server::service::NextStep;

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
    pub(super) fn watch(&mut self, event: EventId, deadline: Option<Duration>) -> bool {
        let added = self.registry.add(event, deadline);
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
        let spec = EventSpec::io(&self.transport, self.transport.write_waits_for()).persist();
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

/// The close.
impl ConnectionMut<'_> {
    /// Closes it, after TLS has notified its peer that the stream is complete.
    pub(super) fn finish(&mut self) {
        self.transport.send_close_notify();
        self.hold_unsent();
        if self.pending.is_some() {
            self.begin_sending(NextStep::Close);
        } else {
            self.close();
        }
    }

    /// Closes it; its peer is done and got everything.
    pub(super) fn close(&mut self) {
        let connection = self.worker.connections.remove(self.key);
        for event in
            [Some(connection.readable), connection.writable, connection.timer].into_iter().flatten()
        {
            // Its socket has no copy: `Transport` owns it, and a service sees only its address.
            self.registry.free_closing(event);
        }
        if self.worker.calls.close(self.key).is_none() {
            CloseReason::Panicked.count(&mut self.worker.stats.errors);
        }
        if let Some(rates) = &mut self.worker.calls.byte_rates {
            rates.end(self.key);
        }
        if let Some(ages) = &mut self.worker.ages {
            ages.end(self.key);
        }
        // Close the socket first: an acceptor that is woken may need its descriptor.
        drop(connection);
        self.worker.source_slots.release(self.key);
        if let Some(tls) = &mut self.worker.tls {
            tls.end(self.key);
        }
        self.worker.handoff.closed();
        if self.worker.draining.is_some() && self.worker.connections.is_empty() {
            self.registry.loop_exit();
        }
    }

    /// Closes it early, by a reset if its peer would miss anything.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        reason.count(&mut self.worker.stats.errors);
        if reason == CloseReason::NoMemory {
            self.worker.log_no_memory();
        }
        if reason.is_orderly(self) {
            self.transport.send_close_notify();
        } else {
            self.transport.reset_on_close();
        }
        self.close();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::TcpStream;

    use super::super::test_worker::{one_sided_pair, worker_with};
    use super::super::worker::Worker;
    use super::*;
    use crate::base::{EventBase, LoopFlags};
    use crate::event::Ready;
    use crate::server::service::Echo;

    /// A worker whose one connection has pending output.
    fn echoing(socket: TcpStream) -> (EventBase<Worker>, Worker, usize) {
        let (mut base, mut worker) = worker_with(Echo, socket);
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        let [key] = worker.connection_keys()[..] else { panic!("one connection was adopted") };
        while !worker.connections[key].has_pending_output() {
            base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        }
        (base, worker, key)
    }

    /// Everything was read and not everything was sent. An orderly close would claim that the echo
    /// is complete.
    #[test]
    fn a_connection_cut_with_pending_output_ends_in_a_reset() {
        let (mut client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = echoing(socket);
        worker.connection(base.registry(), key).fail(CloseReason::Cut);
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(worker.stats.errors.cut, 1);
        assert_eq!(worker.handoff.load().connections(), 0);
    }

    #[test]
    fn a_connection_that_the_kernel_refuses_to_watch_ends_visibly() {
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = echoing(socket);
        let events = [Some(worker.connections[key].readable), worker.connections[key].writable];
        base.registry().activate(events[1].unwrap(), Ready::REFUSED).unwrap();
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        assert!(worker.connections.is_empty());
        assert_eq!(worker.stats.errors.refused, 1);
        for id in events.into_iter().flatten() {
            assert!(base.registry().add(id, None).is_err(), "its events are freed");
        }
    }
}
