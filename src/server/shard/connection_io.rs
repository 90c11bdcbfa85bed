//! The I/O of a connection: reading, calling its service, sending, pausing.
//!
//! A connection is in one [`Stage`] at a time: it reads, sends, or waits for a timer. The next step
//! of its service moves it to another stage.

use super::close_reason::CloseReason;
use super::connection::{Connection, Stage};
use super::connection_mut::ConnectionMut;
use super::proxy_header::{self, HeaderProgress};
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{Fired, Ready};
use crate::server::config::ProxyMode;
use crate::server::memory::NoMemory;
use crate::server::service::{Hosted, NextStep, Outlet, OutputFailure, Peer};
use crate::transport::would_block;

/// Full reads of one connection per turn, so that others do not wait behind a flood.
const READS_PER_TURN_MAX: usize = 4;

/// The result of a call of the service.
type Called<T> = Result<(T, NextStep), CloseReason>;

pub(super) fn on_readable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    worker.connection(registry, key).readable(fired.ready);
    worker.callback_ended(key);
}

fn on_writable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    worker.connection(registry, key).writable(fired.ready);
    worker.callback_ended(key);
}

fn on_timer(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    worker.connection(registry, key).timer_ended();
    worker.callback_ended(key);
}

/// The events.
impl ConnectionMut<'_> {
    /// Starts an adopted connection.
    pub(super) fn begin(&mut self) {
        if !self.watch(self.readable, self.worker.deadlines.first_byte) {
            return;
        }
        if self.stage == Stage::ProxyHeader {
            self.start_deadline(self.worker.deadlines.proxy_header, on_timer);
        } else {
            self.open();
        }
    }

    fn readable(&mut self, ready: Ready) {
        if ready.contains(Ready::REFUSED) {
            self.fail(CloseReason::Refused);
        } else if ready.contains(Ready::READ) {
            self.read();
        } else if self.received_any {
            self.fail(CloseReason::Idle);
        } else {
            self.fail(CloseReason::FirstByte);
        }
    }

    fn writable(&mut self, ready: Ready) {
        if ready.contains(Ready::REFUSED) {
            self.fail(CloseReason::Refused);
        } else if ready.contains(Ready::WRITE) {
            self.send_pending();
        } else {
            self.fail(CloseReason::Idle);
        }
    }

    fn timer_ended(&mut self) {
        match self.stage {
            Stage::ProxyHeader => self.end_proxy_header(),
            Stage::Reading => self.fail(CloseReason::Message),
            Stage::Pausing => self.resume(),
            // A timer is freed before a connection sends.
            Stage::Sending(_) => {}
        }
    }
}

