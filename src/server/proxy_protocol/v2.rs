//! Version 2: a signature, four bytes with the kind and the length of what follows, addresses, and
//! fields of a type, a length and a value.

use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::{Endpoints, HEADER_BYTES_MAX, HeaderResult, Parsed};

/// The beginning of every header: bytes that start no text protocol.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature and the four bytes after it.
const FIXED_BYTES: usize = 16;

/// The type of the field with the checksum of the whole header.
const CHECKSUM: u8 = 0x03;

/// Two paths of 108 bytes, as in `sockaddr_un`.
const UNIX_BYTES: usize = 216;

/// Parses bytes that begin with [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Some(&[.., length_high, length_low]) = bytes.first_chunk::<FIXED_BYTES>() else {
        return Parsed::Incomplete;
    };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([length_high, length_low]));
    if length > HEADER_BYTES_MAX {
        return Parsed::Invalid("a header of more than 4096 bytes");
    }
    match bytes.get(..length) {
        Some(header) => Parsed::whole(length, parse_header(header)),
        None => Parsed::Incomplete,
    }
}

fn parse_header(header: &[u8]) -> HeaderResult {
    let (fixed, rest) = header.split_at(FIXED_BYTES);
    match fixed[SIGNATURE.len()] {
        // LOCAL: the proxy connects for itself, and the rest is ignored.
        0x20 => return Ok(None),
        0x21 => {}
        0x22..=0x2F => return Err("a command other than LOCAL and PROXY"),
        _ => return Err("a version other than 2 after the signature of version 2"),
    }
    let kind = fixed[SIGNATURE.len() + 1];
    let (family, transport) = (kind >> 4, kind & 0x0F);
    let (ends, fields) = match family {
        // An unknown format: fields cannot be separated from addresses.
        0 => (None, [].as_slice()),
        1 => inet::<4>(rest).ok_or(TOO_SHORT)?,
        2 => inet::<16>(rest).ok_or(TOO_SHORT)?,
        3 => (None, rest.get(UNIX_BYTES..).ok_or(TOO_SHORT)?),
        _ => return Err("an unknown address family"),
    };
    check(header, fields)?;
    match transport {
        // Only streams are served, so an endpoint of another kind is unknown.
        0 | 2 => Ok(None),
        1 => Ok(ends),
        _ => Err("an unknown transport"),
    }
}

const TOO_SHORT: &str = "a length that is too small for its addresses";

/// Parses two addresses of `N` bytes and two ports; returns the rest.
fn inet<const N: usize>(bytes: &[u8]) -> Option<(Option<Endpoints>, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, rest) = rest.split_first_chunk()?;
    let end = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port))
    };
    let source = end(source, source_port);
    let destination = end(destination, destination_port);
    Some((Some(Endpoints { source, destination }), rest))
}

/// Checks that the fields fill their space, and that a checksum, if present, is correct.
fn check(header: &[u8], mut fields: &[u8]) -> Result<(), &'static str> {
    let mut checksum = None;
    while !fields.is_empty() {
        let (kind, value, rest) = field(fields).ok_or("a field that is longer than the header")?;
        if kind == CHECKSUM {
            // Only one, so that the work is proportional to the bytes.
            let at = header.len() - rest.len() - value.len();
            if checksum.replace((at, value)).is_some() {
                return Err("more than one checksum");
            }
        }
        fields = rest;
    }
    let Some((at, value)) = checksum else { return Ok(()) };
    let value = value.try_into().map_err(|_| "a checksum that is not of four bytes")?;
    // The checksum is computed with its own bytes as zero.
    let (before, after) = (&header[..at], &header[at + 4..]);
    let bytes = before.iter().chain(&[0; 4]).chain(after);
    let is_right = crc32c(bytes) == u32::from_be_bytes(value);
    is_right.then_some(()).ok_or("a wrong checksum")
}

/// The type and value of the first field, and the rest.
fn field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, length @ ..], rest) = bytes.split_first_chunk::<3>()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((*kind, value, rest))
}
