//! Compares the bytes that one connection receives with the expected replies, in place.
//!
//! The expected bytes are generated again, except over HTTP: there `http` parses the replies and
//! compares them with the first one.

use super::frame::{Frame, Piece};
use super::framing::{Direction, HeadBuffer};
use super::http::ReplyDecoder;
use super::mismatch::{Fault, Mismatch, common_bytes, server_message};
use super::payload::{Cursor, Payload};
use super::spec::Verify;
use super::stream::Stream;
use super::traffic::Traffic;

/// The check of one connection's replies.
#[derive(Debug)]
pub(super) struct ReplyCheck {
    connection: u32,
    replies: Stream,
    http: Option<Box<ReplyDecoder>>,
}

impl ReplyCheck {
    /// The check of connection number `connection`, before its first reply.
    pub(super) fn new(traffic: &Traffic, connection: u32) -> Self {
        let is_http = traffic.framing.is_http();
        Self {
            connection,
            replies: Stream::new(traffic, Direction::Reply, connection),
            http: is_http.then(|| Box::new(ReplyDecoder::new(connection))),
        }
    }

    /// Whether a complete reply has announced that the server closes the connection.
    pub(super) fn wants_close(&self) -> bool {
        self.http.as_ref().is_some_and(|http| http.wants_close())
    }

    /// Moves to the reply of the request at whose beginning `requests` is, on a new connection.
    pub(super) fn restart(&mut self, requests: &Stream) {
        self.replies.follow(requests);
        if let Some(http) = &mut self.http {
            http.restart();
        }
    }

    /// Compares received bytes while `outstanding` requests are unanswered. Returns how many
    /// replies they complete, and the first byte that is wrong, if one is.
    pub(super) fn verify_received(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
    ) -> (usize, Result<(), Mismatch>) {
        let mut completed = 0;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if completed == outstanding {
                return (completed, Err(self.unexpected(traffic, rest)));
            }
            let step = if traffic.framing.is_raw() {
                Ok(self.verify_raw(traffic, rest, outstanding - completed))
            } else if let Some(http) = &mut self.http {
                Self::verify_http(http, &mut self.replies, traffic, rest)
            } else {
                Ok(self.verify_framed(traffic, rest))
            };
            match step {
                Err(fault) => return (completed, Err(self.faulty(fault))),
                Ok(step) => {
                    at += step.right;
                    completed += step.ended;
                    if step.is_wrong {
                        return (completed, Err(self.wrong(traffic, &bytes[at..])));
                    }
                }
            }
        }
        (completed, Ok(()))
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

    /// Compares one reply that states its own length.
    fn verify_http(
        http: &mut ReplyDecoder,
        replies: &mut Stream,
        traffic: &Traffic,
        bytes: &[u8],
    ) -> Result<Compared, Fault> {
        let (taken, is_whole) = http.verify_received(bytes, traffic.verify, &traffic.reference)?;
        replies.advance(traffic, taken);
        if is_whole {
            replies.end_here();
        }
        Ok(Compared { right: taken, ended: is_whole.into(), is_wrong: false })
    }

    /// The mismatch of the first byte of `received`, which differs from the expected one.
    fn wrong(&mut self, traffic: &Traffic, received: &[u8]) -> Mismatch {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let frame = self.replies.frame(traffic, &mut buffer);
        let (start, offset) = self.replies.position();
        let expected = frame.byte_at(offset, &traffic.payload, start);
        let is_in_head = offset < frame.head.len() as u64 && traffic.framing.has_text_heads();
        // The bytes before it were those of the expected head, so the server's message begins
        // with them.
        let note = is_in_head
            .then(|| server_message(&[&frame.head[..offset as usize], received].concat()));
        self.mismatch(expected, received[0], note)
    }

    /// The mismatch of bytes that were received while no reply was outstanding.
    fn unexpected(&self, traffic: &Traffic, received: &[u8]) -> Mismatch {
        let is_text = traffic.framing.has_text_heads() || traffic.framing.is_http();
        self.mismatch(None, received[0], is_text.then(|| server_message(received)))
    }

    fn faulty(&self, fault: Fault) -> Mismatch {
        let Fault { offset_bytes, expected, got, note } = fault;
        Mismatch { offset_bytes, ..self.mismatch(expected, got, note) }
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
