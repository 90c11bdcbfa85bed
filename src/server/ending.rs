//! How connections end: in order, or before their time, and then why.

use super::connection::Connection;
use super::stats::ConnectionErrors;
use super::worker::Worker;
use crate::base::Registry;

/// Why a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer reset it, or a call on it failed.
    Broken,
    /// No first byte in time.
    FirstByte,
    /// Idle for too long.
    Idle,
    /// A message that did not become complete in time.
    Message,
    /// A message or a reply beyond the memory it may have.
    TooLarge,
    /// Its PROXY header is missing, wrong or not to be believed.
    Proxy,
    /// Its service panicked.
    Panicked,
    /// Its service wanted it so.
    Aborted,
    /// The kernel refuses to watch it.
    Refused,
    /// The server leaves and waits no longer.
    Cut,
}

impl Ending {
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

    /// Whether an orderly end of stream tells the peer the truth: it said nothing, and misses
    /// nothing.
    fn is_orderly(self, connection: &Connection) -> bool {
        matches!(self, Self::FirstByte | Self::Idle) && !connection.owes()
    }
}

impl Worker {
    /// Ends a connection whose peer is done and got everything.
    pub(super) fn close(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = self.connections.remove(key);
        for event in
            [Some(connection.readable), connection.writable, connection.timer].into_iter().flatten()
        {
            registry.free(event);
        }
        if self.service.close(key).is_none() {
            Ending::Panicked.count(&mut self.stats.errors);
        }
        // The socket first: who hears that there is room may want its descriptor.
        drop(connection);
        self.handoff.closed();
        if self.ends_when_empty && self.connections.is_empty() {
            registry.loop_exit();
        }
    }

    /// Ends a connection before its time; visibly, if its peer would miss anything.
    pub(super) fn fail(&mut self, registry: &mut Registry<Self>, key: usize, ending: Ending) {
        ending.count(&mut self.stats.errors);
        let connection = &self.connections[key];
        if !ending.is_orderly(connection) {
            connection.reset_on_close();
        }
        self.close(registry, key);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::{Domain, SockRef, Socket, Type};

    use std::sync::Arc;

    use super::super::ServerConfig;
    use super::super::accept::Census;
    use super::super::arrival::Arrival;
    use super::super::handoff::Handoff;
    use super::super::load;
    use super::super::service::{Echo, Host};
    use super::super::worker::base_config;
    use super::*;
    use crate::base::{EventBase, LoopFlags};
    use crate::event::Ready;

    const SENT: usize = 60_000;

    /// A client that sent everything and then its end, and a server's socket that has all of it
    /// and little room to answer.
    fn one_sided_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before the connection is made: what was promised to the peer is not taken back.
        client.set_recv_buffer_size(4096).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let mut client = TcpStream::from(client);
        let (socket, _) = listener.accept().unwrap();
        SockRef::from(&socket).set_send_buffer_size(4096).unwrap();
        client.write_all(&[7; SENT]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while socket.peek(&mut [0; SENT]).unwrap() < SENT {
            assert!(Instant::now() < deadline, "the bytes never arrived");
        }
        socket.set_nonblocking(true).unwrap();
        (client, socket)
    }

    /// A worker that adopted one connection and did what there was to do.
    fn worker_with(socket: TcpStream) -> (EventBase<Worker>, Worker, usize) {
        let config = ServerConfig::default();
        let mut base = EventBase::<Worker>::new(base_config(&config)).unwrap();
        let census = Arc::new(Census::new(None, Vec::new()));
        assert!(census.enter());
        let to_worker = base.registry().notifier();
        let handoff = Arc::new(Handoff::new(8, to_worker, 0, load::loads(1), census));
        let host = Box::new(Host::new(Echo));
        let mut worker =
            Worker::new(handoff.clone(), None, host, &config, base.registry()).unwrap();
        let arrival = Arrival { socket: socket.into(), accepted_at: None, listener: 0 };
        handoff.offer(arrival).unwrap();
        let _ = handoff.wake_worker();
        base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        let [key] = worker.connection_keys()[..] else { panic!("one connection was adopted") };
        while !worker.connections[key].owes() {
            base.run_with(&mut worker, LoopFlags::NONBLOCK).unwrap();
        }
        (base, worker, key)
    }

    /// Everything was read and not everything was sent: an orderly close would tell the client
    /// that the echo is complete.
    #[test]
    fn a_connection_cut_while_bytes_are_owed_ends_in_a_reset() {
        let (mut client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = worker_with(socket);
        worker.fail(base.registry(), key, Ending::Cut);
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(worker.stats.errors.cut, 1);
        assert_eq!(worker.handoff.load().connections(), 0);
    }

    #[test]
    fn a_connection_that_the_kernel_refuses_to_watch_ends_visibly() {
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker, key) = worker_with(socket);
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
