//! The range of each number and duration of a configuration.
//!
//! A value outside is a mistake, and some could not be used: a queue that no memory holds, a time
//! that cannot be added to another.

use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;

use super::{ConnectionsPerSource, Drain, Limits, Measure, ServerConfig};
use crate::server::error::OutOfRange;
use crate::tls::TlsServer;

/// [`ServerConfig::listen`]: how many addresses. The listing of an upgrade has room for as many.
pub const LISTENERS: RangeInclusive<usize> = 1..=4096;
/// [`ServerConfig::backlog`], which is C's `int`.
pub const BACKLOG: RangeInclusive<u32> = 1..=i32::MAX.unsigned_abs();
/// [`ServerConfig::unix_mode`].
pub const UNIX_MODE: RangeInclusive<u32> = 0..=0o777;
/// [`ServerConfig::workers`]: as many as large machines have cores.
pub const WORKERS: RangeInclusive<usize> = 1..=1024;
/// [`ServerConfig::handoff_capacity`]. A queue has its memory from the start, some 32 MiB at most.
pub const HANDOFF_CAPACITY: RangeInclusive<usize> = 1..=1 << 20;
/// [`ServerConfig::handoff_capacity`] times [`ServerConfig::workers`]: some 128 MiB at most.
pub const HANDOFF_CAPACITY_OF_ALL: RangeInclusive<usize> = 1..=1 << 22;
/// [`ServerConfig::connections_max`] and [`ConnectionsPerSource::max`]: descriptors are C's `int`.
pub const CONNECTIONS: RangeInclusive<usize> = 1..=i32::MAX.unsigned_abs() as usize;
/// [`ConnectionsPerSource::ipv4_prefix`]: a prefix of 0 would make all clients one source.
pub const IPV4_PREFIX: RangeInclusive<u8> = 1..=32;
/// [`ConnectionsPerSource::ipv6_prefix`].
pub const IPV6_PREFIX: RangeInclusive<u8> = 1..=128;
/// [`ServerConfig::accept_rate`]: more than a machine accepts.
pub const ACCEPT_RATE: RangeInclusive<u32> = 1..=1_000_000;
/// [`ServerConfig::bytes_per_second`] and [`Limits::bytes_per_second`]: from 1 KiB to 1 TiB.
pub const BYTES_PER_SECOND: RangeInclusive<u64> = 1 << 10..=1 << 40;
/// [`Limits::buffer_bytes`]: from 1 KiB to 1 TiB.
pub const BUFFER_BYTES: RangeInclusive<usize> = 1 << 10..=1 << 40;
/// [`ServerConfig::memory_limit`]: from 1 MiB to 1 EiB.
pub const MEMORY_BYTES: RangeInclusive<usize> = 1 << 20..=1 << 60;
/// The deadlines of [`Limits`]. One of zero could not be met.
pub const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=YEAR;
/// The durations of [`Drain`], and [`Measure::slow_callback`].
pub const DURATION: RangeInclusive<Duration> = Duration::ZERO..=YEAR;
/// The time of [`Work`](crate::server::Work).
pub const WORK_TIME: RangeInclusive<Duration> = Duration::ZERO..=DAY;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A year of 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// Checks the value that an option with this name has.
fn expect<T: PartialOrd + Copy>(
    range: &RangeInclusive<T>,
    name: &'static str,
    value: T,
    show: fn(T) -> String,
) -> Result<(), OutOfRange> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    Err(OutOfRange { name, value: show(value), least, most })
}

/// As [`expect`], for a duration.
pub(in crate::server) fn expect_time(
    range: &RangeInclusive<Duration>,
    name: &'static str,
    value: Duration,
) -> Result<(), OutOfRange> {
    expect(range, name, value, |time| format_duration(time).to_string())
}

/// Checks how many addresses a server listens on.
pub(in crate::server) fn expect_listeners(count: usize) -> Result<(), OutOfRange> {
    expect(&LISTENERS, "the number of addresses to listen on", count, |count| count.to_string())
}

