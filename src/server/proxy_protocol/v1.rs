//! Version 1: a line of text, `PROXY TCP4 192.0.2.1 192.0.2.2 54321 443\r\n`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use super::{Endpoints, HeaderResult, Parsed};

/// The beginning of every line.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// The longest line with its end: `UNKNOWN`, two IPv6 addresses and two ports, all at full length.
pub(super) const LINE_BYTES_MAX: usize = 107;

/// Parses bytes that begin with [`PREFIX`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => Parsed::whole(end + 1, parse_line(&window[PREFIX.len()..end])),
        None if window.len() < LINE_BYTES_MAX => Parsed::Incomplete,
        None => Parsed::Invalid("a line of more than 107 bytes"),
    }
}

/// Parses what is between the prefix and the line feed.
fn parse_line(rest: &[u8]) -> HeaderResult {
    let rest = rest.strip_suffix(b"\r").ok_or("a line that ends without a carriage return")?;
    // Anything after UNKNOWN is ignored.
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let mut words = str::from_utf8(rest).unwrap_or_default().split(' ');
    match words.next() {
        Some("TCP4") => tcp::<Ipv4Addr>(words).map(Some),
        Some("TCP6") => tcp::<Ipv6Addr>(words).map(Some),
        _ => Err("a family other than TCP4, TCP6 and UNKNOWN"),
    }
}

fn tcp<'a, A: FromStr + Into<IpAddr>>(
    words: impl Iterator<Item = &'a str>,
) -> Result<Endpoints, &'static str> {
    // Fused, so that calls beyond the end are fine.
    let mut words = words.fuse();
    let mut word = || words.next();
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (word(), word(), word(), word(), word())
    else {
        return Err("other than two addresses and two ports");
    };
    Ok(Endpoints {
        source: end::<A>(source, source_port)?,
        destination: end::<A>(destination, destination_port)?,
    })
}

fn end<A: FromStr + Into<IpAddr>>(address: &str, port: &str) -> Result<SocketAddr, &'static str> {
    let address: A = address.parse().map_err(|_| "an address that is not of its family")?;
    // Plain decimal, which no reader takes for octal or signed.
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let has_one_reading = port == "0" || !port.starts_with('0');
    let port = port.parse().ok().filter(|_| is_plain && has_one_reading);
    Ok(SocketAddr::new(address.into(), port.ok_or("a port that is not one")?))
}
