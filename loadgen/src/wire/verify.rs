//! Compares the bytes that one connection receives with the expected replies, in place.
//!
//! The expected bytes are generated again.

use super::frame::{Frame, Piece};
use super::framing::{Direction, HeadBuffer};
use super::mismatch::{Mismatch, begins_tls_record, common_bytes, printable_line, server_message};
use super::payload::{Cursor, Payload};
use super::reply::{Reply, UnexpectedReply};
use super::spec::Verify;
use super::stream::Stream;
use super::traffic::Traffic;

/// Longest error line: those of Redis and memcached have some 100 bytes.
const ERROR_LINE_BYTES_MAX: usize = 4096;

/// The check of one connection's replies.
#[derive(Debug)]
pub(super) struct ReplyCheck {
    connection: u32,
    replies: Stream,
    /// The beginning of an error line that is being received instead of a reply.
    error_line: Option<Vec<u8>>,
    /// Whether an error line has been quoted.
    has_quoted: bool,
}

impl ReplyCheck {
    /// The check of connection number `connection`, before its first reply.
    pub(super) fn new(traffic: &Traffic, connection: u32) -> Self {
        Self {
            connection,
            replies: Stream::new(traffic, Direction::Reply, connection),
            error_line: None,
            has_quoted: false,
        }
    }

    /// Moves to the reply of the request at whose beginning `requests` is, on a new connection.
    pub(super) fn restart(&mut self, requests: &Stream) {
        self.replies.follow(requests);
        self.error_line = None;
    }

    /// Compares received bytes while `outstanding` requests are unanswered. Calls `on_reply` for
    /// each complete reply. An error is the first byte that is wrong: nothing behind it can be
    /// understood.
    pub(super) fn verify_received(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
        mut on_reply: impl FnMut(Reply),
    ) -> Result<(), Mismatch> {
        let mut left = outstanding;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if left == 0 {
                return Err(self.unrequested(traffic, rest));
            }
            if let Some(line) = self.error_line.take() {
                let (taken, reply) = self.read_error_line(traffic, line, rest)?;
                if let Some(reply) = reply {
                    on_reply(reply);
                    left -= 1;
                }
                at += taken;
                continue;
            }
            let step = if traffic.framing.is_raw() {
                self.verify_raw(traffic, rest, left)
            } else {
                self.verify_framed(traffic, rest)
            };
            (0..step.ended).for_each(|_| on_reply(Reply::Right { status: None }));
            left -= step.ended;
            at += step.right;
            if step.is_wrong && !self.begin_error_line(traffic, &bytes[at..]) {
                return Err(self.wrong(traffic, &bytes[at..]));
            }
        }
        Ok(())
    }

    /// Compares raw replies, which are payload and nothing else, many at a time.
    fn verify_raw(&mut self, traffic: &Traffic, bytes: &[u8], outstanding: usize) -> Compared {
        let new = outstanding - usize::from(self.replies.is_inside());
        let expected = self.replies.payload_slice(traffic, new);
        let compared = &bytes[..bytes.len().min(expected.len())];
        let right = match traffic.verify {
            Verify::Full => common_bytes(compared, expected),
            Verify::Length | Verify::None => compared.len(),
        };
        let ended = self.replies.advance(traffic, right).ended;
        Compared { right, ended, is_wrong: right < compared.len() }
    }

    /// Compares one reply whose every byte is known beforehand.
    fn verify_framed(&mut self, traffic: &Traffic, bytes: &[u8]) -> Compared {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let frame = self.replies.frame(traffic, &mut buffer);
        let (start, offset) = self.replies.position();
        let right = right_bytes(&frame, offset, &traffic.payload, start, bytes, traffic.verify);
        let ended = self.replies.advance(traffic, right).ended;
        Compared { right, ended, is_wrong: ended == 0 && right < bytes.len() }
    }

    /// Whether `received`, which is not the expected head of a reply, can begin an error line. If
    /// so, [`Self::read_error_line`] reads it.
    fn begin_error_line(&mut self, traffic: &Traffic, received: &[u8]) -> bool {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let head = self.replies.frame(traffic, &mut buffer).head;
        let (_, offset) = self.replies.position();
        // The bytes before were those of the expected head, so the line begins with them.
        let Some(before) = head.get(..offset as usize) else { return false };
        if offset == head.len() as u64
            || !traffic.framing.begins_error_line(&[before, received].concat())
        {
            return false;
        }
        self.error_line = Some(before.to_vec());
        true
    }

    /// Reads an error line, which begins with `line`, up to its end.
    fn read_error_line(
        &mut self,
        traffic: &Traffic,
        mut line: Vec<u8>,
        bytes: &[u8],
    ) -> Result<(usize, Option<Reply>), Mismatch> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        line.extend_from_slice(&bytes[..taken]);
        if !traffic.framing.begins_error_line(&line) || line.len() > ERROR_LINE_BYTES_MAX {
            let (_, offset) = self.replies.position();
            return Err(self.wrong(traffic, &line[offset as usize..]));
        }
        if end.is_none() {
            self.error_line = Some(line);
            return Ok((taken, None));
        }
        let is_first = !std::mem::replace(&mut self.has_quoted, true);
        let quote = is_first.then(|| Box::new(self.quoted(printable_line(&line), None)));
        self.replies.end_here();
        Ok((taken, Some(Reply::Unexpected { status: None, quote })))
    }

    /// The words of the current reply.
    fn quoted(&self, first_line: String, body_line: Option<String>) -> UnexpectedReply {
        let (request, _) = self.replies.next_byte();
        UnexpectedReply { connection: self.connection, request, first_line, body_line }
    }

    /// The mismatch of the first byte of `received`, which differs from the expected one.
    fn wrong(&mut self, traffic: &Traffic, received: &[u8]) -> Mismatch {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let frame = self.replies.frame(traffic, &mut buffer);
        let (start, offset) = self.replies.position();
        let expected = frame.byte_at(offset, &traffic.payload, start);
        let is_in_head = offset < frame.head.len() as u64 && traffic.framing.has_error_lines();
        let is_tls = offset == 0 && begins_tls_record(received);
        // The bytes before it were those of the expected head, so the server's message begins
        // with them.
        let note = (is_in_head || is_tls).then(|| {
            let right = frame.head.get(..offset as usize).unwrap_or_default();
            server_message(&[right, received].concat())
        });
        self.mismatch(expected, received[0], note)
    }

    /// The mismatch of bytes that were received while no reply was outstanding.
    fn unrequested(&self, traffic: &Traffic, received: &[u8]) -> Mismatch {
        let is_text = traffic.framing.has_error_lines();
        self.mismatch(None, received[0], is_text.then(|| server_message(received)))
    }

    fn mismatch(&self, expected: Option<u8>, got: u8, note: Option<String>) -> Mismatch {
        let (request, offset_bytes) = self.replies.next_byte();
        Mismatch { connection: self.connection, request, offset_bytes, expected, got, note }
    }
}

