//! Deadlines: timeouts, lifetimes, the end of the run, intervals.

use std::io;

use super::{
    Finished, INTERRUPTED_DRAIN_NS_MAX, LATE_SWEEP_TIMEOUT_DIVISOR, LIFETIMES,
    SWEEP_INTERVAL_NS_MAX, SWEEP_INTERVAL_NS_MIN, SWEEPS_PER_TIMEOUT, Stop, UNSENT_LISTED_MAX,
    Worker,
};
use crate::clock::nanoseconds;
use crate::engine::connection::{Connection, SetupFailure, StreamState};
use crate::engine::network::Network;
use crate::engine::recorder::Failure;
use crate::engine::reporter::{Reporter, State};
use crate::engine::usage::Usage;
use crate::error::Error;
use crate::options::Churn;
use crate::schedule::{Phase, random};
use crate::tls::HandshakeFailure;

/// The result of checking one connection in a sweep.
enum CheckResult {
    Nothing,
    /// A reply is outstanding, and no byte was received for the timeout.
    Silent,
    /// Its handshake took longer than the timeout, for this reason.
    Unanswered(io::ErrorKind),
    /// Its TLS handshake took longer than the timeout.
    Unsecured,
    /// Its setup took longer than the timeout.
    NotSetUp,
    /// Its lifetime has ended.
    Expired,
}

impl<N: Network> Worker<'_, '_, N> {
    /// Closes connections that reached the timeout or the end of their lifetime.
    pub(super) fn sweep_when_due(&mut self) -> Result<(), Error> {
        if self.now_ns < self.sweep_due_ns {
            return Ok(());
        }
        let timeout_ns = self.plan.timeout_ns();
        // This thread did not run. Replies may be in the socket buffers, unread.
        if self.now_ns - self.sweep_due_ns >= timeout_ns / LATE_SWEEP_TIMEOUT_DIVISOR {
            self.responsive_since_ns = self.now_ns;
        }
        let interval_ns =
            (timeout_ns / SWEEPS_PER_TIMEOUT).clamp(SWEEP_INTERVAL_NS_MIN, SWEEP_INTERVAL_NS_MAX);
        self.sweep_due_ns = self.now_ns + interval_ns;
        for index in 0..self.share.connections {
            match self.check(&self.connections[index as usize]) {
                CheckResult::Nothing => {}
                CheckResult::Silent => self.lose(index, Failure::TimedOut),
                CheckResult::Unsecured => {
                    self.handshake_failed(index, HandshakeFailure::timeout())?;
                }
                CheckResult::NotSetUp => self.setup_failed(index, &SetupFailure::TimedOut)?,
                CheckResult::Unanswered(reason) => self.dial_failed(index, reason.into())?,
                CheckResult::Expired => self.expire(index),
            }
        }
        Ok(())
    }

    fn check(&self, connection: &Connection<N::Stream>) -> CheckResult {
        let overdue = |since_ns: u64| {
            let since_ns = since_ns.max(self.responsive_since_ns);
            self.now_ns.saturating_sub(since_ns) >= self.plan.timeout_ns()
        };
        match &connection.stream {
            StreamState::Connecting { begun_ns, .. } if overdue(*begun_ns) => {
                CheckResult::Unanswered(io::ErrorKind::TimedOut)
            }
            StreamState::Repeating { begun_ns, .. } if overdue(*begun_ns) => {
                CheckResult::Unanswered(io::ErrorKind::WouldBlock)
            }
            StreamState::Securing(securing) if overdue(securing.connected_ns) => {
                CheckResult::Unsecured
            }
            StreamState::SettingUp(stream) if overdue(stream.connected_ns) => CheckResult::NotSetUp,
            StreamState::Open(stream) => {
                if stream.outstanding() > 0 && overdue(stream.last_progress_ns) {
                    CheckResult::Silent
                } else if self.started
                    && self.now_ns >= self.expires_ns(connection, stream.begun_ns)
                {
                    CheckResult::Expired
                } else {
                    CheckResult::Nothing
                }
            }
            _ => CheckResult::Nothing,
        }
    }

    /// When the lifetime of a stream ends. The first stream of each connection lives for a random
    /// part of the lifetime, so that they do not all end at once.
    fn expires_ns(&self, connection: &Connection<N::Stream>, begun_ns: u64) -> u64 {
        let Churn::Lifetime(lifetime) = self.plan.options.churn else {
            return u64::MAX;
        };
        let lifetime_ns = nanoseconds(lifetime);
        if connection.generation > 1 {
            return begun_ns.saturating_add(lifetime_ns);
        }
        let key = random::key(self.plan.options.seed, LIFETIMES);
        let part = random::unit(random::at(key, u64::from(connection.number)));
        let since_ns = begun_ns.max(self.window.start_ns);
        since_ns.saturating_add((part * lifetime_ns as f64) as u64)
    }

