//! How connections are closed: in order, or early for a reason.

use super::connection::Connection;
use super::connection_mut::ConnectionMut;
use crate::server::stats::ConnectionErrors;

/// Why a connection was closed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The peer reset it, or a call on it failed.
    Broken,
    /// The first byte did not arrive in time.
    FirstByte,
    /// Idle for too long.
    Idle,
    /// A message did not become complete in time.
    Message,
    /// A message or a reply exceeds the memory limit of a connection.
    TooLarge,
    /// Its PROXY header is missing, invalid or not trusted.
    Proxy,
    /// Its service panicked.
    Panicked,
    /// Its service aborted it.
    Aborted,
    /// The kernel refuses to watch it.
    Refused,
    /// The drain timeout is over.
    Cut,
}

impl CloseReason {
    fn count(self, errors: &mut ConnectionErrors) {
        *match self {
            Self::Broken => &mut errors.broken,
            Self::FirstByte => &mut errors.first_byte,
            Self::Idle => &mut errors.idle,
            Self::Message => &mut errors.message,
            Self::TooLarge => &mut errors.too_large,
            Self::Proxy => &mut errors.proxy,
            Self::Panicked => &mut errors.panicked,
            Self::Aborted => &mut errors.aborted,
            Self::Refused => &mut errors.refused,
            Self::Cut => &mut errors.cut,
        } += 1;
    }

    /// Whether an orderly end of stream is correct: the peer sent nothing incomplete and misses
    /// nothing.
    fn is_orderly(self, connection: &Connection) -> bool {
        matches!(self, Self::FirstByte | Self::Idle) && !connection.has_pending_output()
    }
}

impl ConnectionMut<'_> {
    /// Closes it; its peer is done and got everything.
    pub(super) fn close(&mut self) {
        let connection = self.worker.connections.remove(self.key);
        for event in
            [Some(connection.readable), connection.writable, connection.timer].into_iter().flatten()
        {
            self.registry.free(event);
        }
        if self.worker.service.close(self.key).is_none() {
            CloseReason::Panicked.count(&mut self.worker.stats.errors);
        }
        // Close the socket first: an acceptor that is woken may need its descriptor.
        drop(connection);
        self.worker.handoff.closed();
        if self.worker.draining.is_some() && self.worker.connections.is_empty() {
            self.registry.loop_exit();
        }
    }

    /// Closes it early, by a reset if its peer would miss anything.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        reason.count(&mut self.worker.stats.errors);
        if !reason.is_orderly(self) {
            self.reset_on_close();
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
