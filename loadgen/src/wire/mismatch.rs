//! The first wrong byte of a reply: the search for it, and its record.

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

/// A mismatch in the reply that is being received: the first byte that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Offset of the byte in the bytes that were parsed; in the whole reply once the decoder has
    /// returned it.
    pub(super) offset_bytes: u64,
    /// The expected byte, if only one is right.
    pub(super) expected: Option<u8>,
    pub(super) got: u8,
    pub(super) note: Option<String>,
}

impl Fault {
    /// Byte number `offset` of `bytes` is wrong.
    pub(super) fn at(bytes: &[u8], offset: usize, expected: Option<u8>, note: String) -> Self {
        let got = bytes.get(offset).copied().unwrap_or_default();
        Self { offset_bytes: offset as u64, expected, got, note: Some(note) }
    }

    /// Finds the first byte that makes `bytes` wrong, by bisection.
    ///
    /// `is_wrong` returns whether no continuation makes a prefix right. If it is true of a prefix,
    /// it is true of all longer ones, and of `bytes`.
    pub(super) fn search(bytes: &[u8], note: String, is_wrong: impl Fn(&[u8]) -> bool) -> Self {
        let (mut right, mut wrong) = (0, bytes.len());
        while wrong - right > 1 {
            let middle = right + (wrong - right) / 2;
            if is_wrong(&bytes[..middle]) {
                wrong = middle;
            } else {
                right = middle;
            }
        }
        Self::at(bytes, right, None, note)
    }

    /// The mismatch that it is in the reply to a request of a connection.
    pub(super) fn of_reply(self, connection: u32, request: u64) -> Mismatch {
        let Self { offset_bytes, expected, got, note } = self;
        Mismatch { connection, request, offset_bytes, expected, got, note }
    }

    /// The same fault, `before` bytes further into the reply.
    pub(super) fn moved_by(mut self, before: u64) -> Self {
        self.offset_bytes += before;
        self
    }
}

/// The length of the common prefix of both, in bytes.
pub(super) fn common_bytes(received: &[u8], expected: &[u8]) -> usize {
    // One comparison of memory if all bytes are right, which is nearly always so.
    if expected.get(..received.len()) == Some(received) {
        return received.len();
    }
    received.iter().zip(expected).take_while(|(received, expected)| received == expected).count()
}

/// Maximum number of characters shown of the server's message.
const MESSAGE_CHARACTERS_MAX: usize = 100;

/// The note about a message of the server: the first line of `received`, made printable. Most
/// servers name their error in it.
pub(super) fn server_message(received: &[u8]) -> String {
    if begins_tls_record(received) {
        return "the server speaks TLS; add --tls, or use its port without TLS".to_owned();
    }
    format!("the server said '{}'", printable_line(received))
}

/// Whether `received` begins like a record of TLS (RFC 8446, section 5.1): the type of an alert or
/// of a handshake, and a version.
pub(super) fn begins_tls_record(received: &[u8]) -> bool {
    matches!(received, [0x15 | 0x16, 0x03, 0x00..=0x04, ..])
}

/// The first line of `received`, made printable and cut if it is long.
pub(super) fn printable_line(received: &[u8]) -> String {
    let line = received.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let printable = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    };
    let text: String = line.iter().take(MESSAGE_CHARACTERS_MAX).map(printable).collect();
    let cut = if line.len() > MESSAGE_CHARACTERS_MAX { "..." } else { "" };
    format!("{text}{cut}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_is_shown() {
        assert_eq!(server_message(b"-ERR unknown\r\n+PONG\r\n"), "the server said '-ERR unknown'");
        assert_eq!(server_message(b"ERROR"), "the server said 'ERROR'");
    }

    #[test]
    fn what_would_upset_a_terminal_becomes_a_dot() {
        assert_eq!(server_message(b"a\x1b[2Jb\xff"), "the server said 'a.[2Jb.'");
    }

    #[test]
    fn a_record_of_tls_is_named() {
        let alert = b"\x15\x03\x03\x00\x02\x02\x46";
        assert!(server_message(alert).starts_with("the server speaks TLS; add --tls"));
        assert!(server_message(b"\x15\x04").starts_with("the server said"));
    }

    #[test]
    fn a_long_line_is_cut() {
        let text = server_message(&[b'x'; 500]);
        assert_eq!(text.matches('x').count(), MESSAGE_CHARACTERS_MAX);
        assert!(text.ends_with("...'"), "{text}");
    }
}