/// Reading.
impl ConnectionMut<'_> {
    /// Reads within the budget of a turn, and passes the input to the service.
    pub(super) fn read(&mut self) {
        // Taken out, so that the service can read from it while the worker is borrowed.
        let mut buffer = std::mem::take(&mut self.worker.buffer);
        for _ in 0..READS_PER_TURN_MAX {
            if !self.read_once(&mut buffer) {
                break;
            }
        }
        self.worker.buffer = buffer;
    }

    /// Reads once; returns whether another read may bring more.
    fn read_once(&mut self, buffer: &mut [u8]) -> bool {
        let connection = &mut self.worker.connections[self.key];
        let length = match connection.transport.read(buffer) {
            Ok(0) => {
                self.end_of_stream();
                return false;
            }
            Ok(length) => length,
            Err(error) if would_block(&error) => return false,
            Err(_) => {
                self.fail(CloseReason::Broken);
                return false;
            }
        };
        connection.active_since_tick = true;
        let is_first = !std::mem::replace(&mut connection.received_any, true);
        let stage = connection.stage;
        self.worker.stats.reads += 1;
        self.worker.stats.bytes_in += length as u64;
        if is_first {
            self.start_idle_timeout();
        }
        let still_reads = if stage == Stage::ProxyHeader {
            self.read_proxy_header(&buffer[..length])
        } else {
            self.receive(&buffer[..length])
        };
        // A short read emptied the socket: another would only return EAGAIN.
        still_reads && length == buffer.len()
    }

    /// Replaces the first-byte deadline by the idle deadline.
    fn start_idle_timeout(&mut self) {
        let readable = self.readable;
        if let Some(idle) = self.worker.deadlines.idle {
            self.registry.add_common(readable, idle).expect("it is pending, and ours");
        } else if self.worker.deadlines.first_byte.is_some() {
            self.registry.remove_timeout(readable);
        }
    }

    fn end_of_stream(&mut self) {
        if self.stage == Stage::ProxyHeader {
            if self.unconsumed.is_none() {
                // A health check that only tests whether the port is open.
                self.close();
            } else {
                // The end of stream can still be read afterwards.
                self.end_proxy_header();
            }
            return;
        }
        self.ended = true;
        self.registry.del(self.readable);
        let key = self.key;
        let unconsumed = self.unconsumed.take();
        let rest = unconsumed.as_ref().map_or(&[][..], |unconsumed| unconsumed);
        let ended = self.call(|service, _, out| service.end(key, rest, out));
        self.apply_or_fail(ended);
    }

    /// Passes unconsumed and new input to the service; returns whether the connection still reads.
    fn receive(&mut self, input: &[u8]) -> bool {
        let received = if self.unconsumed.is_some() {
            self.offer_with_unconsumed(input)
        } else {
            let received = self.offer(input);
            match received {
                // As nearly always.
                Ok((consumed, NextStep::Read))
                    if consumed == input.len() && self.is_idle_reading() =>
                {
                    return true;
                }
                Ok((consumed, _)) => self.keep_unconsumed(&input[consumed..]).and(received),
                Err(_) => received,
            }
        };
        let (consumed, next_step) = match received {
            Ok(received) => received,
            Err(reason) => {
                self.fail(reason);
                return false;
            }
        };
        let unconsumed = self.unconsumed.as_ref().map_or(0, |unconsumed| unconsumed.len());
        if unconsumed > self.worker.buffer_limits.connection_bytes {
            self.fail(CloseReason::TooLarge);
            return false;
        }
        self.apply(next_step);
        if !self.is_open() || self.stage != Stage::Reading {
            return false;
        }
        self.time_message(consumed);
        true
    }

    /// Passes unconsumed and new input to the service, and keeps what it does not consume.
    fn offer_with_unconsumed(&mut self, input: &[u8]) -> Called<usize> {
        self.keep_unconsumed(input)?;
        let Some(mut unconsumed) = self.unconsumed.take() else { return self.offer(input) };
        let received = self.offer(&unconsumed);
        if let Ok((consumed, _)) = received
            && consumed < unconsumed.len()
        {
            unconsumed.consume(consumed);
            self.unconsumed = Some(unconsumed);
        }
        received
    }

    /// Appends unconsumed input, if there is memory for it.
    fn keep_unconsumed(&mut self, input: &[u8]) -> Result<(), CloseReason> {
        let Worker { connections, buffer_limits, .. } = &mut *self.worker;
        connections[self.key]
            .keep_unconsumed(input, &buffer_limits.memory)
            .map_err(|NoMemory| CloseReason::NoMemory)
    }

    /// Calls the service for message after message, until one is incomplete or the next step is not
    /// to read. Returns the number of consumed bytes.
    fn offer(&mut self, bytes: &[u8]) -> Called<usize> {
        let key = self.key;
        self.call(|service, _, out| {
            let mut consumed = 0;
            loop {
                let more = service.receive(key, &bytes[consumed..], out)?;
                consumed += more;
                if more == 0 || consumed == bytes.len() || !out.can_receive_more() {
                    return Some(consumed);
                }
            }
        })
    }

    /// Starts or ends the deadline of an incomplete message, after `consumed` bytes.
    fn time_message(&mut self, consumed: usize) {
        match (self.unconsumed.is_some(), self.timer, self.worker.deadlines.message) {
            // The same message as before: its deadline already runs.
            (true, Some(_), _) if consumed == 0 => {}
            (true, _, Some(message)) => self.start_deadline(message, on_timer),
            (false, Some(_), _) => self.free_timer(),
            _ => {}
        }
    }
}

/// The PROXY header.
impl ConnectionMut<'_> {
    /// Reads more of the header; returns whether the connection still reads.
    fn read_proxy_header(&mut self, input: &[u8]) -> bool {
        let connection = &mut self.worker.connections[self.key];
        let memory = &self.worker.buffer_limits.memory;
        match proxy_header::read(&self.worker.proxy, connection, input, memory) {
            HeaderProgress::Incomplete => true,
            HeaderProgress::Done => self.begin_service(),
            HeaderProgress::Failed(reason) => {
                self.fail(reason);
                false
            }
        }
    }

    /// The deadline for the header is over, or the peer will send no more.
    fn end_proxy_header(&mut self) {
        if self.worker.proxy.mode == ProxyMode::Optional {
            self.begin_service();
        } else {
            self.fail(CloseReason::Proxy);
        }
    }

    /// Calls the service for the connection and its input so far; returns whether the connection
    /// still reads.
    fn begin_service(&mut self) -> bool {
        self.free_timer();
        self.stage = Stage::Reading;
        self.open();
        if !self.is_open() || self.stage != Stage::Reading {
            return false;
        }
        self.unconsumed.is_none() || self.receive(&[])
    }
}