    fn expire(&mut self, index: u32) {
        // The stream begins no request. It is closed when its outstanding requests are answered.
        if let StreamState::Open(stream) = &mut self.connections[index as usize].stream {
            stream.closing = true;
            self.send_queue.clear(index);
        }
        if self.connections[index as usize].is_used_up(self.plan) {
            self.retire(index);
        }
    }

    /// Records the backlog that the warm-up has left.
    pub(super) fn open_window_when_due(&mut self) {
        if !self.window_opened && self.window.phase(self.now_ns) != Phase::WarmUp {
            self.window_opened = true;
            // In a closed loop requests are outstanding at any time.
            if self.plan.intensity.is_some() {
                let backlog = self.recorder.outstanding() + self.backlog() as u64;
                self.recorder.window_opens(backlog);
            }
        }
    }

    /// About how many requests are due and unsent.
    fn backlog(&self) -> f64 {
        let Some(intensity) = &self.plan.intensity else {
            return 0.0;
        };
        let due_requests =
            self.connections.iter().filter_map(|connection| connection.due_requests.as_ref());
        due_requests.map(|due_requests| due_requests.backlog(self.now_ns, intensity)).sum()
    }

    /// Ends the schedule at the end of the window, on an interrupt, or when every attempt to
    /// connect has failed for the timeout. An interrupt also shortens the drain.
    pub(super) fn stop_when_due(&mut self) {
        let interrupted = self.is_called_off();
        let over = self.window.phase(self.now_ns) == Phase::Over;
        let lost = self.live == 0
            && self.failing_since_ns.is_some_and(|since_ns| {
                self.now_ns.saturating_sub(since_ns) >= self.plan.timeout_ns()
            });
        if self.stop.is_none() && (interrupted || over || lost) {
            let drain_ns = if lost { 0 } else { nanoseconds(self.plan.options.drain) };
            self.stop = Some(self.stopping(drain_ns));
            self.recorder.stops(self.now_ns);
            // The interrupt may have come while connecting: then no request is due.
            let is_unused = interrupted && self.begun == 0;
            let end_ns = if is_unused { self.window.start_ns } else { self.now_ns };
            for connection in &mut self.connections {
                match &mut connection.due_requests {
                    Some(due_requests) => due_requests.end(end_ns),
                    // A closed loop begins no request after its end.
                    None => self.begun = self.share.connections,
                }
            }
        }
        if interrupted && let Some(stop) = &mut self.stop {
            // The minimum keeps the first limit; each wake-up computes a later one.
            let limit_ns = self.now_ns + INTERRUPTED_DRAIN_NS_MAX;
            stop.drain_until_ns = stop.drain_until_ns.min(limit_ns);
        }
    }

    fn stopping(&self, drain_ns: u64) -> Stop {
        Stop {
            at_ns: self.now_ns.min(self.window.end_ns),
            usage: Usage::now(),
            drain_until_ns: self.now_ns.saturating_add(drain_ns),
        }
    }

    /// Reports an interval that has ended.
    pub(super) fn report_when_due(&mut self, reporter: &mut Reporter) {
        let completed = self.recorder.counters().completed;
        self.plan.shared_progress.set_completed(self.share.thread, completed);
        if self.now_ns >= reporter.due_ns() {
            let state = self.state();
            reporter.report(&mut self.recorder, state);
        }
    }

    fn state(&self) -> State {
        State {
            now_ns: self.now_ns,
            outstanding: self.recorder.outstanding(),
            backlog: self.backlog() as u64,
        }
    }

    /// Counts the requests without a reply, and reports the last interval.
    pub(super) fn finish(mut self, reporter: &mut Reporter) -> Finished {
        let stop = self.stop.unwrap_or_else(|| self.stopping(0));
        let now_ns = self.network.now_ns();
        let listed_max = UNSENT_LISTED_MAX / u64::from(self.share.connections.max(1));
        for mut connection in self.connections.drain(..) {
            let obstacle = connection.obstacle(self.plan);
            connection.announce_end(self.plan, &mut self.scratch);
            if let StreamState::Open(stream) = connection.stream {
                for request in stream.into_outstanding() {
                    self.recorder.censored(request, now_ns);
                }
            }
            if let (Some(due_requests), Some(intensity)) =
                (connection.due_requests, &self.plan.intensity)
            {
                due_requests.drain(intensity, &self.window, listed_max, |unsent| {
                    self.recorder.unsent(unsent, now_ns, obstacle);
                });
            }
        }
        let state = State { now_ns, ..self.state() };
        reporter.last(&mut self.recorder, state);
        Finished {
            connections: self.share.connections as usize,
            started_late_ns: self.started_late_ns,
            recorded: self.recorder.finish(),
            stopped_ns: stop.at_ns,
            wall_ns: stop.at_ns.saturating_sub(self.window.start_ns),
            usage: stop.usage.since(self.started_usage),
        }
    }
}
