//! The I/O of a connection: its events, reading, and calling its service. `sending.rs` sends what
//! is pending.
//!
//! A connection is in one [`Stage`] at a time: it reads, sends, or waits for a timer. The next step
//! of its service moves it to another stage.

use std::io;
use std::time::Instant;

use super::call::{Called, Hosted, NextStep, call};
use super::close_reason::CloseReason;
use super::connection_mut::ConnectionMut;
use super::connection_state::Stage;
use super::proxy_header::{self, HeaderProgress};
use super::service_timers::{TimerId, TimerOwner};
use super::shard_mut::ShardMut;
use super::shard_state::ShardState;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{Fired, Ready};
use crate::rate_limit::Direction;
use crate::server::config::ProxyMode;
use crate::server::memory::NoMemory;
use crate::transport::would_block;

/// Full reads of one connection per turn, so that others do not wait behind a flood.
pub(super) const READS_PER_TURN_MAX: usize = 4;

pub(super) fn on_readable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    worker.connection(registry, key).readable(fired.ready, ConnectionMut::read_plain);
    worker.shard.callback_ended(key);
}

pub(super) fn on_writable(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    let mut connection = worker.connection(registry, key);
    connection.writable(fired.ready);
    connection.count_tls_memory();
    worker.shard.callback_ended(key);
}

pub(super) fn on_timer(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    let key = fired.token.0 as usize;
    let mut connection = worker.connection(registry, key);
    connection.timer_ended();
    connection.count_tls_memory();
    worker.shard.callback_ended(key);
}

pub(super) fn on_service_timer(registry: &mut Registry<Worker>, worker: &mut Worker, fired: Fired) {
    match worker.shard.timers.fired(registry, fired) {
        Some((TimerOwner::Connection(key), timer, token)) => {
            let mut connection = worker.connection(registry, key);
            connection.service_timer_ended(timer, token);
            connection.count_tls_memory();
            worker.shard.callback_ended(key);
        }
        Some((TimerOwner::Shard, timer, token)) => {
            worker.call_for_shard(registry, |host, shard| host.shard_timer(shard, timer, token));
            worker.mark();
        }
        None => {}
    }
}

/// The events.
impl ConnectionMut<'_> {
    /// Starts an adopted connection.
    pub(super) fn begin(&mut self) {
        if !self.watch(self.readable, self.worker.shard.deadlines.before_first_byte()) {
            return;
        }
        if self.stage == Stage::ProxyHeader {
            self.start_deadline(self.worker.shard.deadlines.proxy_header);
        } else if self.expects_tls {
            self.begin_handshake();
        } else {
            self.open();
        }
    }

    #[inline(always)]
    pub(super) fn readable(&mut self, ready: Ready, read: impl FnOnce(&mut Self)) {
        if ready.contains(Ready::REFUSED) {
            self.fail(CloseReason::Refused);
        } else if ready.contains(Ready::READ) {
            read(self);
        } else {
            self.idle_timed_out();
        }
    }

    /// Nothing was received for too long.
    #[cold]
    fn idle_timed_out(&mut self) {
        let awaits_output = self.worker.shard.handles.awaits_output(self.key);
        let awaits_first_byte =
            !self.received_any && self.worker.shard.deadlines.first_byte.is_some();
        // What the service says first does not end the wait for the first byte.
        let was_sent_to = std::mem::take(&mut self.has_sent) && !awaits_first_byte;
        if was_sent_to || awaits_output {
            self.watch_reads();
        } else if awaits_first_byte {
            self.fail(CloseReason::FirstByte);
        } else {
            self.fail(CloseReason::Idle);
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
            Stage::Handshake { .. } if self.is_dialed() => self.dialed_timed_out(),
            Stage::Handshake { .. } => self.handshake_timed_out(),
            Stage::Reading => self.fail(CloseReason::Message),
            Stage::ReadDelayed => self.begin_reading(),
            Stage::Pausing => self.resume(),
            Stage::Sending(NextStep::Continue) if self.reads_while_sending && !self.ended => {
                self.begin_reading();
            }
            Stage::Sending(_) | Stage::Paused | Stage::AwaitingAnswers(_) => {
                self.free_timer();
                self.watch_writable();
            }
            Stage::Closing(_) => {}
        }
    }
}