/// Calling.
impl ConnectionMut<'_> {
    /// Calls the service for a new connection.
    fn open(&mut self) {
        let key = self.key;
        let opened = self.call(|service, peer, out| service.open(key, peer, out));
        self.apply_or_fail(opened);
    }

    /// Calls the service because the server drains.
    pub(super) fn begin_draining(&mut self) {
        self.active_since_tick = false;
        if self.stage == Stage::ProxyHeader {
            return;
        }
        let (key, sends_or_pauses) = (self.key, self.stage != Stage::Reading);
        let drained = self.call(|service, _, out| service.drain(key, out));
        // The earlier next step continues, unless the service chose another now.
        if sends_or_pauses && drained == Ok(((), NextStep::Read)) {
            return;
        }
        self.apply_or_fail(drained);
    }

    /// Resumes the service after a pause, or after everything was sent.
    fn resume(&mut self) {
        let key = self.key;
        let resumed = self.call(|service, _, out| service.resume(key, out));
        self.apply_or_fail(resumed);
    }

    /// Calls the service for this connection, and sends its output.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Hosted, &Peer<'_>, &mut Outlet<'_>) -> Option<T>,
    ) -> Called<T> {
        let Worker { connections, service, buffered, buffer_limits, stats, .. } = &mut *self.worker;
        let Connection { transport, pending, proxied, listener, .. } = &mut connections[self.key];
        let peer =
            Peer { socket: transport.socket(), proxied: proxied.as_deref(), listener: *listener };
        let mut out =
            Outlet::new(transport, buffered, pending, buffer_limits, &mut stats.bytes_out);
        let answer = call(&mut **service, &peer, &mut out);
        finish(answer, out)
    }

    /// Takes the next step of the service, or closes the connection if the call failed.
    fn apply_or_fail(&mut self, called: Called<()>) {
        match called {
            Ok(((), next_step)) => self.apply(next_step),
            Err(reason) => self.fail(reason),
        }
    }

    /// Takes the next step of the service, once its output is sent.
    fn apply(&mut self, next_step: NextStep) {
        if self.pending.is_some() {
            self.begin_sending(next_step);
            return;
        }
        match next_step {
            NextStep::Read if self.stage == Stage::Reading && !self.ended => {}
            NextStep::Read => self.begin_reading(),
            NextStep::ResumeWhenSent => self.begin_sending(next_step),
            NextStep::Pause(time) => {
                // It neither reads nor sends for this time.
                self.free_writable();
                self.stage = Stage::Pausing;
                self.registry.del(self.readable);
                self.start_timer(time, on_timer);
            }
            NextStep::Close => self.close(),
            NextStep::Abort => self.fail(CloseReason::Aborted),
        }
    }
}

/// Sending, and reading again.
impl ConnectionMut<'_> {
    fn send_pending(&mut self) {
        let connection = &mut self.worker.connections[self.key];
        if let Some(pending) = &mut connection.pending {
            let Ok(sent) = pending.send(&connection.transport) else {
                self.fail(CloseReason::Broken);
                return;
            };
            connection.active_since_tick |= sent > 0;
            self.worker.stats.bytes_out += sent as u64;
            if !pending.is_empty() {
                return;
            }
            connection.pending = None;
        }
        match connection.stage {
            Stage::Sending(NextStep::ResumeWhenSent) => self.resume(),
            Stage::Sending(next_step) => self.apply(next_step),
            _ => {}
        }
    }

    /// Stops reading until everything is sent.
    fn begin_sending(&mut self, next_step: NextStep) {
        self.free_timer();
        self.stage = Stage::Sending(next_step);
        self.registry.del(self.readable);
        self.watch_writable(on_writable);
    }

    /// Reads again, after everything was sent or after a pause. Unconsumed input is passed first.
    fn begin_reading(&mut self) {
        self.free_timer();
        self.free_writable();
        if self.ended {
            // The peer can send nothing more.
            self.close();
            return;
        }
        self.stage = Stage::Reading;
        let deadlines = self.worker.deadlines;
        let deadline = if self.received_any { deadlines.idle } else { deadlines.first_byte };
        if self.watch(self.readable, deadline) && self.unconsumed.is_some() {
            self.receive(&[]);
        }
    }
}

/// Finishes a call: sends the service's output, unless it panicked.
fn finish<T>(answer: Option<T>, out: Outlet<'_>) -> Called<T> {
    let reason = match answer {
        None => CloseReason::Panicked,
        Some(_) if out.next_step == NextStep::Abort => CloseReason::Aborted,
        Some(answer) => {
            return match out.finish() {
                Ok(next_step) => Ok((answer, next_step)),
                Err(OutputFailure::Broken) => Err(CloseReason::Broken),
                Err(OutputFailure::TooLarge) => Err(CloseReason::TooLarge),
                Err(OutputFailure::NoMemory) => Err(CloseReason::NoMemory),
            };
        }
    };
    out.discard();
    Err(reason)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::test_worker::{SENT, one_sided_pair, worker_with};
    use crate::base::LoopFlags;
    use crate::server::service::Discard;

    #[test]
    fn a_connection_with_much_to_read_gets_four_reads_a_turn() {
        const READ_BYTES: usize = 1000;
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker) = worker_with(Discard, socket);
        worker.buffer = vec![0; READ_BYTES].into_boxed_slice();
        while worker.stats.reads == 0 {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        for turn in 1..=SENT as u64 / READ_BYTES as u64 / 4 {
            assert_eq!(worker.stats.reads, turn * 4);
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        assert_eq!(worker.stats.bytes_in, SENT as u64);
    }
}