impl ServerConfig {
    /// Checks that each number and duration is in its [range](crate::server::ranges).
    /// [`listener::open`](crate::server::listener::open) and
    /// [`Server::start_on`](crate::server::Server::start_on) do this first.
    ///
    /// # Errors
    ///
    /// The first that is not, with its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        // Without `..`, so that the compiler asks for the range of a new field.
        let Self {
            listen: _,
            tls,
            backlog,
            unix_mode,
            workers,
            pin: _,
            base: _,
            accept: _,
            placement: _,
            handoff_capacity,
            connections_max,
            connections_per_source,
            accept_rate,
            bytes_per_second,
            memory_limit,
            overload: _,
            limits,
            proxy: _,
            drain,
            measure,
        } = self;
        let (workers, handoff_capacity) = (workers.get(), handoff_capacity.get());
        let of_all = workers.saturating_mul(handoff_capacity);
        let number = |number: usize| number.to_string();
        expect(&BACKLOG, "backlog", *backlog, |number| number.to_string())?;
        expect(&UNIX_MODE, "unix_mode", *unix_mode, |mode| format!("{mode:04o}"))?;
        expect(&WORKERS, "workers", workers, number)?;
        expect(&HANDOFF_CAPACITY, "handoff_capacity", handoff_capacity, number)?;
        expect(&HANDOFF_CAPACITY_OF_ALL, "handoff_capacity times workers", of_all, number)?;
        if let Some(most) = connections_max {
            expect(&CONNECTIONS, "connections_max", most.get(), number)?;
        }
        connections_per_source.map_or(Ok(()), ConnectionsPerSource::check)?;
        if let Some(rate) = accept_rate {
            expect(&ACCEPT_RATE, "accept_rate", rate.get(), |rate| rate.to_string())?;
        }
        if let Some(rate) = bytes_per_second {
            let show = |rate: u64| rate.to_string();
            expect(&BYTES_PER_SECOND, "bytes_per_second", rate.get(), show)?;
        }
        expect(&MEMORY_BYTES, "memory_limit", *memory_limit, number)?;
        if let Some(timeout) = tls.as_ref().and_then(TlsServer::handshake_timeout) {
            expect_time(&DEADLINE, "tls.handshake_timeout", timeout)?;
        }
        limits.check()?;
        drain.check()?;
        measure.check()
    }
}

impl ConnectionsPerSource {
    fn check(self) -> Result<(), OutOfRange> {
        let Self { max, ipv4_prefix, ipv6_prefix } = self;
        let bits = |bits: u8| bits.to_string();
        expect(&CONNECTIONS, "connections_per_source.max", max.get(), |max| max.to_string())?;
        expect(&IPV4_PREFIX, "connections_per_source.ipv4_prefix", ipv4_prefix, bits)?;
        expect(&IPV6_PREFIX, "connections_per_source.ipv6_prefix", ipv6_prefix, bits)
    }
}

impl Limits {
    fn check(&self) -> Result<(), OutOfRange> {
        let Self { first_byte, idle, message, age, bytes_per_second, buffer_bytes } = *self;
        let deadlines = [
            ("limits.first_byte", first_byte),
            ("limits.idle", idle),
            ("limits.message", message),
            ("limits.age", age),
        ];
        for (name, deadline) in deadlines {
            deadline.map_or(Ok(()), |deadline| expect_time(&DEADLINE, name, deadline))?;
        }
        if let Some(rate) = bytes_per_second {
            let show = |rate: u64| rate.to_string();
            expect(&BYTES_PER_SECOND, "limits.bytes_per_second", rate.get(), show)?;
        }
        expect(&BUFFER_BYTES, "limits.buffer_bytes", buffer_bytes, |bytes| bytes.to_string())
    }
}

impl Drain {
    fn check(&self) -> Result<(), OutOfRange> {
        let Self { delay, timeout, spread } = *self;
        expect_time(&DURATION, "drain.delay", delay)?;
        expect_time(&DURATION, "drain.timeout", timeout)?;
        expect_time(&DURATION, "drain.spread", spread)
    }
}

impl Measure {
    fn check(&self) -> Result<(), OutOfRange> {
        let Self { timings: _, slow_callback } = *self;
        expect_time(&DURATION, "measure.slow_callback", slow_callback)
    }
}
