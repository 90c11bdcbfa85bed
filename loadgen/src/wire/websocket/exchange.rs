//! One connection's messages, and the replies to them.

use super::super::framing::Direction;
use super::super::mismatch::{Fault, Mismatch};
use super::super::payload::SLICE_BYTES_MAX;
use super::super::reply::Reply;
use super::super::stream::Stream;
use super::super::traffic::Traffic;
use super::control::{ControlFrames, close_words};
use super::expected_replies::ExpectedReplies;
use super::frame_head::Opcode;
use super::frame_reader::{Element, FrameReader};

/// One connection's position in both directions.
#[derive(Debug)]
pub(crate) struct WebSocketExchange {
    connection: u32,
    requests: Stream,
    replies: ExpectedReplies,
    reader: FrameReader,
    control: ControlFrames,
    /// What the server's close frame says, once there is one.
    closed: Option<String>,
}

impl WebSocketExchange {
    /// The beginning of connection number `connection`.
    pub(in crate::wire) fn new(traffic: &Traffic, connection: u32) -> Self {
        Self {
            connection,
            requests: Stream::new(traffic, Direction::Request, connection),
            replies: ExpectedReplies::new(traffic, connection),
            reader: FrameReader::new(),
            control: ControlFrames::default(),
            closed: None,
        }
    }

    /// Whether a request is partly sent.
    pub(in crate::wire) fn is_mid_request(&self) -> bool {
        self.requests.is_inside()
    }

    /// Whether a control frame waits to be sent.
    pub(in crate::wire) fn has_control_frames(&self) -> bool {
        !self.control.unsent().is_empty()
    }

    /// Assembles the bytes to send next: the rest of a request already begun, then control frames,
    /// and then up to `new` further requests.
    pub(in crate::wire) fn assemble(&self, traffic: &Traffic, new: usize, out: &mut Vec<u8>) {
        out.clear();
        let mut ahead = self.requests;
        if ahead.is_inside() {
            ahead.append(traffic, 0, out);
        }
        let control = self.control.unsent();
        out.extend_from_slice(&control[..control.len().min(SLICE_BYTES_MAX - out.len())]);
        ahead.append(traffic, new, out);
    }

    /// Advances by the first `sent` assembled bytes. Returns how many requests begin with them.
    pub(in crate::wire) fn advance_sent(&mut self, traffic: &Traffic, sent: usize) -> usize {
        let rest = sent.min(usize::try_from(self.requests.rest()).unwrap_or(usize::MAX));
        self.requests.advance(traffic, rest);
        let control = self.control.advance_sent(sent - rest);
        self.requests.advance(traffic, sent - rest - control).begun
    }

    /// Reads and checks received bytes while `outstanding` requests are unanswered. Calls
    /// `on_reply` for each complete reply. An error is the first byte that is wrong. Bytes behind a
    /// close frame mean nothing.
    pub(in crate::wire) fn verify_received(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
        mut on_reply: impl FnMut(Reply),
    ) -> Result<(), Mismatch> {
        let mut left = outstanding;
        let mut at = 0;
        while at < bytes.len() && self.closed.is_none() {
            match self.read(traffic, &bytes[at..], left) {
                Ok((taken, is_complete)) => {
                    at += taken;
                    if is_complete {
                        left -= 1;
                        on_reply(Reply::Right { status: None });
                    }
                }
                Err(fault) => {
                    let number = self.replies.number(self.reader.is_in_message());
                    return Err(fault.of_reply(self.connection, number));
                }
            }
        }
        Ok(())
    }

    /// Reads an element. Returns how many bytes were read, and whether a reply is complete.
    fn read(
        &mut self,
        traffic: &Traffic,
        bytes: &[u8],
        outstanding: usize,
    ) -> Result<(usize, bool), Fault> {
        let offset = self.reader.offset();
        let (taken, element) = self.reader.read(bytes)?;
        let is_complete = match element {
            None => false,
            Some(Element::Head(head)) => {
                let expected = self.replies.expect(head, traffic, outstanding);
                expected.map_err(|(at, words)| self.reader.head_fault(at, words))?;
                head.is_final && head.payload_bytes == 0
            }
            Some(Element::Payload { bytes, is_last }) => {
                self.replies.compare(bytes, traffic).map_err(|wrong| {
                    let note = format!("byte {} of the message", wrong.offset);
                    Fault::at(bytes, wrong.at, wrong.expected, note).moved_by(offset)
                })?;
                is_last
            }
            Some(Element::Control(Opcode::Ping, payload)) => {
                let answered = self.control.pong(payload, traffic.payload.key());
                answered.map_err(|words| self.reader.head_fault(0, words))?;
                false
            }
            Some(Element::Control(Opcode::Close, payload)) => {
                let words = close_words(payload);
                self.closed = Some(words.map_err(|words| self.reader.head_fault(1, words))?);
                false
            }
            // A pong that answers no ping needs no answer (RFC 6455, section 5.5.3).
            Some(Element::Control(..)) => false,
        };
        Ok((taken, is_complete))
    }

    /// What the server's close frame says, if there is one.
    pub(in crate::wire) fn take_closed(&mut self) -> Option<String> {
        self.closed.take()
    }

    /// Assembles the bytes that end the connection in order; none inside a request, of which the
    /// server would take them for a part.
    pub(in crate::wire) fn assemble_end(&mut self, traffic: &Traffic, out: &mut Vec<u8>) {
        out.clear();
        if !self.is_mid_request() {
            self.control.close(traffic.payload.key());
            out.extend_from_slice(self.control.unsent());
        }
    }

    /// Drops the unanswered requests: a new connection has replaced the old one.
    pub(in crate::wire) fn restart(&mut self) {
        self.requests.skip_rest();
        self.replies.restart(&self.requests);
        self.reader = FrameReader::new();
        self.control.clear();
        self.closed = None;
    }
}
