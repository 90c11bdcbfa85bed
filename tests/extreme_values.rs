//! Numbers and durations at and beyond the ends of their ranges, in each field of a configuration.
//! Each is refused with its range, or a server starts with it. Nothing panics or aborts.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::time::Duration;

use evshard::server::{
    AcceptMode, Connection, Echo, Error, ListenAddress, Server, ServerConfig, Service,
    TimeDistribution, Work, WorkKind, listener, ranges,
};
use proptest::prelude::*;

const NUMBERS: [u64; 10] =
    [0, 1, 2, 1 << 16, 1 << 20, 1 << 31, 1 << 40, i64::MAX as u64, u64::MAX - 1, u64::MAX];

const TIMES: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(1),
    Duration::from_secs(31_557_600),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(u64::MAX / 2),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// A value for any field: a number and a duration.
#[derive(Clone, Copy, Debug)]
struct Extreme {
    number: u64,
    time: Duration,
}

impl Extreme {
    fn count(self) -> NonZeroUsize {
        NonZeroUsize::new(self.number as usize).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Sets one field of a configuration.
type Set = fn(&mut ServerConfig, Extreme);

/// The name of each number and duration in its error, and how to set it.
const FIELDS: [(&str, Set); 14] = [
    ("backlog", |config, to| config.backlog = to.number as u32),
    ("unix_mode", |config, to| config.unix_mode = to.number as u32),
    ("workers", |config, to| config.workers = to.count()),
    ("handoff_capacity", |config, to| config.handoff_capacity = to.count()),
    ("connections_max", |config, to| config.connections_max = Some(to.count())),
    ("memory_limit", |config, to| config.memory_limit = to.number as usize),
    ("limits.first_byte", |config, to| config.limits.first_byte = Some(to.time)),
    ("limits.idle", |config, to| config.limits.idle = Some(to.time)),
    ("limits.message", |config, to| config.limits.message = Some(to.time)),
    ("limits.buffer_bytes", |config, to| config.limits.buffer_bytes = to.number as usize),
    ("drain.delay", |config, to| config.drain.delay = to.time),
    ("drain.timeout", |config, to| config.drain.timeout = to.time),
    ("drain.spread", |config, to| config.drain.spread = to.time),
    ("measure.slow_callback", |config, to| config.measure.slow_callback = to.time),
];

fn extremes() -> impl Iterator<Item = Extreme> {
    let numbers = NUMBERS.map(|number| Extreme { number, time: Duration::from_secs(1) });
    let times = TIMES.map(|time| Extreme { number: 1, time });
    numbers.into_iter().chain(times)
}

/// A server that needs little, so that only the extreme value is special.
fn small() -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: NonZeroUsize::MIN,
        accept: AcceptMode::AcceptorInShard0,
        ..ServerConfig::default()
    }
}

fn is_served(server: &Server) -> bool {
    let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(common::TEST_TIMEOUT)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).is_ok()
}

#[track_caller]
fn expect_range(error: &Error, name: &str) {
    let text = error.to_string();
    assert!(matches!(error, Error::OutOfRange(_)), "{text}");
    assert!(text.starts_with(name) && text.contains("; choose from "), "{name}: {text}");
}

/// evshard: `handoff_capacity: usize::MAX` aborted the process, and `Duration::MAX` overflowed.
#[test]
fn an_extreme_value_is_refused_with_its_range_or_is_served_with() {
    for (name, set) in FIELDS {
        for extreme in extremes() {
            let mut config = small();
            set(&mut config, extreme);
            if name == "workers" && config.check().is_ok() && extreme.number > 2 {
                continue; // More threads than a small machine may have.
            }
            match Server::start(&config, Echo) {
                Ok(server) => {
                    let may_close_at_once = name == "limits.idle" || name == "limits.first_byte";
                    assert!(is_served(&server) || may_close_at_once, "{name}: {extreme:?}");
                }
                Err(error) => {
                    expect_range(&error, name);
                    assert!(listener::open(&config).is_err(), "{name}: {extreme:?}");
                }
            }
        }
    }
}

#[test]
fn queues_that_fit_one_by_one_are_more_than_memory_holds() {
    let config = ServerConfig {
        workers: NonZeroUsize::new(*ranges::WORKERS.end()).unwrap(),
        handoff_capacity: NonZeroUsize::new(*ranges::HANDOFF_CAPACITY.end()).unwrap(),
        ..small()
    };
    expect_range(&Server::start(&config, Echo).unwrap_err(), "handoff_capacity times workers");
}

#[test]
fn a_server_without_an_address_or_with_too_many_is_refused() {
    let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
    for count in [0, 1 << 16] {
        let config = ServerConfig { listen: vec![address.clone().into(); count], ..small() };
        expect_range(&Server::start(&config, Echo).unwrap_err(), "the number of addresses");
    }
    expect_range(
        &Server::start_on(&small(), Vec::new(), Echo).unwrap_err(),
        "the number of addresses",
    );
}

/// Pauses for longer than any server runs.
#[derive(Clone)]
struct Pause;

impl Service for Pause {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        connection.send(b"x");
        connection.pause_for(Duration::MAX);
    }

    fn receive(&mut self, (): &mut (), input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }
}

#[test]
fn a_service_can_pause_for_ever() {
    let server = Server::start(&small(), Pause).unwrap();
    assert!(is_served(&server) && is_served(&server));
    assert_eq!(server.stats().total().errors.total(), 0);
}

#[test]
fn work_of_an_extreme_time_is_refused_with_its_range_or_has_a_text() {
    for time in TIMES {
        for distribution in [TimeDistribution::Constant, TimeDistribution::Exponential] {
            match Work::new(WorkKind::Sleep, distribution, time, u64::MAX) {
                Ok(work) => assert_eq!(
                    work.to_string().parse::<Work>().unwrap().to_string(),
                    work.to_string()
                ),
                Err(error) => assert!(error.to_string().contains("from 0s to 1day"), "{error}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn a_checked_configuration_has_no_value_out_of_its_range(
        values in prop::collection::vec((prop::sample::select(FIELDS.to_vec()),
            any::<u64>(), prop::sample::select(NUMBERS.to_vec()), any::<bool>(),
            prop::sample::select(TIMES.to_vec())), 0..6))
    {
        let mut config = small();
        for ((_, set), any, extreme, is_any, time) in values {
            set(&mut config, Extreme { number: if is_any { any } else { extreme }, time });
        }
        let ranges_hold = ranges::BACKLOG.contains(&config.backlog)
            && ranges::UNIX_MODE.contains(&config.unix_mode)
            && ranges::WORKERS.contains(&config.workers.get())
            && ranges::HANDOFF_CAPACITY.contains(&config.handoff_capacity.get())
            && config.connections_max.is_none_or(|max| ranges::CONNECTIONS.contains(&max.get()))
            && ranges::MEMORY_BYTES.contains(&config.memory_limit)
            && ranges::BUFFER_BYTES.contains(&config.limits.buffer_bytes)
            && [config.limits.first_byte, config.limits.idle, config.limits.message]
                .into_iter()
                .flatten()
                .chain([Duration::from_millis(1)])
                .all(|deadline| ranges::DEADLINE.contains(&deadline))
            && [config.drain.delay, config.drain.timeout, config.drain.spread]
                .into_iter()
                .chain([config.measure.slow_callback])
                .all(|time| ranges::DURATION.contains(&time))
            && config.workers.get() * config.handoff_capacity.get()
                <= *ranges::HANDOFF_CAPACITY_OF_ALL.end();
        prop_assert_eq!(config.check().is_ok(), ranges_hold, "{:?}", config.check());
    }
}
