//! The character generator.

use super::{Connection, Service};

/// The printable characters, from the space to the tilde.
const CHARACTERS: u8 = b'~' - b' ' + 1;
/// Characters a line, before its CR and LF.
const LINE: usize = 72;
/// Bytes per send: enough to fill a socket in few calls, few enough to leave time for other
/// connections.
const CHUNK_BYTES: usize = 16 * 1024;

/// The character generator (RFC 864): sends lines of printable characters for as long as the peer
/// reads, until the peer ends its stream. It discards what it receives. A slow reader costs no more
/// memory than one chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chargen;

/// The session of [`Chargen`]: the character that begins the next line.
#[derive(Debug)]
pub struct NextLine(u8);

impl NextLine {
    fn append_to(&mut self, text: &mut Vec<u8>) {
        let from = usize::from(self.0);
        text.extend((from..from + LINE).map(|at| b' ' + (at % usize::from(CHARACTERS)) as u8));
        text.extend(b"\r\n");
        self.0 = (self.0 + 1) % CHARACTERS;
    }

    fn fill(&mut self, connection: &mut Connection<'_, Chargen>) {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + LINE + 2);
        while chunk.len() < CHUNK_BYTES {
            self.append_to(&mut chunk);
        }
        connection.send(&chunk);
        connection.continue_when_sent();
    }
}

impl Service for Chargen {
    type Session = NextLine;
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) -> NextLine {
        let mut next = NextLine(0);
        next.fill(connection);
        next
    }

    fn receive(&mut self, _: &mut NextLine, input: &[u8], _: &mut Connection<'_, Self>) -> usize {
        input.len()
    }

    fn resume(&mut self, next: &mut NextLine, connection: &mut Connection<'_, Self>) {
        next.fill(connection);
    }

    fn drain(&mut self, _: &mut NextLine, connection: &mut Connection<'_, Self>) {
        connection.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shifted_by_one_and_wrap_at_the_last_character() {
        let (mut next, mut text) = (NextLine(0), Vec::new());
        for _ in 0..=CHARACTERS {
            next.append_to(&mut text);
        }
        let lines: Vec<&[u8]> = text.chunks(LINE + 2).collect();
        assert!(lines.iter().all(|line| line.ends_with(b"\r\n")));
        assert_eq!(&lines[0][..4], b" !\"#");
        assert_eq!(&lines[1][..3], b"!\"#");
        assert_eq!(&lines[94][..3], b"~ !");
        assert_eq!(lines[95], lines[0]);
    }
}
