//! Parses the replies of one connection as they are received, and checks status and body.

use super::super::mismatch::{Fault, common_bytes, server_message};
use super::super::spec::Verify;
use super::body_check::{BodyCheck, References};
use super::body_expectation::{BodyExpectation, ExpectationCheck};
use super::head::{BodyEnd, Head};
use super::quote::{Quote, Words};
use super::statuses::ExpectedStatuses;

/// Longest head, or line between chunks, that may be received in several pieces.
const ELEMENT_BYTES_MAX: usize = 64 * 1024;

/// Longest head that is remembered.
const KNOWN_HEAD_BYTES_MAX: usize = 1024;

/// Offset of the status code in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;

/// Most interim replies (100 Continue, 103 Early Hints) before a reply. A server sends one or two.
const INTERIM_MAX: u32 = 64;

/// Most bytes of all trailers behind a chunked body.
const TRAILERS_BYTES_MAX: u64 = 64 * 1024;

/// What the reply to a request must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Whether the reply has no body, whatever its head says.
    pub(super) is_head: bool,
    /// What is compared of the body, with that of the first reply.
    pub(super) verify: Verify,
    pub(super) expected: &'a ExpectedStatuses,
    pub(super) references: &'a References,
    /// What the body must be.
    pub(super) expect_body: &'a BodyExpectation,
}

/// The element of a reply that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expecting {
    Head,
    Body { left: u64 },
    ChunkLine,
    Chunk { left: u64 },
    ChunkEnd,
    Trailer { begins_at: u64 },
    BodyUntilClose { last: u8 },
}

/// A complete reply, and what is wrong with it.
#[derive(Debug)]
pub(super) enum DecodedReply {
    Right { status: u16 },
    Unexpected { status: u16, words: Option<Words> },
    BodyChanged { status: u16, change: Fault },
}

/// A parser of replies. It stores only heads and lines between chunks that are incomplete.
#[derive(Debug)]
pub(super) struct ReplyDecoder {
    stage: Expecting,
    /// Offset in the reply of the element that is being received.
    offset: u64,
    /// The beginning of a head or a line whose end has not been received.
    pending: Vec<u8>,
    known: KnownHead,
    body: BodyCheck,
    expectation: Box<ExpectationCheck>,
    /// What is wrong with a body that is not the expected one.
    unexpected_body: Option<Fault>,
    /// Interim replies before the reply that is being received.
    interim: u32,
    /// Whether the status of the reply that is being received is an expected one.
    is_expected: bool,
    /// The words of the connection's first reply with an unexpected status.
    quote: Quote,
    /// Whether the server closes the connection after the reply that is being received.
    closes: bool,
    /// Whether the server closes the connection after a reply that is complete.
    wants_close: bool,
}

impl ReplyDecoder {
    /// The beginning of connection number `connection`.
    pub(super) fn new(connection: u32) -> Self {
        Self {
            stage: Expecting::Head,
            offset: 0,
            pending: Vec::new(),
            known: KnownHead::default(),
            body: BodyCheck::new(connection),
            expectation: Box::new(ExpectationCheck::new()),
            unexpected_body: None,
            interim: 0,
            is_expected: true,
            quote: Quote::default(),
            closes: false,
            wants_close: false,
        }
    }

    /// Whether a complete reply has announced the end of the connection.
    pub(super) fn wants_close(&self) -> bool {
        self.wants_close
    }

    /// Begins again, on a new connection.
    pub(super) fn restart(&mut self) {
        self.begin();
        self.expectation.restart();
        self.unexpected_body = None;
        self.pending = Vec::new();
        self.wants_close = false;
    }

    /// Parses and compares received bytes, up to the end of a reply. Returns how many bytes
    /// belong to the reply, and the reply once it is complete.
    pub(super) fn verify_received(
        &mut self,
        bytes: &[u8],
        rules: &Rules<'_>,
    ) -> Result<(usize, Option<DecodedReply>), Fault> {
        let mut taken = 0;
        while taken < bytes.len() {
            // A byte that is missing in a body may show only in the framing behind it.
            let step = self.step(&bytes[taken..], rules);
            let (step, is_whole) =
                step.map_err(|fault| self.body.take_change().unwrap_or(fault))?;
            taken += step;
            if is_whole {
                return Ok((taken, Some(self.complete())));
            }
        }
        Ok((taken, None))
    }

    /// The reply that ends because the server has ended the connection, if one may end so.
    pub(super) fn end_of_stream(&mut self, rules: &Rules<'_>) -> Option<DecodedReply> {
        let Expecting::BodyUntilClose { last } = self.stage else { return None };
        self.end_body(last, self.offset - 1, rules);
        Some(self.complete())
    }

    /// The reply that is complete now. The next one begins.
    fn complete(&mut self) -> DecodedReply {
        let reply = self.decoded();
        self.wants_close |= self.closes;
        self.begin();
        reply
    }

