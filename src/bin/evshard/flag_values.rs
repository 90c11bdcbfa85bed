//! The values of flags. Each number and duration has a range, and its error names the range.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use evshard::server::listener::AddressError;
use evshard::server::{
    AcceptMode, ConnectionsPerSource, Listen, Overload, Placement, ProxyMode, ranges,
};
use evshard::tls::TlsVersion;
use evshard::{BackendKind, ChangelistPolicy};
use humantime::format_duration;
use ipnet::IpNet;
use log::LevelFilter;

/// The addresses that one --listen means: a host name can have several.
#[derive(Clone, Debug)]
pub(crate) struct ListenAddresses(pub(crate) Vec<Listen>);

/// Parses an address, and resolves a host name.
pub(crate) fn listen_addresses(text: &str) -> Result<ListenAddresses, AddressError> {
    Listen::resolve(text).map(ListenAddresses)
}

/// Parses a duration from zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    duration_in(&ranges::DURATION, text)
}

/// Parses a duration of this range.
pub(crate) fn duration_in(
    range: &RangeInclusive<Duration>,
    text: &str,
) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok();
    parsed.filter(|duration| range.contains(duration)).ok_or_else(|| {
        let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
        format!("write a duration from {least} to {most}, such as 1500ms or 30s")
    })
}

/// A parser of numbers of this range, which begins at 1.
pub(crate) fn count(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync {
    move |text| {
        let parsed = text.parse::<NonZeroUsize>().ok();
        let in_range = parsed.filter(|count| range.contains(&count.get()));
        in_range.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

/// Parses N, N/PREFIX or N/PREFIX,PREFIX6: a limit per source.
pub(crate) fn per_source(text: &str) -> Result<ConnectionsPerSource, String> {
    let prefix = |range: RangeInclusive<u8>, text: Option<&str>, default: u8| {
        let parsed = text.map_or(Some(default), |text| text.parse().ok());
        parsed.filter(|bits| range.contains(bits))
    };
    let (max, prefixes) = text.split_once('/').map_or((text, None), |(max, all)| (max, Some(all)));
    let mut prefixes = prefixes.into_iter().flat_map(|prefixes| prefixes.splitn(2, ','));
    let (ipv4, ipv6) = (prefixes.next(), prefixes.next());
    let parsed = || {
        Some(ConnectionsPerSource {
            max: count(ranges::CONNECTIONS)(max).ok()?,
            ipv4_prefix: prefix(ranges::IPV4_PREFIX, ipv4, ConnectionsPerSource::IPV4_PREFIX)?,
            ipv6_prefix: prefix(ranges::IPV6_PREFIX, ipv6, ConnectionsPerSource::IPV6_PREFIX)?,
        })
    };
    parsed().ok_or_else(|| {
        let most = ranges::CONNECTIONS.end();
        format!(
            "write a number from 1 to {most}, such as 100, 100/24 or 100/24,56: a prefix of IPv4 \
             has 1 to 32 bits, one of IPv6 1 to 128"
        )
    })
}

/// Parses a number of connections a second.
pub(crate) fn accept_rate(text: &str) -> Result<NonZeroU32, String> {
    let range = ranges::ACCEPT_RATE;
    let parsed = text.parse::<NonZeroU32>().ok().filter(|rate| range.contains(&rate.get()));
    parsed.ok_or_else(|| {
        format!("write connections a second, a number from {} to {}", range.start(), range.end())
    })
}

/// Parses the length of a backlog.
pub(crate) fn backlog(text: &str) -> Result<u32, String> {
    let range = ranges::BACKLOG;
    let parsed = text.parse().ok().filter(|length| range.contains(length));
    parsed.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
}

/// Parses the memory of a connection.
pub(crate) fn buffer_bytes(text: &str) -> Result<usize, String> {
    bytes_within(ranges::BUFFER_BYTES, text)
}

/// Parses a number of bytes a second.
pub(crate) fn bytes_per_second(text: &str) -> Result<NonZeroU64, String> {
    let (range, parsed) = (ranges::BYTES_PER_SECOND, text.parse::<ByteSize>().ok());
    let parsed = parsed.map(|size| size.as_u64()).filter(|rate| range.contains(rate));
    parsed.and_then(NonZeroU64::new).ok_or_else(|| {
        let [least, most] = [range.start(), range.end()].map(|rate| ByteSize(*rate));
        format!("write the bytes of a second from {least} to {most}, such as 256KiB")
    })
}

/// Parses the memory of all connections.
pub(crate) fn memory_bytes(text: &str) -> Result<usize, String> {
    bytes_within(ranges::MEMORY_BYTES, text)
}

fn bytes_within(range: RangeInclusive<usize>, text: &str) -> Result<usize, String> {
    let parsed = text.parse::<ByteSize>().ok();
    let parsed = parsed.and_then(|size| usize::try_from(size.as_u64()).ok());
    parsed.filter(|size| range.contains(size)).ok_or_else(|| {
        let [least, most] = [range.start(), range.end()].map(|size| ByteSize(*size as u64));
        format!("write a size from {least} to {most}, such as 256MiB")
    })
}

/// A limit, or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrOff<T>(pub(crate) Option<T>);

/// Returns a parser of what `parse` takes, and of `off`.
pub(crate) fn or_off<T>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<OrOff<T>, String> + Clone {
    move |text| match text {
        "off" => Ok(OrOff(None)),
        _ => {
            parse(text).map(|limit| OrOff(Some(limit))).map_err(|error| format!("{error}, or off"))
        }
    }
}

/// Parses the time of a deadline.
pub(crate) fn deadline(text: &str) -> Result<Duration, String> {
    duration_in(&ranges::DEADLINE, text)
}

/// Parses a network. An address is a network of one.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "write a network or an address, such as 10.0.0.0/8 or 10.0.0.1".to_owned())
}

pub(crate) fn log_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "write off, error, warn, info, debug or trace".to_owned())
}