/// The byte rates.
impl ConnectionMut<'_> {
    /// Starts the timer after which the byte rates allow more, in place of the deadline of a
    /// message. No deadline runs until then, because it is the server that is slow.
    pub(super) fn await_byte_rate(&mut self, way: Direction) {
        let ShardState { connections, byte_rates, handoff, .. } = &mut self.worker.shard;
        let Some(rates) = byte_rates else { return };
        let wait = rates.wait(self.key, way);
        if let Some(suppressed) = rates.log.next(Instant::now()) {
            let peer = connections[self.key].peer_address();
            log::debug!(
                target: "shard", shard = handoff.shard(), peer:%, suppressed;
                "a connection waits for a byte rate"
            );
        }
        self.start_timer(wait);
    }
}

/// Reading.
impl ConnectionMut<'_> {
    /// Reads within the budget of a turn, and passes the input to the service.
    pub(super) fn read(&mut self) {
        match self.stage {
            Stage::Handshake { deferred: true } => {}
            Stage::Handshake { deferred: false } => self.handshake(),
            _ if self.transport.is_tls() => self.read_tls(),
            _ => self.read_plain(),
        }
    }

    /// The same, for a connection without TLS.
    #[inline(always)] // as all of the way from an event to its service: calls would cost a tenth
    fn read_plain(&mut self) {
        if self.read_once::<false>() {
            self.read_again();
        }
    }

    /// Reads more after a full read, within the budget of the turn.
    #[cold]
    fn read_again(&mut self) {
        for _ in 1..READS_PER_TURN_MAX {
            if !self.read_once::<false>() {
                break;
            }
        }
    }

    /// Reads once; returns whether another read may bring more.
    #[inline(always)]
    pub(super) fn read_once<const TLS: bool>(&mut self) -> bool {
        let key = self.key;
        let Worker { buffer, host, shard, .. } = &mut *self.worker;
        let ShardState { connections, byte_rates, deadlines, stats, call, .. } = &mut *shard;
        let connection = &mut connections[key];
        let allowed = match byte_rates {
            // The header is short, and no message yet.
            Some(rates) if connection.stage != Stage::ProxyHeader => {
                rates.allowed(key, Direction::Read).min(buffer.len())
            }
            _ => buffer.len(),
        };
        if allowed == 0 {
            return self.delay_reading();
        }
        let (transport, into) = (&connection.transport, &mut buffer[..allowed]);
        let read = if TLS { transport.read(into) } else { transport.read_plain(into) };
        let length = match read {
            Ok(length) if length > 0 => length,
            nothing => return self.read_nothing(nothing),
        };
        // A short read emptied the socket: another would only return EAGAIN.
        let may_bring_more = if TLS { transport.has_received() } else { length == buffer.len() };
        let input = &buffer[..length];
        if let Some(rates) = byte_rates {
            rates.count(key, Direction::Read, length);
        }
        connection.active_since_tick = true;
        stats.reads += 1;
        stats.bytes_in += length as u64;
        if !std::mem::replace(&mut connection.received_any, true) {
            deadlines.first_byte_arrived(self.registry, connection.readable);
        }
        if connection.stage != Stage::Reading || connection.unconsumed.is_some() {
            return self.read_more(length) && may_bring_more;
        }
        call.begin(connection, key);
        let during = ShardMut { state: shard, registry: self.registry };
        let answer = host.receive(during, key, input);
        let received = if answer == Some(length) && shard.call.next_step == NextStep::Continue {
            // As nearly always.
            let (sent, connection) = shard.send_buffered(key);
            if sent.is_ok() && connection.only_reads() {
                return may_bring_more;
            }
            sent.map(|()| length)
        } else {
            shard.call_ended(key, answer)
        };
        let received = received.and_then(|consumed| {
            let ShardState { connections, limits, .. } = shard;
            let kept = connections[key].keep_unconsumed(&input[consumed..], &limits.memory);
            kept.map(|()| consumed).map_err(|NoMemory| CloseReason::NoMemory)
        });
        self.received(received) && may_bring_more
    }

    /// Reads nothing until the byte rates allow more.
    #[cold]
    fn delay_reading(&mut self) -> bool {
        self.worker.shard.stats.reads_delayed += 1;
        self.stage = Stage::ReadDelayed;
        self.registry.del(self.readable);
        self.await_byte_rate(Direction::Read);
        false
    }

    /// Handles the end of the stream, and a read that failed.
    #[cold]
    fn read_nothing(&mut self, read: io::Result<usize>) -> bool {
        match read {
            Ok(_) => self.end_of_stream(),
            Err(error) if would_block(&error) => {}
            Err(error) => self.fail(CloseReason::of_io(&error)),
        }
        false
    }

    /// Passes `length` bytes of the read buffer on, together with the input that is not consumed
    /// yet; returns whether the connection still reads.
    fn read_more(&mut self, length: usize) -> bool {
        let Worker { buffer, shard, .. } = &mut *self.worker;
        let ShardState { connections, limits, proxy, .. } = shard;
        let (connection, input) = (&mut connections[self.key], &buffer[..length]);
        let memory = &limits.memory;
        if connection.stage == Stage::ProxyHeader {
            let progress = proxy_header::read(proxy, connection, input, memory);
            return self.proxy_header_progressed(progress);
        }
        if connection.keep_unconsumed(input, memory) == Err(NoMemory) {
            self.fail(CloseReason::NoMemory);
            return false;
        }
        self.receive_unconsumed()
    }

    fn end_of_stream(&mut self) {
        if self.stage == Stage::ProxyHeader {
            if self.unconsumed.is_none() {
                // A health check that only tests whether the port is open.
                self.close(CloseReason::Closed);
            } else {
                // The end of stream can still be read afterwards.
                self.end_proxy_header();
            }
            return;
        }
        self.ended = true;
        // Each next step then ends reading, or closes the connection.
        let key = self.key;
        let unconsumed = self.unconsumed.take();
        let rest = unconsumed.as_ref().map_or(&[][..], |unconsumed| unconsumed);
        let ended = self.call(|host, shard| host.end(shard, key, rest));
        self.apply_or_read(ended);
    }

    /// Passes unconsumed input to the service, and keeps what it does not consume; returns whether
    /// the connection still reads.
    pub(super) fn receive_unconsumed(&mut self) -> bool {
        let Some(mut unconsumed) = self.unconsumed.take() else { return true };
        let key = self.key;
        let received = self.call(|host, shard| host.receive(shard, key, &unconsumed));
        if let Ok(consumed) = received
            && consumed < unconsumed.len()
        {
            unconsumed.consume(consumed);
            self.unconsumed = Some(unconsumed);
        }
        self.received(received)
    }

    /// Takes the next step after input was passed to the service; returns whether the connection
    /// still reads.
    fn received(&mut self, received: Called<usize>) -> bool {
        let consumed = match received {
            Ok(consumed) => consumed,
            Err(reason) => {
                self.fail(reason);
                return false;
            }
        };
        let unconsumed = self.unconsumed.as_ref().map_or(0, |unconsumed| unconsumed.len());
        if unconsumed > self.worker.shard.limits.connection_bytes {
            self.fail(CloseReason::TooLarge);
            return false;
        }
        self.apply(self.worker.shard.call.next_step);
        if !self.is_open() || self.stage != Stage::Reading {
            return false;
        }
        self.time_message(consumed);
        true
    }

    /// Starts or ends the deadline of an incomplete message, after `consumed` bytes.
    fn time_message(&mut self, consumed: usize) {
        match (self.unconsumed.is_some(), self.timer, self.worker.shard.deadlines.message) {
            // The same message as before: its deadline already runs.
            (true, Some(_), _) if consumed == 0 => {}
            (true, _, Some(message)) => self.start_deadline(message),
            (_, Some(_), _) => self.free_timer(),
            _ => {}
        }
    }
}