    /// Parses what it can of one element. Returns how many bytes that were, and whether they
    /// complete the reply.
    fn step(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<(usize, bool), Fault> {
        match self.stage {
            Expecting::Head => self.head(bytes, rules),
            Expecting::Body { left } => Ok(self.body(bytes, left, rules)),
            Expecting::ChunkLine => self.chunk_line(bytes, rules),
            Expecting::Chunk { left } => Ok(self.chunk(bytes, left, rules)),
            Expecting::ChunkEnd => {
                let (step, end) = self.element(bytes, chunk_end)?;
                if end.is_some() {
                    self.stage = Expecting::ChunkLine;
                }
                Ok((step, false))
            }
            Expecting::Trailer { begins_at } => {
                let (step, is_last) = self.element(bytes, trailer_line)?;
                if self.offset - begins_at > TRAILERS_BYTES_MAX {
                    let note = format!("more than {TRAILERS_BYTES_MAX} bytes of trailers");
                    let before = self.offset - step as u64;
                    return Err(Fault::at(bytes, 0, None, note).moved_by(before));
                }
                Ok((step, is_last == Some(true)))
            }
            Expecting::BodyUntilClose { .. } => {
                let taken = self.content(bytes, u64::MAX, rules);
                self.stage = Expecting::BodyUntilClose { last: bytes[taken - 1] };
                Ok((taken, false))
            }
        }
    }

    /// The reply that is complete now.
    fn decoded(&mut self) -> DecodedReply {
        let status = self.body.status();
        if !self.is_expected {
            return DecodedReply::Unexpected { status, words: self.quote.take() };
        }
        match self.body.take_change().or_else(|| self.unexpected_body.take()) {
            None => DecodedReply::Right { status },
            Some(change) => DecodedReply::BodyChanged { status, change },
        }
    }

    fn begin(&mut self) {
        self.stage = Expecting::Head;
        self.offset = 0;
        self.interim = 0;
        self.body.begin(0, Verify::None);
        self.quote.restart();
        self.closes = false;
    }

    fn head(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<(usize, bool), Fault> {
        let (taken, head) = match self.known.at_the_beginning_of(bytes) {
            Some((length, head)) if self.pending.is_empty() => {
                self.offset += length as u64;
                (length, Some(head))
            }
            _ => {
                let mut known = std::mem::take(&mut self.known);
                let mut quote = std::mem::take(&mut self.quote);
                let read =
                    self.element(bytes, |bytes| read_head(bytes, rules, &mut known, &mut quote));
                (self.known, self.quote) = (known, quote);
                read?
            }
        };
        let Some(head) = head else { return Ok((taken, false)) };
        if head.is_interim() {
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                let note = format!("more than {INTERIM_MAX} interim replies to one request");
                let before = self.offset - taken as u64;
                return Err(Fault::at(bytes, 0, None, note).moved_by(before));
            }
            return Ok((taken, false));
        }
        self.closes = head.closes;
        self.is_expected = rules.expected.contains(head.status);
        // The body of an unexpected reply is an error page, which no other one need equal.
        self.body.begin(head.status, if self.is_expected { rules.verify } else { Verify::None });
        match head.body {
            _ if rules.is_head => self.stage = Expecting::Body { left: 0 },
            BodyEnd::Chunks => self.stage = Expecting::ChunkLine,
            BodyEnd::Length(left) => self.stage = Expecting::Body { left },
            BodyEnd::UntilClose => {
                self.closes = true;
                self.stage = Expecting::BodyUntilClose { last: bytes[taken - 1] };
            }
        }
        let is_whole = self.stage == Expecting::Body { left: 0 };
        if is_whole {
            self.end_body(bytes[taken - 1], self.offset - 1, rules);
        }
        Ok((taken, is_whole))
    }

    fn body(&mut self, bytes: &[u8], left: u64, rules: &Rules<'_>) -> (usize, bool) {
        let taken = self.content(bytes, left, rules);
        let left = left - taken as u64;
        self.stage = Expecting::Body { left };
        if left == 0 {
            self.end_body(bytes[taken - 1], self.offset - 1, rules);
        }
        (taken, left == 0)
    }

    fn chunk_line(&mut self, bytes: &[u8], rules: &Rules<'_>) -> Result<(usize, bool), Fault> {
        let begins_at = self.offset;
        let (taken, size) = self.element(bytes, size_line)?;
        match size {
            None => {}
            Some(0) => {
                self.end_body(b'0', begins_at, rules);
                self.stage = Expecting::Trailer { begins_at: self.offset };
            }
            Some(left) => self.stage = Expecting::Chunk { left },
        }
        Ok((taken, false))
    }

    fn chunk(&mut self, bytes: &[u8], left: u64, rules: &Rules<'_>) -> (usize, bool) {
        let taken = self.content(bytes, left, rules);
        self.stage = match left - taken as u64 {
            0 => Expecting::ChunkEnd,
            left => Expecting::Chunk { left },
        };
        (taken, false)
    }

    /// Compares up to `left` bytes of the body; returns how many.
    fn content(&mut self, bytes: &[u8], left: u64, rules: &Rules<'_>) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.body.receive(&bytes[..taken], self.offset, rules.references);
        if *rules.expect_body != BodyExpectation::None && self.is_expected {
            self.expectation.receive(&bytes[..taken], rules.expect_body);
        }
        self.quote.body(&bytes[..taken]);
        self.offset += taken as u64;
        taken
    }

    /// Checks the body, which is complete. `last` is the byte that ended it, `offset` bytes into
    /// the reply.
    fn end_body(&mut self, last: u8, offset: u64, rules: &Rules<'_>) {
        self.body.end(last, offset, rules.references);
        if *rules.expect_body != BodyExpectation::None && self.is_expected {
            self.unexpected_body = self.expectation.end(last, offset, rules.expect_body);
        }
    }

    /// Parses an element that must be complete, and joins its pieces in `pending`.
    ///
    /// `read` receives the beginning of the element. It returns the length and the meaning of the
    /// element, or nothing if it needs more bytes. This function returns how many of `bytes`
    /// belong to the element, and its meaning once it is complete.
    fn element<T>(
        &mut self,
        bytes: &[u8],
        mut read: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, Fault>,
    ) -> Result<(usize, Option<T>), Fault> {
        let held = self.pending.len();
        let offset = self.offset;
        let moved = |fault: Fault| fault.moved_by(offset);
        let element = if held == 0 {
            read(bytes).map_err(moved)?
        } else {
            let room = ELEMENT_BYTES_MAX - held;
            self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
            read(&self.pending).map_err(moved)?
        };
        if let Some((length, meaning)) = element {
            // Elements in pieces are rare, so the buffer does not stay allocated between them.
            self.pending = Vec::new();
            self.offset += length as u64;
            return Ok((length - held, Some(meaning)));
        }
        if held == 0 {
            self.pending.extend_from_slice(&bytes[..bytes.len().min(ELEMENT_BYTES_MAX)]);
        }
        if self.pending.len() < ELEMENT_BYTES_MAX {
            return Ok((bytes.len(), None));
        }
        let note = format!("no end of a head within {ELEMENT_BYTES_MAX} bytes");
        Err(Fault::at(&self.pending, ELEMENT_BYTES_MAX - 1, None, note).moved_by(self.offset))
    }
}

/// Parses a head. Remembers it if its status is expected, and quotes it if not.
fn read_head(
    bytes: &[u8],
    rules: &Rules<'_>,
    known: &mut KnownHead,
    quote: &mut Quote,
) -> Result<Option<(usize, Head)>, Fault> {
    let Some((length, head)) = Head::read(bytes)? else { return Ok(None) };
    // After 101 another protocol follows.
    if head.status == 101 {
        return Err(Fault::at(bytes, STATUS_AT, Some(b'2'), server_message(bytes)));
    }
    if rules.expected.contains(head.status) {
        known.remember(&bytes[..length], head);
    } else if !head.is_interim() {
        quote.head(&bytes[..length]);
    }
    Ok(Some((length, head)))
}

/// The last expected head and its meaning, so that the same bytes are parsed only once. In the
/// heads of most servers only the date changes, once a second.
#[derive(Debug, Default)]
struct KnownHead {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl KnownHead {
    fn at_the_beginning_of(&self, bytes: &[u8]) -> Option<(usize, Head)> {
        let head = self.head.filter(|_| bytes.starts_with(&self.bytes))?;
        Some((self.bytes.len(), head))
    }

