//! One connection's position in both directions: the next bytes to send, and whether those received
//! are right.

use super::frame::common_bytes;
use super::framing::{HeadBuffer, Way};
use super::http::{Fault, ReplyDecoder};
use super::mismatch::said;
use super::stream::Stream;
use super::traffic::{Traffic, Verify};
use crate::wire::Mismatch;

/// One connection's position in the traffic.
///
/// No message is stored: what was sent and what must come are both generated again, whatever the
/// size of a message. Of HTTP replies, which are not known beforehand, a decoder stores the little
/// it needs.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: u32,
    requests: Stream,
    replies: Stream,
    http: Option<Box<ReplyDecoder>>,
}

impl Exchange {
    /// The beginning of connection number `connection`.
    pub(crate) fn new(traffic: &Traffic, connection: u32) -> Self {
        let is_http = traffic.framing.is_http();
        Self {
            connection,
            requests: Stream::new(traffic, Way::Request, connection),
            replies: Stream::new(traffic, Way::Reply, connection),
            http: is_http.then(|| Box::new(ReplyDecoder::new(connection))),
        }
    }

    /// Whether a request is partly sent.
    pub(crate) fn is_mid_request(&self) -> bool {
        self.requests.is_inside()
    }

    /// Whether the server has announced, with a reply that came whole, that it closes the
    /// connection: what is sent on it from now on gets no answer. Only HTTP knows this.
    pub(crate) fn wants_close(&self) -> bool {
        self.http.as_ref().is_some_and(|http| http.wants_close())
    }

    /// The bytes to send next: the rest of a request already begun, then up to `new` further ones;
    /// at most [`super::SLICE_BYTES_MAX`]. What has no place in one piece in memory is put
    /// together in `scratch`.
    pub(crate) fn outgoing<'a>(
        &self,
        traffic: &'a Traffic,
        new: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        if traffic.framing.is_bare() {
            return self.requests.bare(traffic, new);
        }
        self.requests.assemble(traffic, new, scratch);
        scratch
    }

    /// Takes note that the first `taken` bytes of [`Self::outgoing`] were sent; returns how many
    /// requests began with them. The call has no effect on the others.
    pub(crate) fn took(&mut self, traffic: &Traffic, taken: usize) -> usize {
        self.requests.advance(traffic, taken).begun
    }

    /// Checks received bytes, in place, while `outstanding` requests are unanswered. Returns
    /// how many replies they complete, and the first byte that is wrong, if one is.
    pub(crate) fn came(
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
            let step = if traffic.framing.is_bare() {
                Ok(self.came_bare(traffic, rest, outstanding - completed))
            } else if let Some(http) = &mut self.http {
                Self::came_http(http, &mut self.replies, traffic, rest)
            } else {
                Ok(self.came_framed(traffic, rest))
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

    /// Forgets what was outstanding: the connection was replaced by a new one, whose first request
    /// is the next that has not been begun.
    pub(crate) fn restart(&mut self) {
        self.requests.skip_rest();
        self.replies.follow(&self.requests);
        if let Some(http) = &mut self.http {
            http.restart();
        }
    }
}

/// What some of the bytes that came turned out to be.
#[derive(Debug, Clone, Copy)]
struct Compared {
    /// So many are right,
    right: usize,
    /// so many replies ended with them,
    ended: usize,
    /// and the next one is wrong.
    is_wrong: bool,
}

impl Exchange {
    /// Compares replies that are payload and nothing else, many at a time.
    fn came_bare(&mut self, traffic: &Traffic, bytes: &[u8], outstanding: usize) -> Compared {
        let new = outstanding - usize::from(self.replies.is_inside());
        let expected = self.replies.bare(traffic, new);
        let compared = &bytes[..bytes.len().min(expected.len())];
        let right = match traffic.verify {
            Verify::Full => common_bytes(compared, expected),
            Verify::Length | Verify::None => compared.len(),
        };
        let ended = self.replies.advance(traffic, right).ended;
        Compared { right, ended, is_wrong: right < compared.len() }
    }

    /// Compares one reply whose every byte is known beforehand.
    fn came_framed(&mut self, traffic: &Traffic, bytes: &[u8]) -> Compared {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let frame = self.replies.frame(traffic, &mut buffer);
        let (start, offset) = self.replies.position();
        let right = frame.right_bytes(offset, &traffic.payload, start, bytes, traffic.verify);
        let ended = self.replies.advance(traffic, right).ended;
        Compared { right, ended, is_wrong: ended == 0 && right < bytes.len() }
    }

    /// Compares one reply that says itself how long it is.
    fn came_http(
        http: &mut ReplyDecoder,
        replies: &mut Stream,
        traffic: &Traffic,
        bytes: &[u8],
    ) -> Result<Compared, Fault> {
        let (taken, is_whole) = http.came(bytes, traffic.verify, &traffic.reference)?;
        replies.advance(traffic, taken);
        if is_whole {
            replies.end_here();
        }
        Ok(Compared { right: taken, ended: is_whole.into(), is_wrong: false })
    }

    /// The expected byte, instead of which the first of `came` came.
    fn wrong(&mut self, traffic: &Traffic, came: &[u8]) -> Mismatch {
        self.replies.enter(traffic);
        let mut buffer = HeadBuffer::default();
        let frame = self.replies.frame(traffic, &mut buffer);
        let (start, offset) = self.replies.position();
        let expected = frame.byte_at(offset, &traffic.payload, start);
        let is_in_head = offset < frame.head.len() as u64 && traffic.framing.has_text_heads();
        // What was right of it was the same as what the server said.
        let note = is_in_head.then(|| said(&[&frame.head[..offset as usize], came].concat()));
        self.mismatch(expected, came[0], note)
    }

    /// Bytes came while no reply was outstanding.
    fn unexpected(&self, traffic: &Traffic, came: &[u8]) -> Mismatch {
        let is_text = traffic.framing.has_text_heads() || traffic.framing.is_http();
        self.mismatch(None, came[0], is_text.then(|| said(came)))
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
