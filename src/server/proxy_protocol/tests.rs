//! Complete, cut, damaged and random headers, compared with the crate `ppp`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ppp::v2::{Builder, Command, Protocol, Version};
use proptest::prelude::*;

use super::crc32c::crc32c;
use super::*;

fn ends(source: &str, destination: &str) -> Option<Endpoints> {
    Some(Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn line(rest: &str) -> Vec<u8> {
    format!("PROXY {rest}\r\n").into_bytes()
}

/// A header of version 2 from its bytes after the signature, with its length.
fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, kind], &length, rest].concat()
}

const V4_ENDS: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xD4, 0x31, 1, 0xBB];

fn with_checksum(mut header: Vec<u8>) -> Vec<u8> {
    header.extend([0x03, 0, 4, 0, 0, 0, 0]);
    let length = (header.len() as u16 - 16).to_be_bytes();
    header[14..16].copy_from_slice(&length);
    let sum = crc32c(header.iter()).to_be_bytes();
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum);
    header
}

#[track_caller]
fn parses_to(header: &[u8], endpoints: Option<Endpoints>) {
    let whole = Parsed::Header { consumed: header.len(), endpoints };
    assert_eq!(parse(header), whole, "{}", header.escape_ascii());
    let and_more = [header, b"\r\nhello"].concat();
    assert_eq!(parse(&and_more), whole, "and later bytes do not matter");
}

#[track_caller]
fn is_invalid(header: &[u8], reason: &str) {
    let Parsed::Invalid(found) = parse(header) else {
        panic!("{} is {:?}", header.escape_ascii(), parse(header));
    };
    assert!(found.contains(reason), "{}: {found}", header.escape_ascii());
}

#[test]
fn a_line_of_text_names_both_ends() {
    let rest = "TCP4 192.0.2.1 192.0.2.2 54321 443";
    parses_to(&line(rest), ends("192.0.2.1:54321", "192.0.2.2:443"));
    parses_to(&line("TCP6 2001:db8::1 ::1 0 65535"), ends("[2001:db8::1]:0", "[::1]:65535"));
}

#[test]
fn text_after_unknown_is_ignored() {
    for rest in ["UNKNOWN", "UNKNOWN ", "UNKNOWN ff:: ::1 1 2", "UNKNOWN a b c d e f g h"] {
        parses_to(&line(rest), None);
    }
    parses_to(b"PROXY UNKNOWN \xFF\x00\r\r\n", None);
}

#[test]
fn the_longest_line_is_taken_and_a_longer_one_is_not() {
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = line(&format!("UNKNOWN {full} {full} 65535 65535"));
    assert_eq!(longest.len(), v1::LINE_BYTES_MAX);
    parses_to(&longest, None);
    let longer = line(&format!("UNKNOWN {full} {full} 65535 65535 "));
    is_invalid(&longer, "107");
    assert_eq!(parse(&longer[..106]), Parsed::Incomplete);
    is_invalid(&longer[..107], "107");
}

#[test]
fn a_line_that_can_be_read_in_two_ways_is_invalid() {
    for (rest, reason) in [
        ("TCP4 192.0.2.1 192.0.2.2 080 443", "port"),
        ("TCP4 192.0.2.1 192.0.2.2 +80 443", "port"),
        ("TCP4 192.0.2.1 192.0.2.2 80 65536", "port"),
        ("TCP4 192.0.2.1 192.0.2.2 80 ", "port"),
        ("TCP4 192.0.2.1 192.0.2.02 80 443", "address"),
        ("TCP4 192.0.2.1 ::1 80 443", "address"),
        ("TCP6 192.0.2.1 ::1 80 443", "address"),
        ("TCP4 192.0.2.1  192.0.2.2 80 443", "two"),
        ("TCP4 192.0.2.1 192.0.2.2 80", "two"),
        ("TCP4 192.0.2.1 192.0.2.2 80 443 ", "two"),
        ("TCP4", "two"),
        ("UDP4 192.0.2.1 192.0.2.2 80 443", "family"),
        ("UNKNOWNS", "family"),
        (" TCP4 192.0.2.1 192.0.2.2 80 443", "family"),
        ("", "family"),
    ] {
        is_invalid(&line(rest), reason);
    }
    is_invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 80 443\n", "carriage return");
    is_invalid(b"PROXY \n", "carriage return");
    is_invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 80 443\rx\r\n", "port");
    is_invalid(b"PROXY \xFF\r\n", "family");
}

#[test]
fn a_binary_header_names_both_ends() {
    parses_to(&binary(0x21, 0x11, &V4_ENDS), ends("192.0.2.1:54321", "192.0.2.2:443"));
    let (one, other) = (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1), Ipv6Addr::LOCALHOST);
    let rest = [&one.octets()[..], &other.octets(), &[0, 80, 1, 0]].concat();
    parses_to(&binary(0x21, 0x21, &rest), ends("[2001:db8::1]:80", "[::1]:256"));
}