    fn remember(&mut self, bytes: &[u8], head: Head) {
        self.head = (bytes.len() <= KNOWN_HEAD_BYTES_MAX).then_some(head);
        if self.head.is_some() {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// Parses the line before a chunk: the length of the line, and that of the chunk.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Fault> {
    // The parser reads a line without any digit as a zero.
    if bytes.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(Fault::at(bytes, 0, None, "no length of a chunk".to_owned()));
    }
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete(line)) => Ok(Some(line)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Fault::search(bytes, "no length of a chunk".to_owned(), |beginning| {
            httparse::parse_chunk_size(beginning).is_err()
        })),
    }
}

/// Parses the line end behind a chunk.
fn chunk_end(bytes: &[u8]) -> Result<Option<(usize, ())>, Fault> {
    let expected = b"\r\n";
    let received = &bytes[..bytes.len().min(expected.len())];
    let right = common_bytes(received, expected);
    if right < received.len() {
        let note = "the chunk is longer than its line says".to_owned();
        return Err(Fault::at(bytes, right, Some(expected[right]), note));
    }
    Ok((right == expected.len()).then_some((right, ())))
}

/// Parses a line behind the last chunk: its length, and whether it is the last one.
fn trailer_line(bytes: &[u8]) -> Result<Option<(usize, bool)>, Fault> {
    let note = || "no trailer of a chunked body".to_owned();
    let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match bytes[at..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some((at + 2, at == 0))),
        [b'\r', ..] => Err(Fault::at(bytes, at + 1, Some(b'\n'), note())),
        _ => Err(Fault::at(bytes, at, Some(b'\r'), note())),
    }
}