/// The PROXY header.
impl ConnectionMut<'_> {
    /// Continues after more of the header was read; returns whether the connection still reads.
    fn proxy_header_progressed(&mut self, progress: HeaderProgress) -> bool {
        match progress {
            HeaderProgress::Incomplete => true,
            HeaderProgress::Done => self.proxy_header_done(),
            HeaderProgress::Failed(reason) => {
                self.fail(reason);
                false
            }
        }
    }

    /// The deadline for the header is over, or the peer will send no more.
    fn end_proxy_header(&mut self) {
        if self.worker.shard.proxy.mode == ProxyMode::Optional {
            self.proxy_header_done();
        } else {
            self.fail(CloseReason::Proxy);
        }
    }

    /// Goes on after the header; returns whether the connection still reads.
    fn proxy_header_done(&mut self) -> bool {
        self.free_timer();
        let ShardState { connections, source_slots, .. } = &mut self.worker.shard;
        let connection = &connections[self.key];
        if !source_slots.acquire(self.key, || connection.peer_address().ip()) {
            self.fail(CloseReason::SourceLimit);
            return false;
        }
        if self.expects_tls {
            self.begin_handshake();
            return false;
        }
        self.begin_service()
    }

    /// Calls the service for the connection and its input so far; returns whether the connection
    /// still reads.
    pub(super) fn begin_service(&mut self) -> bool {
        self.stage = Stage::Reading;
        self.open();
        if !self.is_open() || self.stage != Stage::Reading {
            return false;
        }
        self.receive_unconsumed()
    }
}