pub(crate) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| ranges::UNIX_MODE.contains(mode))
        .ok_or_else(|| "write an octal mode from 0000 to 0777".to_owned())
}

/// A parser for a list of named values.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: impl IntoIterator<Item = (&'static str, T)>,
) -> impl TypedValueParser<Value = T> {
    let all: Vec<(&'static str, T)> = all.into_iter().collect();
    let names: Vec<&'static str> = all.iter().map(|(name, _)| *name).collect();
    PossibleValuesParser::new(names).map(move |chosen| {
        let named = all.iter().find(|(name, _)| *name == chosen);
        named.expect("clap let only known names pass").1
    })
}

pub(crate) fn backend() -> impl TypedValueParser<Value = BackendKind> {
    one_of(BackendKind::ALL.iter().map(|kind| (kind.name(), *kind)))
}

pub(crate) fn accept() -> impl TypedValueParser<Value = AcceptMode> {
    one_of(AcceptMode::ALL.map(|mode| (mode.name(), mode)))
}

pub(crate) fn placement() -> impl TypedValueParser<Value = Placement> {
    one_of(Placement::ALL.map(|policy| (policy.name(), policy)))
}

pub(crate) fn changelist() -> impl TypedValueParser<Value = ChangelistPolicy> {
    one_of([("immediate", ChangelistPolicy::Immediate), ("deferred", ChangelistPolicy::Deferred)])
}

pub(crate) fn overload() -> impl TypedValueParser<Value = Overload> {
    one_of([("wait", Overload::Wait), ("shed", Overload::Shed)])
}

pub(crate) fn tls_version() -> impl TypedValueParser<Value = TlsVersion> {
    one_of([("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
}

pub(crate) fn proxy_mode() -> impl TypedValueParser<Value = ProxyMode> {
    one_of([
        ("off", ProxyMode::Off),
        ("optional", ProxyMode::Optional),
        ("require", ProxyMode::Require),
    ])
}
