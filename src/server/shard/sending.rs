//! Sending what is pending, and reading again afterwards.

use super::call::NextStep;
use super::close_reason::CloseReason;
use super::connection_mut::ConnectionMut;
use super::connection_state::{OutputEnd, Stage};
use super::shard_state::ShardState;
use crate::rate_limit::Direction;

/// How much of the pending output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    All,
    /// The socket takes no more now.
    Some,
    /// The connection is closed, or waits for a byte rate.
    NotNow,
}

/// Sending, and reading again.
impl ConnectionMut<'_> {
    /// Sends what is pending, because the socket takes output.
    pub(super) fn send_pending(&mut self) {
        if self.write_pending() == Written::All {
            self.all_is_sent();
        }
    }

    /// Goes on after the last pending output was sent.
    fn all_is_sent(&mut self) {
        match self.stage {
            Stage::Sending(NextStep::ResumeWhenSent) => self.resume(),
            Stage::Sending(NextStep::Close) => self.take_step(NextStep::Close),
            Stage::Sending(next_step) => {
                self.output_was_sent();
                let is_unchanged = self.is_open() && self.stage == Stage::Sending(next_step);
                if is_unchanged && self.pending.is_none() {
                    self.take_step(next_step.or_read());
                }
            }
            Stage::Handshake { .. } => self.handshake(),
            _ => {
                self.free_writable();
                self.output_was_sent();
                if self.is_open() && self.stage == Stage::Reading && self.pending.is_none() {
                    // What the service was not given while output was pending.
                    self.receive_unconsumed();
                }
            }
        }
    }

    /// Sends what was collected while callbacks of others ran, and ends the output if it is to end.
    pub(super) fn flush(&mut self) {
        if self.writable.is_some() {
            return;
        }
        let has_collected = self.pending.is_some();
        match self.write_pending() {
            Written::All if has_collected => self.all_is_sent(),
            Written::Some => self.begin_sending(NextStep::Continue),
            Written::All | Written::NotNow => {}
        }
    }

    /// Writes what the socket takes, and ends the output if it is to end then.
    fn write_pending(&mut self) -> Written {
        let ShardState { connections, byte_rates: rates, stats, handles, .. } =
            &mut self.worker.shard;
        let connection = &mut connections[self.key];
        if let Some(pending) = &mut connection.pending {
            let allowed = rates
                .as_mut()
                .map_or(usize::MAX, |rates| rates.allowed(self.key, Direction::Write));
            // What TLS has encrypted already is sent in any case.
            if allowed == 0 && !pending.is_empty() {
                self.delay_sending();
                return Written::NotNow;
            }
            let sent = match pending.write_to(&connection.transport, allowed) {
                Ok(sent) => sent,
                Err(error) => {
                    self.fail(CloseReason::of_io(&error));
                    return Written::NotNow;
                }
            };
            if let Some(rates) = rates {
                rates.count(self.key, Direction::Write, sent);
            }
            connection.active_since_tick |= sent > 0;
            connection.has_sent |= sent > 0;
            stats.bytes_out += sent as u64;
            handles.has_unsent(self.key, pending.len_in_memory());
            if !pending.is_empty() || connection.transport.unsent() > 0 {
                return Written::Some;
            }
            connection.pending = None;
        }
        if self.output_end == OutputEnd::Requested {
            self.output_end = OutputEnd::Ended;
            // A peer that has gone needs no end.
            let _ = self.transport.end_write();
            self.hold_unsent();
        }
        if self.pending.is_none() { Written::All } else { Written::Some }
    }

    /// Sends nothing until the byte rates allow more. It reads nothing meanwhile either, because it
    /// has one timer.
    #[cold]
    fn delay_sending(&mut self) {
        self.worker.shard.stats.writes_delayed += 1;
        self.free_writable();
        match self.stage {
            Stage::Reading => self.stop_reading(Stage::Sending(NextStep::Continue)),
            // Its timer runs already, and ends in this state or in another that sends.
            Stage::ReadDelayed | Stage::Pausing => return,
            _ => {}
        }
        self.await_byte_rate(Direction::Write);
    }

    /// Waits until everything is sent, and takes the next step then.
    pub(super) fn begin_sending(&mut self, next_step: NextStep) {
        let key = self.key;
        if let Err(reason) = self.shard().begin_sending(key, next_step) {
            self.fail(reason);
        }
    }

    /// Waits for input, for as long as a peer may be quiet; returns whether the connection is open.
    pub(super) fn watch_reads(&mut self) -> bool {
        let deadlines = self.worker.shard.deadlines;
        let deadline =
            if self.received_any { deadlines.idle } else { deadlines.before_first_byte() };
        self.watch(self.readable, deadline)
    }

    /// Reads again, after everything was sent or after a pause. Unconsumed input is passed first.
    pub(super) fn begin_reading(&mut self) {
        self.free_timer();
        if self.ended {
            // The peer can send nothing more.
            match self.pending {
                None => self.finish(CloseReason::Closed),
                Some(_) => self.begin_sending(NextStep::Close),
            }
            return;
        }
        if self.pending.is_some() {
            if !self.watch_writable() {
                return;
            }
        } else {
            self.free_writable();
        }
        let key = self.key;
        self.shard().free_hang_up(key);
        self.stage = Stage::Reading;
        if self.watch_reads() && self.receive_unconsumed() {
            self.read_received_later();
        }
    }
}