/// Recorded from HAProxy 2.6.12, `send-proxy-v2 proxy-v2-options crc32c`.
#[test]
fn what_haproxy_sends_is_read() {
    let address = b"\x7F\0\0\x01\x7F\0\0\x01\xD8\xA4\xA5\x15";
    let checksum = b"\x03\0\x04\x18\x49\xB5\x0C";
    let header = binary(0x21, 0x11, &[&address[..], checksum].concat());
    parses_to(&header, ends("127.0.0.1:55460", "127.0.0.1:42261"));
}

#[test]
fn a_header_of_local_or_without_tcp_endpoints_is_accepted_without_them() {
    parses_to(&binary(0x20, 0x00, &[]), None);
    parses_to(&binary(0x20, 0xFF, b"whatever it is"), None);
    parses_to(&binary(0x21, 0x00, b"of unknown form"), None);
    parses_to(&binary(0x21, 0x12, &V4_ENDS), None);
    parses_to(&binary(0x21, 0x10, &V4_ENDS), None);
    parses_to(&binary(0x21, 0x31, &[b'/'; 216]), None);
}

#[test]
fn what_version_2_reserves_is_invalid() {
    is_invalid(&binary(0x11, 0x11, &V4_ENDS), "version");
    is_invalid(&binary(0x31, 0x11, &V4_ENDS), "version");
    is_invalid(&binary(0x22, 0x11, &V4_ENDS), "command");
    is_invalid(&binary(0x21, 0x41, &V4_ENDS), "family");
    is_invalid(&binary(0x21, 0x13, &V4_ENDS), "transport");
    is_invalid(&binary(0x21, 0x11, &V4_ENDS[1..]), "too small");
    is_invalid(&binary(0x21, 0x21, &[0; 35]), "too small");
    is_invalid(&binary(0x21, 0x31, &[0; 215]), "too small");
}

#[test]
fn a_header_that_announces_more_than_the_cap_is_refused_before_it_comes() {
    let announcing = |length: usize| {
        let length = u16::try_from(length - 16).unwrap().to_be_bytes();
        [v2::SIGNATURE, &[0x21, 0x11], &length].concat()
    };
    assert_eq!(parse(&announcing(HEADER_BYTES_MAX)), Parsed::Incomplete);
    is_invalid(&announcing(HEADER_BYTES_MAX + 1), "4096");
    let rest = vec![0; HEADER_BYTES_MAX - 16];
    parses_to(&binary(0x20, 0, &rest), None);
}

#[test]
fn fields_fill_their_space_and_a_checksum_is_verified() {
    let ends = ends("192.0.2.1:54321", "192.0.2.2:443");
    let with = |fields: &[u8]| binary(0x21, 0x11, &[&V4_ENDS, fields].concat());
    parses_to(&with(&[0x04, 0, 0]), ends);
    parses_to(&with(&[0x04, 0, 1, 7, 0x02, 0, 2, b'a', b'b']), ends);
    for fields in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x04, 0, 0, 0x04]] {
        is_invalid(&with(fields), "longer than the header");
    }
    let good = with_checksum(with(&[0x02, 0, 2, b'a', b'b']));
    parses_to(&good, ends);
    let kind_of_checksum = good.len() - 7;
    for at in (16..good.len()).filter(|at| *at != kind_of_checksum) {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        assert!(matches!(parse(&damaged), Parsed::Invalid(_)), "byte {at}");
    }
    is_invalid(&with(&[0x03, 0, 3, 0, 0, 0]), "four bytes");
    is_invalid(&with(&[0x03, 0, 4, 0, 0, 0, 0, 0x03, 0, 4, 0, 0, 0, 0]), "more than one");
}

#[test]
fn other_bytes_are_no_header_from_the_first_that_differs() {
    assert_eq!(parse(b""), Parsed::Incomplete);
    for (absent, incomplete) in [
        (&b"hello"[..], &b""[..]),
        (b"PROXY\r", b"PROXY"),
        (b"Proxy", b"P"),
        (b"\r\n\r\n\0\r\nQUIT\r", b"\r\n\r\n\0\r\nQUIT"),
        (b"\r\n\r\nPROXY ", b"\r\n\r\n"),
    ] {
        assert_eq!(parse(absent), Parsed::Absent, "{}", absent.escape_ascii());
        assert_eq!(parse(incomplete), Parsed::Incomplete, "{}", incomplete.escape_ascii());
    }
}

#[test]
fn networks_are_trusted_by_address_and_unix_peers_by_their_permissions() {
    let nets = |list: &[&str]| ProxyProtocol {
        trusted: list.iter().map(|net| net.parse().unwrap()).collect(),
        ..ProxyProtocol::default()
    };
    let peer = |address: &str| Some(address.parse().unwrap());
    let some = nets(&["192.0.2.0/24", "2001:db8::/32"]);
    for address in ["192.0.2.255", "::ffff:192.0.2.1", "2001:db8::1"] {
        assert!(is_trusted(peer(address), &some), "{address}");
    }
    for address in ["192.0.3.0", "::ffff:192.0.3.0", "::192.0.2.1", "2001:db9::1"] {
        assert!(!is_trusted(peer(address), &some), "{address}");
    }
    assert!(!is_trusted(peer("127.0.0.1"), &nets(&[])), "no peer is trusted by default");
    assert!(is_trusted(None, &nets(&[])));
    assert!(!is_trusted(peer("192.0.2.1"), &nets(&["::/0"])), "IPv4 is no part of IPv6");
}

