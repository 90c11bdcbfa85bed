//! The first byte of a reply that was wrong, and what the server sent instead.

use serde::{Deserialize, Serialize};

/// The first byte of a connection's replies that was not the expected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mismatch {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// Offset in bytes within that request's reply.
    pub(crate) offset_bytes: u64,
    /// The expected byte, or nothing where no byte was expected.
    pub(crate) expected: Option<u8>,
    /// The byte received.
    pub(crate) got: u8,
    /// What else is known, such as the error text that the server sent instead.
    pub(crate) note: Option<String>,
}

/// Most characters of it that are shown.
const SAID_CHARACTERS_MAX: usize = 100;

/// The first line received, made printable: most servers name their error in it.
pub(super) fn said(came: &[u8]) -> String {
    let line = came.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let printable = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    };
    let text: String = line.iter().take(SAID_CHARACTERS_MAX).map(printable).collect();
    let cut = if line.len() > SAID_CHARACTERS_MAX { "..." } else { "" };
    format!("the server said '{text}{cut}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_is_shown() {
        assert_eq!(said(b"-ERR unknown\r\n+PONG\r\n"), "the server said '-ERR unknown'");
        assert_eq!(said(b"ERROR"), "the server said 'ERROR'");
    }

    #[test]
    fn what_would_upset_a_terminal_becomes_a_dot() {
        assert_eq!(said(b"a\x1b[2Jb\xff"), "the server said 'a.[2Jb.'");
    }

    #[test]
    fn a_long_line_is_cut() {
        let text = said(&[b'x'; 500]);
        assert_eq!(text.matches('x').count(), SAID_CHARACTERS_MAX);
        assert!(text.ends_with("...'"), "{text}");
    }
}
