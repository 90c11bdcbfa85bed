//! A connection during a callback, together with its worker and the registry of the worker's base:
//! its events, its timer, and its close.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::call::{Closed, NextStep};
use super::close_reason::CloseReason;
use super::connection_state::ConnectionState;
use super::dialing::DialError;
use super::shard_mut::ShardMut;
use super::worker::Worker;
use crate::base::{CommonTimeout, Registry};
use crate::event::EventId;

/// A connection during a callback; it dereferences to the
/// [`ConnectionState`]. Once it is closed, only
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
        self.shard.connections.iter().map(|(key, _)| key).collect()
    }
}

impl Deref for ConnectionMut<'_> {
    type Target = ConnectionState;

    #[inline]
    fn deref(&self) -> &ConnectionState {
        &self.worker.shard.connections[self.key]
    }
}

impl DerefMut for ConnectionMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut ConnectionState {
        &mut self.worker.shard.connections[self.key]
    }
}

impl ConnectionMut<'_> {
    /// Whether it has not been closed.
    pub(super) fn is_open(&self) -> bool {
        self.worker.shard.connections.contains(self.key)
    }

    pub(super) fn shard(&mut self) -> ShardMut<'_> {
        ShardMut { state: &mut self.worker.shard, registry: self.registry }
    }

    /// Adds one of its I/O events, with a deadline from now on or with none. If the kernel refuses,
    /// the connection is closed. Returns whether it is open.
    pub(super) fn watch(&mut self, event: EventId, deadline: Option<Duration>) -> bool {
        let watched = self.shard().watch(event, deadline);
        self.is_open_after(watched)
    }

    /// Waits until the socket takes output; returns whether the connection is open.
    pub(super) fn watch_writable(&mut self) -> bool {
        let key = self.key;
        let watched = self.shard().watch_writable(key);
        self.is_open_after(watched)
    }

    fn is_open_after(&mut self, watched: Result<(), CloseReason>) -> bool {
        if let Err(reason) = watched {
            self.fail(reason);
        }
        watched.is_ok()
    }

    pub(super) fn free_writable(&mut self) {
        let key = self.key;
        self.shard().free_writable(key);
    }

    /// Starts its timer, in place of any other, with a deadline of the shard.
    pub(super) fn start_deadline(&mut self, deadline: CommonTimeout) {
        let key = self.key;
        let timer = self.shard().renew_timer(key);
        self.registry.add_common(timer, deadline).expect("a timer needs nothing of the kernel");
    }

    /// Starts its timer, in place of any other.
    pub(super) fn start_timer(&mut self, time: Duration) {
        let key = self.key;
        let timer = self.shard().renew_timer(key);
        self.registry.add(timer, Some(time)).expect("a timer needs nothing of the kernel");
    }

    pub(super) fn free_timer(&mut self) {
        let key = self.key;
        self.shard().free_timer(key);
    }
}

/// The close.
impl ConnectionMut<'_> {
    /// Closes it for this reason: in order, or early.
    pub(super) fn end(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::Closed | CloseReason::Drained => self.finish(reason),
            _ => self.fail(reason),
        }
    }

    /// Closes it, after TLS has notified its peer that the stream is complete.
    pub(super) fn finish(&mut self, reason: CloseReason) {
        self.transport.send_close_notify();
        self.hold_unsent();
        if self.pending.is_some() {
            self.begin_sending(NextStep::Close);
        } else {
            self.close(reason);
        }
    }

    /// Closes it; its peer is done and got everything.
    pub(super) fn close(&mut self, reason: CloseReason) {
        let key = self.key;
        let id = self.shard().id(key);
        let connection = self.worker.shard.connections.remove(key);
        let ConnectionState { readable, writable, hang_up, timer, .. } = connection;
        for event in [Some(readable), writable, hang_up, timer].into_iter().flatten() {
            // Its socket has no copy: `Transport` owns it, and a service sees only its address.
            self.registry.free_closing(event);
        }
        let shard = &mut self.worker.shard;
        shard.timers.end_connection(self.registry, key);
        shard.handles.end_connection(key);
        if let Some(rates) = &mut shard.byte_rates {
            rates.end(key);
        }
        if let Some(ages) = &mut shard.ages {
            ages.end(key);
        }
        // Close the socket first: an acceptor that is woken may need its descriptor.
        drop(connection);
        shard.source_slots.release(key);
        if let Some(tls) = &mut shard.tls {
            tls.end(key);
        }
        shard.handoff.closed();
        if let Some((dial, error)) = shard.dials.end_of_connection(key) {
            // Its service has not seen it.
            let error = error.unwrap_or(DialError::Closed(reason));
            return self.worker.report_failed_dial(self.registry, dial, error);
        }
        let closed = Closed { id, reason };
        self.worker.call_for_shard(self.registry, |host, shard| host.close(shard, key, closed));
        self.worker.shard.end_if_empty();
    }

    /// Closes it early, by a reset if its peer would miss anything.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        reason.count(&mut self.worker.shard.stats.errors);
        if reason == CloseReason::NoMemory {
            self.worker.log_no_memory();
        }
        if reason.is_orderly(self) {
            self.transport.send_close_notify();
        } else {
            self.transport.reset_on_close();
        }
        self.close(reason);
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
        while !worker.shard.connections[key].has_pending_output() {
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
        assert_eq!(worker.shard.stats.errors.cut, 1);
        assert_eq!(worker.shard.handoff.load().connections(), 0);
    }

    #[test]
    fn a_connection_that_the_kernel_refuses_to_watch_ends_visibly() {
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = echoing(socket);
        let events =
            [Some(worker.shard.connections[key].readable), worker.shard.connections[key].writable];
        base.registry().activate(events[1].unwrap(), Ready::REFUSED).unwrap();
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        assert!(worker.shard.connections.is_empty());
        assert_eq!(worker.shard.stats.errors.refused, 1);
        for id in events.into_iter().flatten() {
            assert!(base.registry().add(id, None).is_err(), "its events are freed");
        }
    }
}
