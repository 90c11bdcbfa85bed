//! What holds for the first bytes of a connection that may begin with a PROXY header.

use super::*;

/// Bytes after a header. Their number decides nothing.
const LATER_BYTES: usize = 8;

/// Panics unless the parser keeps what it promises for these bytes.
pub fn proxy_header(bytes: &[u8]) {
    let whole = parse(bytes);
    let mut before = parse(b"");
    let decided = match whole {
        Parsed::Header { consumed, .. } => consumed,
        _ => bytes.len().min(HEADER_BYTES_MAX),
    };
    // Byte by byte, a verdict comes once, and stays as it is.
    for length in 0..=bytes.len().min(decided + LATER_BYTES) {
        let now = parse(&bytes[..length]);
        assert!(before == Parsed::Incomplete || now == before, "{before:?}, then {now:?}");
        match now {
            Parsed::Incomplete => assert!(length < HEADER_BYTES_MAX),
            Parsed::Header { consumed, .. } => {
                assert!(0 < consumed && consumed <= length && consumed <= HEADER_BYTES_MAX);
            }
            Parsed::Absent | Parsed::Invalid(_) => {}
        }
        before = now;
    }
    assert_eq!(before, whole);
    if let Parsed::Header { endpoints: Some(endpoints), .. } = whole {
        for header in [as_text(endpoints), as_binary(endpoints)] {
            let again = Parsed::Header { consumed: header.len(), endpoints: Some(endpoints) };
            assert_eq!(parse(&header), again, "{}", header.escape_ascii());
        }
    }
}

fn as_text(Endpoints { source, destination }: Endpoints) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (one, other) = (source.ip(), destination.ip());
    let (from, to) = (source.port(), destination.port());
    format!("PROXY {family} {one} {other} {from} {to}\r\n").into_bytes()
}

fn as_binary(Endpoints { source, destination }: Endpoints) -> Vec<u8> {
    let octets = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let addresses = [octets(source), octets(destination)].concat();
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    let length = (addresses.len() + ports.len()) as u16;
    [v2::SIGNATURE, &[0x21, family], &length.to_be_bytes(), &addresses, &ports].concat()
}
