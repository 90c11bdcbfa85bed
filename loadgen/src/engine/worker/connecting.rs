//! The streams of connections: how they are opened, lost, closed and replaced.

use std::io;
use std::mem;
use std::ops::Range;

use super::{REDIAL_NS_MAX, REDIAL_NS_MIN, REPEAT_NS_MIN, Worker};
use crate::engine::connection::{
    Connection, OpenStream, SecuringStream, SettingUpStream, SetupFailure, StreamState,
};
use crate::engine::due_requests::DueRequests;
use crate::engine::network::{Interest, Network, Token};
use crate::engine::recorder::Failure;
use crate::error::Error;
use crate::tls::{HandshakeFailure, Transport};
use crate::wire::SetupExchange;

impl<N: Network> Worker<'_, '_, N> {
    /// Queues the connection for a handshake, unless it needs no stream yet, or no more.
    pub(super) fn dial_when_due(&mut self, index: u32) {
        let due_ns =
            self.connections[index as usize].due_requests.as_ref().and_then(DueRequests::next_ns);
        let over = self.stop.is_some() && due_ns.is_none();
        if over || (self.plan.connects_per_request() && !self.started) {
            return;
        }
        match due_ns {
            Some(due_ns) if self.plan.connects_per_request() && due_ns > self.now_ns => {
                self.send_queue.set(index, due_ns);
            }
            // A schedule that has ended needs no connection for a request of its own.
            None if self.plan.connects_per_request() && self.plan.intensity.is_some() => {}
            _ => {
                self.connections[index as usize].stream = StreamState::Queued;
                self.send_queue.clear(index);
                self.dialer.enqueue(index);
            }
        }
    }

    /// Begins the handshakes that the limits allow now.
    pub(super) fn dial_some(&mut self) -> Result<(), Error> {
        while let Some(index) = self.dialer.next(self.now_ns) {
            let connection = &mut self.connections[index as usize];
            connection.generation = connection.generation.wrapping_add(1);
            self.dial(index, self.network.now_ns(), 0)?;
        }
        Ok(())
    }

