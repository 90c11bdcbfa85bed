//! Streams that come and go: connecting, losing, replacing.

use std::io;
use std::mem;

use super::{REDIAL_NS_MAX, REDIAL_NS_MIN, Worker};
use crate::engine::connection::{Connection, Link};
use crate::engine::network::{Interest, Network, Token};
use crate::engine::recorder::Failure;
use crate::engine::send_schedule::Due;
use crate::error::Error;

/// Wait before a unix socket is tried again whose server has too many waiting already: there is no
/// handshake that the kernel would repeat.
const FULL_BACKLOG_NS: u64 = 1_000_000;

impl<N: Network> Worker<'_, '_, N> {
    /// Asks for a stream, unless the lane needs none yet, or none any more.
    pub(super) fn dial_when_due(&mut self, lane: u32) {
        let due_ns = self.lanes[lane as usize].due.as_ref().and_then(Due::next_ns);
        let over = self.stop.is_some() && due_ns.is_none();
        if over || (self.plan.connects_per_request() && !self.started) {
            return;
        }
        match due_ns {
            Some(due_ns) if self.plan.connects_per_request() && due_ns > self.now_ns => {
                self.agenda.set(lane, due_ns);
            }
            // A schedule that has ended needs no connection for a request of its own.
            None if self.plan.connects_per_request() && self.plan.intensity.is_some() => {}
            _ => {
                self.lanes[lane as usize].link = Link::Queued;
                self.agenda.clear(lane);
                self.dialer.ask(lane);
            }
        }
    }

    /// Begins the handshakes that may begin now.
    pub(super) fn dial_some(&mut self) -> Result<(), Error> {
        while let Some(lane) = self.dialer.next(self.now_ns) {
            let state = &mut self.lanes[lane as usize];
            state.generation = state.generation.wrapping_add(1);
            let token = Token { lane, generation: state.generation };
            let begun_ns = self.network.now_ns();
            match self.network.connect(token, state.number) {
                Ok(stream) => state.link = Link::Dialing { stream, begun_ns },
                Err(error) => self.dial_failed(lane, error)?,
            }
        }
        Ok(())
    }

    /// Takes over the stream of a handshake that has ended.
    pub(super) fn handshake_ended(&mut self, lane: u32) -> Result<(), Error> {
        let state = &mut self.lanes[lane as usize];
        let Link::Dialing { stream, begun_ns } = mem::replace(&mut state.link, Link::Down) else {
            return Ok(());
        };
        if let Err(error) = self.network.connected(&stream) {
            return self.dial_failed(lane, error);
        }
        self.dialer.ended();
        self.live += 1;
        self.failing_since_ns = None;
        self.recorder.connected(self.now_ns.saturating_sub(begun_ns));
        let token = Token { lane, generation: state.generation };
        self.network.watch(&stream, token, Interest::Read).map_err(Error::Poll)?;
        state.up(Connection::new(stream, begun_ns, self.now_ns));
        if self.started {
            if !self.plan.connects_per_request() {
                state.freed(self.now_ns);
            }
            self.send(lane)?;
        }
        Ok(())
    }

    /// A handshake did not lead to a stream. Before the load that ends the run, later it is a
    /// result, and the lane tries again.
    pub(super) fn dial_failed(&mut self, lane: u32, error: io::Error) -> Result<(), Error> {
        self.dialer.ended();
        self.lanes[lane as usize].link = Link::Down;
        if error.kind() == io::ErrorKind::WouldBlock {
            self.agenda.set(lane, self.now_ns + FULL_BACKLOG_NS);
            return Ok(());
        }
        if !self.started {
            return Err(Error::Connect {
                address: self.plan.options.target.to_string(),
                source: error,
                done: self.live,
                timeout: self.plan.options.timeout,
            });
        }
        self.recorder.connect_failed(&error);
        self.failing_since_ns.get_or_insert(self.now_ns);
        self.dial_again_later(lane);
        Ok(())
    }

    fn dial_again_later(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        let wait_ns = REDIAL_NS_MIN << state.failures.min(10);
        state.failures += 1;
        self.agenda.set(lane, self.now_ns + wait_ns.min(REDIAL_NS_MAX));
    }

    /// Gives up a stream that can do no more; its unanswered requests have failed.
    pub(super) fn lose(&mut self, lane: u32, failure: Failure) {
        let state = &mut self.lanes[lane as usize];
        let Link::Up(connection) = mem::replace(&mut state.link, Link::Down) else {
            return;
        };
        self.live -= 1;
        self.agenda.clear(lane);
        let now_ns = self.network.now_ns();
        let has_worked = connection.has_worked();
        self.recorder.lost(failure, connection.into_outstanding(), now_ns);
        if has_worked {
            state.failures = 0;
            self.dial_when_due(lane);
        } else {
            self.dial_again_later(lane);
        }
    }

    /// Closes a stream that has done what it was for.
    pub(super) fn retire(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        state.link = Link::Down;
        state.failures = 0;
        if self.plan.connects_per_request() {
            state.freed(self.now_ns);
        }
        self.live -= 1;
        self.recorder.churned();
        self.dial_when_due(lane);
    }
}
