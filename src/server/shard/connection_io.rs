//! The I/O of a connection: reading, calling its service, sending, pausing.
//!
//! A connection is in one [`Stage`] at a time: it reads, sends, or waits for a timer. The next step
//! of its service moves it to another stage.

use std::io::Read;
use std::time::Duration;

use super::close::CloseReason;
use super::connection::{Connection, Stage};
use super::deadlines::add_until;
use super::worker::{Worker, on_timer, on_writable};
use crate::base::{CommonTimeout, Registry};
use crate::event::{EventId, EventSpec, Interest, Ready, Token};
use crate::server::service::{Hosted, NextStep, Outlet, OutletFailure, Peer};
use crate::sys::socket::would_block;

/// Full reads of one connection per turn, so that others do not wait behind a flood.
const READS_PER_TURN_MAX: usize = 4;

/// The result of a call of the service.
type Called<T> = Result<(T, NextStep), CloseReason>;

/// The events.
impl Worker {
    /// Starts an adopted connection.
    pub(super) fn begin(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &self.connections[key];
        // The kernel is out of watches or memory: the connection is closed by a reset. With the
        // deferred changelist its handler does so.
        if add_until(registry, connection.readable, self.deadlines.first_byte).is_err() {
            self.fail(registry, key, CloseReason::Refused);
        } else if connection.stage == Stage::ProxyHeader {
            self.set_timer(registry, key, self.deadlines.proxy_header);
        } else {
            self.open(registry, key);
        }
    }

    pub(super) fn readable(&mut self, registry: &mut Registry<Self>, key: usize, ready: Ready) {
        if ready.contains(Ready::REFUSED) {
            self.fail(registry, key, CloseReason::Refused);
        } else if ready.contains(Ready::READ) {
            self.read(registry, key);
        } else {
            let received_any = self.connections[key].received_any;
            self.fail(
                registry,
                key,
                if received_any { CloseReason::Idle } else { CloseReason::FirstByte },
            );
        }
    }

    pub(super) fn writable(&mut self, registry: &mut Registry<Self>, key: usize, ready: Ready) {
        if ready.contains(Ready::REFUSED) {
            self.fail(registry, key, CloseReason::Refused);
        } else if ready.contains(Ready::WRITE) {
            self.send_pending(registry, key);
        } else {
            self.fail(registry, key, CloseReason::Idle);
        }
    }

    pub(super) fn timer_ended(&mut self, registry: &mut Registry<Self>, key: usize, _: Ready) {
        match self.connections[key].stage {
            Stage::ProxyHeader => self.end_proxy_header(registry, key),
            Stage::Reading => self.fail(registry, key, CloseReason::Message),
            Stage::Pausing => self.resume(registry, key),
            // A timer is freed before a connection sends.
            Stage::Sending(_) => {}
        }
    }
}

/// Reading.
impl Worker {
    /// Reads within the budget of a turn, and passes the input to the service.
    pub(super) fn read(&mut self, registry: &mut Registry<Self>, key: usize) {
        // Taken out, so that the service can read from it while the worker is borrowed.
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN_MAX {
            if !self.read_once(registry, key, &mut buffer) {
                break;
            }
        }
        self.buffer = buffer;
    }

    /// Reads once; returns whether another read may bring more.
    fn read_once(&mut self, registry: &mut Registry<Self>, key: usize, buffer: &mut [u8]) -> bool {
        let connection = &mut self.connections[key];
        let length = match (&connection.socket).read(buffer) {
            Ok(0) => {
                self.end_of_stream(registry, key);
                return false;
            }
            Ok(length) => length,
            Err(error) if would_block(&error) => return false,
            Err(_) => {
                self.fail(registry, key, CloseReason::Broken);
                return false;
            }
        };
        connection.active_since_tick = true;
        self.stats.reads += 1;
        self.stats.bytes_in += length as u64;
        if !connection.received_any {
            connection.received_any = true;
            self.start_idle_timeout(registry, key);
        }
        let reads_on = if self.connections[key].stage == Stage::ProxyHeader {
            self.read_proxy_header(registry, key, &buffer[..length])
        } else {
            self.receive(registry, key, &buffer[..length])
        };
        // A short read emptied the socket: another would only return EAGAIN.
        reads_on && length == buffer.len()
    }

    /// Replaces the first-byte deadline by the idle deadline.
    fn start_idle_timeout(&mut self, registry: &mut Registry<Self>, key: usize) {
        let readable = self.connections[key].readable;
        if let Some(idle) = self.deadlines.idle {
            registry.add_common(readable, idle).expect("it is pending, and ours");
        } else if self.deadlines.first_byte.is_some() {
            registry.remove_timeout(readable);
        }
    }