    /// Begins the handshake of a connection, or repeats the one that began at `begun_ns` and has
    /// found a full backlog `times` times.
    pub(super) fn dial(&mut self, index: u32, begun_ns: u64, times: u32) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        let token = Token { connection: index, generation: connection.generation };
        match self.network.connect(token, connection.number) {
            Ok(stream) => connection.stream = StreamState::Connecting { stream, begun_ns },
            // The handshake goes on, and its timeout counts from its beginning.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.stream = StreamState::Repeating { begun_ns, times: times + 1 };
                self.send_queue.set(index, self.now_ns + back_off_ns(REPEAT_NS_MIN, times));
            }
            Err(error) => self.dial_failed(index, error)?,
        }
        Ok(())
    }

    /// Takes the stream of a connect that has ended. Over TLS, its other handshake begins.
    pub(super) fn connect_ended(&mut self, index: u32) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        let StreamState::Connecting { stream, begun_ns } =
            mem::replace(&mut connection.stream, StreamState::Closed)
        else {
            return Ok(());
        };
        if let Err(error) = self.network.connected(&stream) {
            return self.dial_failed(index, error);
        }
        self.recorder.connected(self.now_ns.saturating_sub(begun_ns));
        let Some(connector) = &connection.connector else {
            return self.begin_setup(index, Transport::Plain(stream), begun_ns, Interest::Write);
        };
        match connector.begin(stream, connection.generation) {
            Ok(stream) => {
                connection.stream = StreamState::Securing(SecuringStream {
                    stream: Box::new(stream),
                    begun_ns,
                    connected_ns: self.now_ns,
                    interest: Interest::Write,
                });
                self.secure(index)
            }
            Err(failure) => self.handshake_failed(index, failure),
        }
    }

    /// Continues a TLS handshake as far as possible.
    pub(super) fn secure(&mut self, index: u32) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        let StreamState::Securing(mut securing) =
            mem::replace(&mut connection.stream, StreamState::Closed)
        else {
            return Ok(());
        };
        match securing.stream.handshake(&mut self.buffer) {
            Err(failure) => self.handshake_failed(index, failure),
            Ok(Some(negotiated)) => {
                // The cryptography has taken time.
                self.now_ns = self.network.now_ns();
                let took_ns = self.now_ns.saturating_sub(securing.connected_ns);
                self.recorder.secured(took_ns, negotiated);
                let SecuringStream { stream, begun_ns, interest, .. } = securing;
                self.begin_setup(index, Transport::Tls(stream), begun_ns, interest)
            }
            Ok(None) => {
                let token = Token { connection: index, generation: connection.generation };
                let (socket, has_unsent) = (securing.stream.socket(), securing.stream.has_unsent());
                await_peer(&self.network, socket, token, has_unsent, &mut securing.interest)?;
                connection.stream = StreamState::Securing(securing);
                Ok(())
            }
        }
    }

    /// Begins the setup of a connected stream, if there is one. Its connect began at `begun_ns`; it
    /// has waited for `interest`.
    fn begin_setup(
        &mut self,
        index: u32,
        transport: Transport<N::Stream>,
        begun_ns: u64,
        interest: Interest,
    ) -> Result<(), Error> {
        let options = self.plan.options;
        let Connection { number, generation, .. } = self.connections[index as usize];
        let exchange = SetupExchange::new(&options.traffic.setup, options.seed, number, generation);
        let Some(exchange) = exchange else {
            return self.establish(index, transport, begun_ns, interest, 0..0);
        };
        self.connections[index as usize].stream = StreamState::SettingUp(SettingUpStream {
            transport,
            exchange,
            begun_ns,
            connected_ns: self.now_ns,
            interest,
        });
        self.set_up(index)
    }

    /// Continues the setup of a stream as far as possible.
    pub(super) fn set_up(&mut self, index: u32) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        let StreamState::SettingUp(mut stream) =
            mem::replace(&mut connection.stream, StreamState::Closed)
        else {
            return Ok(());
        };
        match stream.advance(&mut self.buffer) {
            Err(failure) => self.setup_failed(index, &failure),
            Ok(Some(received)) => {
                self.now_ns = self.network.now_ns();
                let SettingUpStream { transport, begun_ns, interest, .. } = stream;
                self.establish(index, transport, begun_ns, interest, received)
            }
            Ok(None) => {
                let token = Token { connection: index, generation: connection.generation };
                let (socket, has_unsent) = (stream.transport.socket(), stream.has_unsent());
                await_peer(&self.network, socket, token, has_unsent, &mut stream.interest)?;
                connection.stream = StreamState::SettingUp(stream);
                Ok(())
            }
        }
    }

    /// Handles a failed setup, as [`Self::dial_failed`] does.
    pub(super) fn setup_failed(&mut self, index: u32, failure: &SetupFailure) -> Result<(), Error> {
        if !self.started {
            return Err(Error::Setup {
                address: self.plan.options.target.to_string(),
                complaint: failure.to_string(),
                done: self.live,
            });
        }
        self.recorder.setup_failed(failure);
        self.not_established(index);
        Ok(())
    }

    /// Takes a stream that requests can be sent on. Its connect began at `begun_ns`; it has waited
    /// for `interest`. The first bytes of its traffic are `received` in the buffer.
    fn establish(
        &mut self,
        index: u32,
        transport: Transport<N::Stream>,
        begun_ns: u64,
        interest: Interest,
        received: Range<usize>,
    ) -> Result<(), Error> {
        let connection = &mut self.connections[index as usize];
        self.dialer.ended();
        self.live += 1;
        self.failing_since_ns = None;
        self.recorder.established();
        if interest != Interest::Read {
            let token = Token { connection: index, generation: connection.generation };
            let socket = transport.socket();
            self.network.watch(socket, token, Interest::Read).map_err(Error::Poll)?;
        }
        connection.set_open(OpenStream::new(transport, begun_ns, self.now_ns));
        // Where each request connects, the handshake is part of it, not a wait before it.
        if self.started && !self.plan.connects_per_request() {
            connection.freed(self.now_ns);
        }
        let now_ns = self.now_ns;
        let is_right =
            self.with(index, |connection, tools| connection.check(received, now_ns, tools));
        if let Err(failure) = is_right {
            self.lose(index, failure);
            return Ok(());
        }
        self.send(index)
    }

    /// Handles a failed TLS handshake, as [`Self::dial_failed`] does.
    pub(super) fn handshake_failed(
        &mut self,
        index: u32,
        failure: HandshakeFailure,
    ) -> Result<(), Error> {
        if !self.started {
            return Err(Error::Handshake {
                address: self.plan.options.target.to_string(),
                complaint: failure.to_string(),
                done: self.live,
            });
        }
        self.recorder.handshake_failed(failure);
        self.not_established(index);
        Ok(())
    }

    /// Handles a failed connect. Before the load it ends the run; later it is counted, and the
    /// connection tries again.
    pub(super) fn dial_failed(&mut self, index: u32, error: io::Error) -> Result<(), Error> {
        if !self.started {
            return Err(Error::Connect {
                address: self.plan.options.target.to_string(),
                source: error,
                done: self.live,
                timeout: self.plan.options.timeout,
            });
        }
        self.recorder.connect_failed(&error);
        self.not_established(index);
        Ok(())
    }

    /// Ends an attempt to connect, and tries again later.
    fn not_established(&mut self, index: u32) {
        self.dialer.ended();
        self.connections[index as usize].stream = StreamState::Closed;
        self.failing_since_ns.get_or_insert(self.now_ns);
        self.dial_again_later(index);
    }

    fn dial_again_later(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let wait_ns = back_off_ns(REDIAL_NS_MIN, connection.failures);
        connection.failures += 1;
        self.send_queue.set(index, self.now_ns + wait_ns);
    }

    /// Closes a stream after a failure; its unanswered requests have failed.
    pub(super) fn lose(&mut self, index: u32, failure: Failure) {
        let connection = &mut self.connections[index as usize];
        if matches!(failure, Failure::ClosedWith(_)) {
            connection.announce_end(self.plan, &mut self.scratch);
        }
        let StreamState::Open(stream) = mem::replace(&mut connection.stream, StreamState::Closed)
        else {
            return;
        };
        self.live -= 1;
        self.send_queue.clear(index);
        let now_ns = self.network.now_ns();
        // A server that accepts and closes at once must not be dialled in a loop.
        let has_worked = stream.has_worked();
        self.recorder.lost(failure, stream.into_outstanding(), now_ns);
        if has_worked {
            connection.failures = 0;
            self.dial_when_due(index);
        } else {
            self.dial_again_later(index);
        }
    }

    /// Closes a stream that has done all its requests.
    pub(super) fn retire(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        connection.announce_end(self.plan, &mut self.scratch);
        connection.stream = StreamState::Closed;
        connection.failures = 0;
        if self.plan.connects_per_request() {
            connection.freed(self.now_ns);
        }
        self.live -= 1;
        self.recorder.churned();
        self.dial_when_due(index);
    }
}

/// Waits for a peer's answer, and to send what is not sent yet. A stream that is `watched` so
/// already needs no call.
fn await_peer<N: Network>(
    network: &N,
    socket: &N::Stream,
    token: Token,
    has_unsent: bool,
    watched: &mut Interest,
) -> Result<(), Error> {
    let wanted = if has_unsent { Interest::ReadWrite } else { Interest::Read };
    if *watched != wanted {
        network.watch(socket, token, wanted).map_err(Error::Poll)?;
        *watched = wanted;
    }
    Ok(())
}

/// The wait before another attempt, after `times` earlier ones: `first_ns`, doubled each time, up
/// to the longest.
fn back_off_ns(first_ns: u64, times: u32) -> u64 {
    // The longest wait is reached before; the bound keeps the shift from overflowing.
    (first_ns << times.min(10)).min(REDIAL_NS_MAX)
}