/// Calling.
impl ConnectionMut<'_> {
    /// Calls the service for a new connection, and again if that drains already.
    pub(super) fn open(&mut self) {
        let key = self.key;
        if !self.dialed() {
            let opened = self.call(|host, shard| host.open(shard, key));
            self.apply_or_fail(opened);
        }
        if self.is_open() && self.worker.shard.drains(key) {
            self.begin_draining();
        }
    }

    /// Calls the service because the server drains.
    pub(super) fn begin_draining(&mut self) {
        self.active_since_tick = false;
        if matches!(self.stage, Stage::ProxyHeader | Stage::Handshake { .. } | Stage::Closing(_)) {
            return;
        }
        let key = self.key;
        let drained = self.call(|host, shard| host.drain(shard, key));
        self.apply_or_fail(drained);
    }

    /// Resumes the service after a pause, or after everything was sent.
    pub(super) fn resume(&mut self) {
        let key = self.key;
        let resumed = self.call(|host, shard| host.resume(shard, key));
        self.apply_or_read(resumed);
    }

    fn service_timer_ended(&mut self, timer: TimerId, token: u64) {
        if matches!(self.stage, Stage::Closing(_)) {
            return;
        }
        let key = self.key;
        let called = self.call(|host, shard| host.timer(shard, key, timer, token));
        self.apply_or_fail(called);
    }

    /// Calls the service because output that was pending is sent.
    pub(super) fn output_was_sent(&mut self) {
        let key = self.key;
        let called = self.call(|host, shard| host.sent(shard, key));
        self.apply_or_fail(called);
    }

    /// Calls the service for this connection, and sends its output.
    pub(super) fn call<T>(
        &mut self,
        call_service: impl FnOnce(&mut dyn Hosted, ShardMut<'_>) -> Option<T>,
    ) -> Called<T> {
        let Worker { host, shard, .. } = &mut *self.worker;
        let shard = ShardMut { state: shard, registry: self.registry };
        call(&mut **host, shard, self.key, call_service)
    }

    /// Takes the next step of the service, or closes the connection if the call failed.
    pub(super) fn apply_or_fail(&mut self, called: Called<()>) {
        match called {
            Ok(()) => self.apply(self.worker.shard.call.next_step),
            Err(reason) => self.fail(reason),
        }
    }

    /// The same, and reads again if the service chose no other step.
    fn apply_or_read(&mut self, called: Called<()>) {
        let next_step = &mut self.worker.shard.call.next_step;
        *next_step = next_step.or_read();
        self.apply_or_fail(called);
    }

    /// Takes the next step of the service, once its output is sent.
    pub(super) fn apply(&mut self, next_step: NextStep) {
        // A connection that is being closed may only be closed sooner.
        let closes = self.stage == Stage::Sending(NextStep::Close);
        if closes && !matches!(next_step, NextStep::Fail(_)) {
            return;
        }
        if next_step == NextStep::PauseUntilAnswered {
            return self.pause_until_answered();
        }
        let reads_on = next_step == NextStep::Read && self.reads_while_sending && !self.ended;
        if self.pending.is_some() && !reads_on {
            self.begin_sending(next_step);
        } else {
            self.take_step(next_step);
        }
    }

    pub(super) fn take_step(&mut self, next_step: NextStep) {
        match next_step {
            NextStep::Continue => {}
            NextStep::Read if self.stage == Stage::Reading && !self.ended => {}
            NextStep::Read => self.begin_reading(),
            NextStep::ResumeWhenSent => self.begin_sending(next_step),
            NextStep::PauseFor(time) => {
                // It neither reads nor sends for this time.
                self.free_writable();
                self.stop_reading(Stage::Pausing);
                self.start_timer(time);
            }
            NextStep::Pause => {
                self.free_writable();
                self.stop_reading(Stage::Paused);
            }
            NextStep::PauseUntilAnswered => self.pause_until_answered(),
            NextStep::Close => self.finish(CloseReason::Closed),
            NextStep::Fail(reason) => self.fail(reason),
        }
    }

    fn pause_until_answered(&mut self) {
        let key = self.key;
        let stage = match self.worker.shard.handles.await_answers(key) {
            Some(wait) => Stage::AwaitingAnswers(wait),
            // It was answered during the callback, which left input.
            None if self.unconsumed.is_some() => Stage::Paused,
            None => return self.apply(self.step_after_answers()),
        };
        self.stop_reading(stage);
        if self.pending.is_some() {
            self.watch_writable();
        } else {
            self.free_writable();
        }
        if self.is_open() && stage == Stage::Paused {
            self.shard().read_later(key);
        }
    }

    pub(super) fn stop_reading(&mut self, stage: Stage) {
        let key = self.key;
        self.shard().stop_reading(key, stage);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::super::test_worker::{SENT, one_sided_pair, pair, worker_with};
    use crate::base::LoopFlags;
    use crate::server::config::{Limits, ServerConfig};
    use crate::server::service::{Connection, Discard, Service};

    /// Consumes single bytes up to the last two, which are a part of a message.
    #[derive(Clone)]
    struct KeepsTwo;

    impl Service for KeepsTwo {
        type Session = ();
        type Message = ();

        fn open(&mut self, _: &mut Connection<'_, Self>) {}

        fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
            input.len().saturating_sub(2)
        }
    }

    /// A deadline that a connection got from earlier limits would end it.
    #[test]
    fn a_deadline_that_is_switched_off_ends_with_the_next_read() {
        const LONG: Option<Duration> = Some(Duration::from_secs(60));
        let (mut client, socket) = pair();
        let (mut base, mut worker) = worker_with(KeepsTwo, socket);
        let limits = Limits { first_byte: LONG, idle: None, message: LONG, ..Limits::default() };
        let config = |limits| ServerConfig { limits, ..Default::default() };
        worker.reconfigure(base.registry(), &config(limits)).unwrap();
        while worker.shard.connections.is_empty() {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        let (key, connection) = worker.shard.connections.iter().next().unwrap();
        let readable = connection.readable;
        assert!(base.registry().deadline(readable).is_some());
        let mut send = |limits: Limits| {
            worker.reconfigure(base.registry(), &config(limits)).unwrap();
            let reads = worker.shard.stats.reads;
            client.write_all(b"x").unwrap();
            while worker.shard.stats.reads == reads {
                base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
            }
            let timer = worker.shard.connections[key].timer;
            let registry = base.registry();
            let has = |event| registry.deadline(event).is_some();
            (has(readable), timer.is_some_and(has))
        };
        let none = Limits { first_byte: None, message: None, ..limits };
        // The first byte switches the first-byte deadline off, and begins a message.
        assert_eq!(send(Limits { message: LONG, ..none }), (false, true));
        assert_eq!(send(none), (false, true), "it is the same message");
        assert_eq!(send(none), (false, false), "it is the next message");
    }

    #[test]
    fn a_connection_with_much_to_read_gets_four_reads_a_turn() {
        const READ_BYTES: usize = 1000;
        let (_client, socket) = one_sided_pair();
        let (mut base, mut worker) = worker_with(Discard, socket);
        worker.buffer = vec![0; READ_BYTES].into_boxed_slice();
        while worker.shard.stats.reads == 0 {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        for turn in 1..=SENT as u64 / READ_BYTES as u64 / 4 {
            assert_eq!(worker.shard.stats.reads, turn * 4);
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        assert_eq!(worker.shard.stats.bytes_in, SENT as u64);
    }
}
