//! The calls of a shard's service for one of its connections.

use super::byte_rates::ByteRates;
use super::close_reason::CloseReason;
use super::connection::Connection;
use crate::rate_limit::Direction;
use crate::server::memory::BufferLimits;
use crate::server::service::{Hosted, NextStep, Outlet, Peer};

/// The result of a call: what the service returned and its next step, or why the connection must be
/// closed.
pub(super) type Called<T> = Result<(T, NextStep), CloseReason>;

/// The service of a shard, and what its calls need.
pub(super) struct ServiceCalls {
    service: Box<dyn Hosted>,
    /// Collects the small writes of the service during a call.
    buffered: Vec<u8>,
    pub(super) limits: BufferLimits,
    pub(super) byte_rates: Option<Box<ByteRates>>,
}

impl ServiceCalls {
    pub(super) fn new(
        service: Box<dyn Hosted>,
        limits: BufferLimits,
        byte_rates: Option<Box<ByteRates>>,
    ) -> Self {
        Self { service, buffered: Vec::new(), limits, byte_rates }
    }

    /// Calls the service for a connection, and sends its output.
    #[inline(always)]
    pub(super) fn call<T>(
        &mut self,
        connection: &mut Connection,
        key: usize,
        bytes_out: &mut u64,
        call: impl FnOnce(&mut dyn Hosted, &Peer<'_>, &mut Outlet<'_>) -> Option<T>,
    ) -> Called<T> {
        let Connection { transport, pending, proxied, listener, .. } = connection;
        let peer = Peer { transport, proxied: proxied.as_deref(), listener: *listener };
        let allowed = match &mut self.byte_rates {
            None => usize::MAX,
            // Nothing is sent before it, so what has come for it stays.
            Some(_) if pending.is_some() => 0,
            Some(rates) => rates.allowed(key, Direction::Write),
        };
        let (buffered, limits) = (&mut self.buffered, &self.limits);
        let mut out = Outlet::new(transport, buffered, pending, limits, allowed, bytes_out);
        let answer = call(&mut *self.service, &peer, &mut out);
        let called = finish(answer, &mut out);
        if let Some(rates) = &mut self.byte_rates {
            rates.count(key, Direction::Write, allowed - out.allowed());
        }
        called
    }

    /// Passes input to the service; returns the number of consumed bytes.
    #[inline(always)]
    pub(super) fn receive(
        &mut self,
        connection: &mut Connection,
        key: usize,
        input: &[u8],
        bytes_out: &mut u64,
    ) -> Called<usize> {
        self.call(connection, key, bytes_out, |service, _, out| service.receive(key, input, out))
    }

    /// Ends the session of a connection; `None` if that panicked.
    pub(super) fn close(&mut self, key: usize) -> Option<()> {
        self.service.close(key)
    }
}

/// Finishes a call: sends the service's output, unless it panicked or aborts.
#[inline(always)]
fn finish<T>(answer: Option<T>, out: &mut Outlet<'_>) -> Called<T> {
    let Some(answer) = answer else {
        out.discard();
        return Err(CloseReason::Panicked);
    };
    if out.next_step == NextStep::Abort {
        out.discard();
        return Err(CloseReason::Aborted);
    }
    match out.finish() {
        None => Ok((answer, out.next_step)),
        Some(failure) => Err(failure.into()),
    }
}
