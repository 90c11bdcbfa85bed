//! Control frames (RFC 6455, section 5.5): those of the client, and what a close frame says.

use super::super::mismatch::printable_line;

/// First bytes of a close frame and of a pong.
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// The bit of the second byte that announces a mask.
const MASKED: u8 = 0x80;

/// The code of a connection that has done what it was for.
const NORMAL: u16 = 1000;

/// Most bytes of pongs that wait for the socket: some thousand short ones. A server that sends more
/// pings than that, and reads nothing, wants no answer.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// Control frames that wait to be sent, between two messages.
#[derive(Debug, Default)]
pub(super) struct ControlFrames {
    bytes: Vec<u8>,
    /// How many of them were sent.
    sent: usize,
}

impl ControlFrames {
    /// The bytes to send next.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The socket took up to `sent` bytes. Returns how many of them were of these frames.
    pub(super) fn advance_sent(&mut self, sent: usize) -> usize {
        let taken = sent.min(self.unsent().len());
        self.sent += taken;
        if self.unsent().is_empty() {
            self.clear();
        }
        taken
    }

    /// Answers a ping with the same payload.
    ///
    /// # Errors
    ///
    /// If too many pongs wait already.
    pub(super) fn pong(&mut self, payload: &[u8], key: [u8; 4]) -> Result<(), String> {
        if self.unsent().len() > UNSENT_BYTES_MAX {
            return Err(format!(
                "a ping, while {UNSENT_BYTES_MAX} bytes of pongs wait for the server to read them"
            ));
        }
        self.push(PONG, payload, key);
        Ok(())
    }

    /// Ends the connection in order.
    pub(super) fn close(&mut self, key: [u8; 4]) {
        self.push(CLOSE, &NORMAL.to_be_bytes(), key);
    }

    /// Drops all.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    fn push(&mut self, first: u8, payload: &[u8], key: [u8; 4]) {
        self.bytes.drain(..self.sent);
        self.sent = 0;
        self.bytes.extend_from_slice(&[first, MASKED | payload.len() as u8]);
        self.bytes.extend_from_slice(&key);
        self.bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

/// What the payload of a server's close frame says.
///
/// # Errors
///
/// If it is no such payload.
pub(super) fn close_words(payload: &[u8]) -> Result<String, String> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok("the server sent a close frame without a code".to_owned()),
            _ => Err("a close frame of one byte, which is no code".to_owned()),
        };
    };
    let code = u16::from_be_bytes(*code);
    // The names of RFC 6455, section 7.4.1, and of the registry of IANA.
    let name = match code {
        1000 => " (normal closure)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (unsupported data)",
        1007 => " (invalid payload)",
        1008 => " (policy violation)",
        1009 => " (message too big)",
        1011 => " (internal error)",
        1012 => " (service restart)",
        1013 => " (try again later)",
        _ => "",
    };
    let reason = match reason {
        [] => String::new(),
        reason => format!(" '{}'", printable_line(reason)),
    };
    Ok(format!("the server sent a close frame: {code}{name}{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_are_masked_and_sent_in_the_order_of_their_pings_however_the_socket_takes_them() {
        let mut frames = ControlFrames::default();
        frames.pong(b"abcde", [1, 2, 4, 8]).unwrap();
        assert_eq!(frames.unsent(), b"\x8a\x85\x01\x02\x04\x08\x60\x60\x67\x6c\x64");
        assert_eq!(frames.advance_sent(3), 3);
        frames.pong(b"", [1, 2, 4, 8]).unwrap();
        assert_eq!(frames.unsent(), b"\x02\x04\x08\x60\x60\x67\x6c\x64\x8a\x80\x01\x02\x04\x08");
        assert_eq!(frames.advance_sent(20), 14);
        assert!(frames.unsent().is_empty());
        frames.close([1, 2, 4, 8]);
        assert_eq!(frames.unsent(), b"\x88\x82\x01\x02\x04\x08\x02\xea");
    }

    #[test]
    fn pings_that_no_one_reads_the_answers_of_have_a_bound() {
        let mut frames = ControlFrames::default();
        let pongs = (0..).take_while(|_| frames.pong(&[0; 125], [1; 4]).is_ok()).count();
        assert_eq!(pongs, UNSENT_BYTES_MAX / 131 + 1);
        frames.advance_sent(1_000);
        assert_eq!(frames.pong(&[], [1; 4]), Ok(()));
    }

    #[test]
    fn a_close_frame_is_quoted_with_the_name_of_its_code() {
        assert_eq!(close_words(b"").unwrap(), "the server sent a close frame without a code");
        assert_eq!(
            close_words(b"\x03\xe9").unwrap(),
            "the server sent a close frame: 1001 (going away)"
        );
        assert_eq!(
            close_words(b"\x0f\xa0full \x1b").unwrap(),
            "the server sent a close frame: 4000 'full .'"
        );
        assert!(close_words(b"\x03").unwrap_err().contains("one byte"));
    }
}