    fn end_of_stream(&mut self, registry: &mut Registry<Self>, key: usize) {
        let expects_header = self.connections[key].stage == Stage::ProxyHeader;
        if expects_header && self.connections[key].unconsumed.is_none() {
            // A health check that only tests whether the port is open.
            self.close(registry, key);
            return;
        }
        if expects_header {
            // The end of stream can still be read afterwards.
            self.end_proxy_header(registry, key);
            return;
        }
        let connection = &mut self.connections[key];
        connection.ended = true;
        registry.del(connection.readable);
        let unconsumed = connection.unconsumed.take().unwrap_or_default();
        let ended = self.call(key, |service, _, out| service.end(key, &unconsumed, out));
        if let Some(((), next_step)) = self.or_fail(registry, key, ended) {
            self.apply(registry, key, next_step);
        }
    }

    /// Passes unconsumed and new input to the service; returns whether the connection still reads.
    pub(super) fn receive(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        input: &[u8],
    ) -> bool {
        let Some(mut unconsumed) = self.connections[key].unconsumed.take() else {
            let received = self.offer(key, input);
            if let Ok((consumed, next_step)) = received {
                let connection = &mut self.connections[key];
                if consumed == input.len()
                    && next_step == NextStep::Read
                    && connection.is_idle_reading()
                {
                    return true; // as nearly always
                }
                connection.keep_unconsumed(&input[consumed..]);
            }
            return self.received(registry, key, received);
        };
        unconsumed.extend_from_slice(input);
        let received = self.offer(key, &unconsumed);
        if let Ok((consumed, _)) = received {
            unconsumed.drain(..consumed);
            self.connections[key].unconsumed = (!unconsumed.is_empty()).then_some(unconsumed);
        }
        self.received(registry, key, received)
    }

    /// Handles the result of a receive call; returns whether the connection still reads.
    fn received(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        received: Called<usize>,
    ) -> bool {
        let Some((consumed, next_step)) = self.or_fail(registry, key, received) else {
            return false;
        };
        let unconsumed =
            self.connections[key].unconsumed.as_ref().map_or(0, |unconsumed| unconsumed.len());
        if unconsumed > self.limits.buffer_bytes {
            self.fail(registry, key, CloseReason::TooLarge);
            return false;
        }
        self.apply(registry, key, next_step);
        self.time_message(registry, key, consumed)
    }

    /// Calls the service for message after message, until one is incomplete or the next step is not
    /// to read. Returns the number of consumed bytes.
    fn offer(&mut self, key: usize, bytes: &[u8]) -> Called<usize> {
        self.call(key, |service, _, out| {
            let mut consumed = 0;
            loop {
                let more = service.receive(key, &bytes[consumed..], out)?;
                consumed = (consumed + more).min(bytes.len());
                if more == 0 || consumed == bytes.len() || !out.can_receive_more() {
                    return Some(consumed);
                }
            }
        })
    }

    /// Sets the deadline of an incomplete message; returns whether the connection still reads.
    fn time_message(&mut self, registry: &mut Registry<Self>, key: usize, consumed: usize) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        if connection.stage != Stage::Reading {
            return false;
        }
        match (connection.unconsumed.is_some(), connection.timer, self.deadlines.message) {
            // The same message as before: its deadline already runs.
            (true, Some(_), _) if consumed == 0 => {}
            (true, _, Some(message)) => self.set_timer(registry, key, message),
            (false, Some(_), _) => self.free_timer(registry, key),
            _ => {}
        }
        true
    }
}

/// Calling.
impl Worker {
    /// Calls the service for a new connection.
    pub(super) fn open(&mut self, registry: &mut Registry<Self>, key: usize) {
        let opened = self.call(key, |service, peer, out| service.open(key, peer, out));
        if let Some(((), next_step)) = self.or_fail(registry, key, opened) {
            self.apply(registry, key, next_step);
        }
    }

    /// Calls the service for a connection, and sends its output.
    pub(super) fn call<T>(
        &mut self,
        key: usize,
        call: impl FnOnce(&mut dyn Hosted, &Peer<'_>, &mut Outlet<'_>) -> Option<T>,
    ) -> Called<T> {
        let Connection { socket, pending, proxied, listener, .. } = &mut self.connections[key];
        let peer = Peer { socket, proxied: proxied.as_deref(), listener: *listener };
        let (limit, bytes_out) = (self.limits.buffer_bytes, &mut self.stats.bytes_out);
        let mut out = Outlet::new(socket, &mut self.buffered, pending, limit, bytes_out);
        let answer = call(&mut *self.service, &peer, &mut out);
        finish(answer, out)
    }

    /// Returns the result of a call, or closes the connection if the call failed.
    pub(super) fn or_fail<T>(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        called: Called<T>,
    ) -> Option<(T, NextStep)> {
        called.map_err(|reason| self.fail(registry, key, reason)).ok()
    }

