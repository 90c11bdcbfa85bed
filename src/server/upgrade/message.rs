//! The messages between the two servers: one line of JSON each.

use std::io;

use serde::{Deserialize, Serialize};

use super::listing::Listing;

/// The version of the messages and of their order. A server refuses successors with another
/// version. Those of version 1 know no TLS, and would serve its listeners without.
pub(super) const VERSION: u32 = 2;

/// The longest line: a listing of thousands of listeners.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// The module `upgrade` shows the order of the messages.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The first message of the successor.
    TakeOver { version: u32 },
    /// The offered listeners.
    Listeners(Listing),
    /// This many sockets are attached to this line.
    Sockets(usize),
    /// The successor accepts connections.
    Ready,
    /// The running server has stopped accepting and drains. On the wire: `"leaving"`.
    #[serde(rename = "leaving")]
    Draining,
    /// The handover is refused, and why.
    Refused(String),
}

impl Message {
    /// The message as a line, with its line end.
    ///
    /// # Errors
    ///
    /// `InvalidData` if a path is no Unicode text.
    pub(super) fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Takes the first complete line from `bytes`; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// `InvalidData` if it is too long or no message.
    pub(super) fn take(bytes: &mut Vec<u8>, bytes_max: usize) -> io::Result<Option<Self>> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(bytes.len()) > bytes_max {
            return Err(invalid("a message is too long"));
        }
        let Some(end) = end else { return Ok(None) };
        let line: Vec<u8> = bytes.drain(..=end).collect();
        serde_json::from_slice(&line).map(Some).map_err(|_| invalid("a message is not understood"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let sent = [Message::TakeOver { version: 7 }, Message::Ready, Message::Sockets(3)];
        let lines: Vec<u8> = sent.iter().flat_map(|message| message.line().unwrap()).collect();
        for cut in 1..lines.len() {
            let (mut bytes, mut received) = (Vec::new(), Vec::new());
            for part in lines.chunks(cut) {
                bytes.extend_from_slice(part);
                while let Some(message) = Message::take(&mut bytes, 100).unwrap() {
                    received.push(message);
                }
            }
            assert_eq!(received, sent, "cut every {cut} bytes");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for wrong in ["\n", "GET / HTTP/1.1\r\n", "\"steady\"\n", "{}\n", "{\"take_over\":{}}\n"] {
            assert!(Message::take(&mut wrong.into(), 100).is_err(), "{wrong}");
        }
        assert!(Message::take(&mut vec![b'x'; 100], 100).unwrap().is_none(), "not yet");
        assert!(Message::take(&mut vec![b'x'; 101], 100).is_err(), "no end in sight");
    }
}