/// Both ends of one family.
fn any_ends() -> impl Strategy<Value = Endpoints> {
    let ports = any::<(u16, u16)>();
    let v4 = any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(one, other)| (one.into(), other.into()));
    let v6 = any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(one, other)| (one.into(), other.into()));
    (prop_oneof![v4, v6], ports).prop_map(|((one, other), ports): ((IpAddr, IpAddr), _)| {
        let (source, destination) = ((one, ports.0).into(), (other, ports.1).into());
        Endpoints { source, destination }
    })
}

fn text_of(Endpoints { source, destination }: Endpoints) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (one, other) = (source.ip(), destination.ip());
    line(&format!("{family} {one} {other} {} {}", source.port(), destination.port()))
}

/// As the crate writes it, some with fields and some with a checksum.
fn binary_of(ends: Endpoints, fields: &[(u8, Vec<u8>)], sum: bool) -> Vec<u8> {
    let command = Version::Two | Command::Proxy;
    let both = (ends.source, ends.destination);
    let mut builder = Builder::with_addresses(command, Protocol::Stream, both);
    for (kind, value) in fields.iter().filter(|(kind, _)| *kind != 0x03) {
        builder = builder.write_tlv(*kind, value).unwrap();
    }
    let header = builder.build().unwrap();
    if sum { with_checksum(header) } else { header }
}

fn any_header() -> impl Strategy<Value = (Vec<u8>, Endpoints)> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let fields = prop::collection::vec((any::<u8>(), value), 0..4);
    (any_ends(), prop::option::of((fields, any::<bool>()))).prop_map(|(ends, version_2)| {
        let header = match version_2 {
            None => text_of(ends),
            Some((fields, sum)) => binary_of(ends, &fields, sum),
        };
        (header, ends)
    })
}

/// The crate's result for a complete header: its length and its endpoints.
fn judged(bytes: &[u8]) -> Option<(usize, Endpoints)> {
    let ends = |one: (IpAddr, u16), other: (IpAddr, u16)| Endpoints {
        source: one.into(),
        destination: other.into(),
    };
    macro_rules! ends_of {
        ($ip:ident) => {
            ends(
                ($ip.source_address.into(), $ip.source_port),
                ($ip.destination_address.into(), $ip.destination_port),
            )
        };
    }
    match ppp::HeaderResult::parse(bytes) {
        ppp::HeaderResult::V1(Ok(header)) => match header.addresses {
            ppp::v1::Addresses::Tcp4(ip) => Some((header.header.len(), ends_of!(ip))),
            ppp::v1::Addresses::Tcp6(ip) => Some((header.header.len(), ends_of!(ip))),
            ppp::v1::Addresses::Unknown => None,
        },
        ppp::HeaderResult::V2(Ok(header)) => match header.addresses {
            ppp::v2::Addresses::IPv4(ip) => Some((header.len(), ends_of!(ip))),
            ppp::v2::Addresses::IPv6(ip) => Some((header.len(), ends_of!(ip))),
            _ => None,
        },
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_header_is_incomplete_until_it_is_whole_however_it_is_cut(
        (header, endpoints) in any_header(), rest in prop::collection::vec(any::<u8>(), 0..50))
    {
        prop_assert_eq!(judged(&header), Some((header.len(), endpoints)));
        let bytes = [&header[..], &rest].concat();
        let whole = Parsed::Header { consumed: header.len(), endpoints: Some(endpoints) };
        for length in 0..=bytes.len() {
            let expected = if length < header.len() { Parsed::Incomplete } else { whole };
            prop_assert_eq!(parse(&bytes[..length]), expected, "of {} bytes", length);
        }
    }

    #[test]
    fn a_damaged_header_is_never_read_as_something_the_crate_does_not_read(
        (mut bytes, _) in any_header(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4))
    {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Parsed::Header { consumed, endpoints: Some(endpoints) } = parse(&bytes) {
            prop_assert_eq!(judged(&bytes), Some((consumed, endpoints)));
        }
        for length in 0..bytes.len() {
            if let Parsed::Header { consumed, .. } = parse(&bytes[..length]) {
                prop_assert!(consumed <= length);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_more_of_them_change_no_verdict(
        start in prop::sample::select(vec![&b""[..], v1::PREFIX, v2::SIGNATURE, b"PROXY TCP4 "]),
        rest in prop::collection::vec(any::<u8>(), 0..300))
    {
        let bytes = [start, &rest].concat();
        let mut before = parse(b"");
        for length in 1..=bytes.len() {
            let now = parse(&bytes[..length]);
            prop_assert!(before == Parsed::Incomplete || now == before, "{:?}, {:?}", before, now);
            before = now;
        }
    }
}
