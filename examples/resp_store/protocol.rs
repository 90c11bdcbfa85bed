//! RESP, the protocol of Redis: requests in, replies out (redis.io, "Redis serialization
//! protocol").

/// The longest argument; Redis allows as much.
const ARGUMENT_MAX: usize = 512 << 20;
const ARGUMENTS_MAX: usize = 1 << 20;

/// The request at the start of some input.
pub(crate) enum Parsed<'a> {
    Incomplete,
    /// The arguments, and how many bytes they need. An empty request has none.
    Request(Vec<&'a [u8]>, usize),
    Invalid(&'static str),
}

/// Parses an array of bulk strings, or a line of words.
pub(crate) fn parse(input: &[u8]) -> Parsed<'_> {
    match input.first() {
        None => Parsed::Incomplete,
        Some(b'*') => parse_array(input).unwrap_or_else(|end| end),
        Some(_) => parse_line(input),
    }
}

fn parse_line(input: &[u8]) -> Parsed<'_> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Parsed::Incomplete };
    let words = input[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    Parsed::Request(words.collect(), end + 1)
}

fn parse_array(input: &[u8]) -> Result<Parsed<'_>, Parsed<'_>> {
    let (count, mut at) = number(input, 0, b'*', ARGUMENTS_MAX)?;
    let mut arguments = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let (length, start) = number(input, at, b'$', ARGUMENT_MAX)?;
        at = start + length + 2;
        if input.len() < at {
            return Err(Parsed::Incomplete);
        }
        arguments.push(&input[start..start + length]);
    }
    Ok(Parsed::Request(arguments, at))
}

/// The number after a type byte, and where the next line begins.
fn number(input: &[u8], at: usize, kind: u8, max: usize) -> Result<(usize, usize), Parsed<'_>> {
    if input.get(at).is_some_and(|byte| *byte != kind) {
        return Err(Parsed::Invalid("ERR Protocol error: expected an array of bulk strings"));
    }
    let mut number = 0;
    for (index, byte) in input.iter().enumerate().skip(at + 1) {
        match byte {
            b'0'..=b'9' if number <= max => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if number <= max => return Ok((number, index + 2)),
            _ => return Err(Parsed::Invalid("ERR Protocol error: invalid length")),
        }
    }
    Err(Parsed::Incomplete)
}

/// The reply to one request, or to one key of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(&'static str),
    Error(&'static str),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
}

impl Reply {
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => line(out, b'+', text.as_bytes()),
            Self::Error(text) => line(out, b'-', text.as_bytes()),
            Self::Integer(number) => line(out, b':', Decimal::of(*number).text()),
            Self::Bulk(bytes) => bulk(out, bytes),
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
        }
    }
}

/// Appends the header of an array.
pub(crate) fn array(out: &mut Vec<u8>, length: usize) {
    line(out, b'*', Decimal::of(length as i64).text());
}

/// Appends a bulk string.
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', Decimal::of(bytes.len() as i64).text());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal, without an allocation.
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn of(number: i64) -> Self {
        let (mut digits, mut start, mut rest) = ([0; 20], 20, number.unsigned_abs());
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        Self { digits, start }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