    /// Takes the next step of the service, after its output was sent.
    pub(super) fn apply(&mut self, registry: &mut Registry<Self>, key: usize, next_step: NextStep) {
        let connection = &self.connections[key];
        if connection.pending.is_some() {
            self.begin_sending(registry, key, next_step);
            return;
        }
        match next_step {
            NextStep::Read if connection.stage == Stage::Reading && !connection.ended => {}
            NextStep::Read => self.begin_reading(registry, key),
            NextStep::ResumeWhenSent => self.begin_sending(registry, key, next_step),
            NextStep::Pause(time) => self.begin_pausing(registry, key, time),
            NextStep::Close => self.close(registry, key),
            NextStep::Abort => self.fail(registry, key, CloseReason::Aborted),
        }
    }

    /// Resumes the service after a pause, or after everything was sent.
    fn resume(&mut self, registry: &mut Registry<Self>, key: usize) {
        let resumed = self.call(key, |service, _, out| service.resume(key, out));
        if let Some(((), next_step)) = self.or_fail(registry, key, resumed) {
            self.apply(registry, key, next_step);
        }
    }
}

/// Sending, and changes of stage.
impl Worker {
    fn send_pending(&mut self, registry: &mut Registry<Self>, key: usize) {
        let connection = &mut self.connections[key];
        if let Some(pending) = &mut connection.pending {
            let Ok(sent) = pending.send(&connection.socket) else {
                self.fail(registry, key, CloseReason::Broken);
                return;
            };
            connection.active_since_tick |= sent > 0;
            self.stats.bytes_out += sent as u64;
            if !pending.is_empty() {
                return;
            }
            connection.pending = None;
        }
        match connection.stage {
            Stage::Sending(NextStep::ResumeWhenSent) => self.resume(registry, key),
            Stage::Sending(next_step) => self.apply(registry, key, next_step),
            _ => {}
        }
    }

    /// Stops reading until everything is sent.
    fn begin_sending(&mut self, registry: &mut Registry<Self>, key: usize, next_step: NextStep) {
        self.free_timer(registry, key);
        let connection = &mut self.connections[key];
        connection.stage = Stage::Sending(next_step);
        registry.del(connection.readable);
        if connection.writable.is_some() {
            return;
        }
        let writable = EventSpec::io(&connection.socket, Interest::WRITE).persist();
        let writable = registry.create(writable.token(Token(key as u64)), on_writable);
        connection.writable = Some(writable);
        if add_until(registry, writable, self.deadlines.idle).is_err() {
            self.fail(registry, key, CloseReason::Refused);
        }
    }

    /// Reads again, after everything was sent or after a pause. Unconsumed input is passed first.
    pub(super) fn begin_reading(&mut self, registry: &mut Registry<Self>, key: usize) {
        self.free_timer(registry, key);
        self.free_writable(registry, key);
        let connection = &mut self.connections[key];
        if connection.ended {
            // The peer can send nothing more.
            self.close(registry, key);
            return;
        }
        connection.stage = Stage::Reading;
        let deadline =
            if connection.received_any { self.deadlines.idle } else { self.deadlines.first_byte };
        let (readable, has_unconsumed) = (connection.readable, connection.unconsumed.is_some());
        if add_until(registry, readable, deadline).is_err() {
            self.fail(registry, key, CloseReason::Refused);
        } else if has_unconsumed {
            self.receive(registry, key, &[]);
        }
    }

    /// Neither reads nor sends for this time.
    fn begin_pausing(&mut self, registry: &mut Registry<Self>, key: usize, time: Duration) {
        self.free_writable(registry, key);
        let connection = &mut self.connections[key];
        connection.stage = Stage::Pausing;
        registry.del(connection.readable);
        let timer = self.renew_timer(registry, key);
        registry.add(timer, Some(time)).expect("a timer needs nothing of the kernel");
    }

    pub(super) fn set_timer(
        &mut self,
        registry: &mut Registry<Self>,
        key: usize,
        deadline: CommonTimeout,
    ) {
        let timer = self.renew_timer(registry, key);
        registry.add_common(timer, deadline).expect("a timer needs nothing of the kernel");
    }

    /// Creates a new timer for the connection, in place of any other.
    fn renew_timer(&mut self, registry: &mut Registry<Self>, key: usize) -> EventId {
        self.free_timer(registry, key);
        let timer = registry.create(EventSpec::timer().token(Token(key as u64)), on_timer);
        self.connections[key].timer = Some(timer);
        timer
    }

    pub(super) fn free_timer(&mut self, registry: &mut Registry<Self>, key: usize) {
        if let Some(timer) = self.connections[key].timer.take() {
            registry.free(timer);
        }
    }

    fn free_writable(&mut self, registry: &mut Registry<Self>, key: usize) {
        if let Some(writable) = self.connections[key].writable.take() {
            registry.free(writable);
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
                Err(OutletFailure::Broken) => Err(CloseReason::Broken),
                Err(OutletFailure::TooLarge) => Err(CloseReason::TooLarge),
            };
        }
    };
    out.discard();
    Err(reason)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::rig::{SENT, one_sided_pair, worker_with};
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