/// The result of one comparison of received bytes.
#[derive(Debug, Clone, Copy)]
struct Compared {
    /// Number of bytes, from the first on, that are right.
    right: usize,
    /// Number of replies that these bytes complete.
    ended: usize,
    /// Whether the byte behind them is wrong.
    is_wrong: bool,
}

/// How many of the bytes `received`, from the first on, equal those of `frame` from `offset` on.
/// `verify` decides whether the payload is compared. Bytes behind the end of the frame do not
/// count.
fn right_bytes(
    frame: &Frame<'_>,
    offset: u64,
    payload: &Payload,
    start: Cursor,
    received: &[u8],
    verify: Verify,
) -> usize {
    let mut right = 0;
    loop {
        let piece = frame.piece(offset + right as u64, payload, start);
        let compared = piece.bytes().len().min(received.len() - right);
        let same = match piece {
            Piece::Payload(_) if verify != Verify::Full => {
                before_tail(frame, &received[right..right + compared])
            }
            Piece::Framing(expected) | Piece::Payload(expected) => {
                common_bytes(&received[right..right + compared], expected)
            }
        };
        right += same;
        if same < compared || compared == 0 {
            return right;
        }
    }
}

/// How many of the bytes `received` can belong to any payload. Where no head states the length, the
/// first byte of the tail ends the payload.
fn before_tail(frame: &Frame<'_>, received: &[u8]) -> usize {
    match (frame.head, frame.tail) {
        ([], [end]) => received.iter().take_while(|&byte| byte != end).count(),
        _ => received.len(),
    }
}
