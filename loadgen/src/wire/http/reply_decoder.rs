//! The state of a connection in its replies, and the reply that all must be like.

use std::sync::OnceLock;

use super::super::frame::common_bytes;
use super::super::mismatch::said;
use super::super::traffic::Verify;
use super::body_check::{Body, Rules};
use super::head::{BodyEnd, Head};

/// Most bytes of a head, or of a line between chunks, that are read in several pieces.
const ELEMENT_BYTES_MAX: usize = 64 * 1024;

/// Longest head that is remembered.
const KNOWN_HEAD_BYTES_MAX: usize = 1024;

/// Where the code begins in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;

/// Why a reply without a length cannot be measured.
const UNSAID: &str = "the reply has neither a Content-Length nor chunks, so only the end of the \
                      connection ends it; that is not supported";

/// The next element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expecting {
    Head,
    Body { left: u64 },
    ChunkLine,
    Chunk { left: u64 },
    ChunkEnd,
    Trailer,
}

/// Parses replies. It stores no body, and of a head only what has come in pieces.
#[derive(Debug)]
pub(in crate::wire) struct ReplyDecoder {
    stage: Expecting,
    /// Where in the reply that begins which comes next.
    offset: u64,
    /// The beginning of a head or a line whose end has not come.
    pending: Vec<u8>,
    known: KnownHead,
    body: Body,
    /// Whether the server closes after the reply that is coming, and after one that came.
    closes: bool,
    wants_close: bool,
}

impl ReplyDecoder {
    /// The beginning of connection number `connection`.
    pub(in crate::wire) fn new(connection: u32) -> Self {
        Self {
            stage: Expecting::Head,
            offset: 0,
            pending: Vec::new(),
            known: KnownHead::default(),
            body: Body::new(connection),
            closes: false,
            wants_close: false,
        }
    }

    /// Whether a complete reply has announced the end of the connection.
    pub(in crate::wire) fn wants_close(&self) -> bool {
        self.wants_close
    }

    /// Begins again, on a new connection.
    pub(in crate::wire) fn restart(&mut self) {
        self.begin();
        self.pending = Vec::new();
        self.wants_close = false;
    }

    /// Takes bytes up to the end of a reply at most; returns how many, and whether it is complete.
    pub(in crate::wire) fn came(
        &mut self,
        bytes: &[u8],
        verify: Verify,
        reference: &Reference,
    ) -> Result<(usize, bool), Fault> {
        let rules = Rules { verify, reference };
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let (step, is_whole) = match self.stage {
                Expecting::Head => self.head(rest, rules)?,
                Expecting::Body { left } => self.body(rest, left, rules)?,
                Expecting::ChunkLine => self.chunk_line(rest, rules)?,
                Expecting::Chunk { left } => self.chunk(rest, left, rules)?,
                Expecting::ChunkEnd => {
                    let (step, end) = self.element(rest, chunk_end)?;
                    if end.is_some() {
                        self.stage = Expecting::ChunkLine;
                    }
                    (step, false)
                }
                Expecting::Trailer => {
                    let (step, is_last) = self.element(rest, trailer_line)?;
                    (step, is_last == Some(true))
                }
            };
            taken += step;
            if is_whole {
                self.wants_close |= self.closes;
                self.begin();
                return Ok((taken, true));
            }
        }
        Ok((taken, false))
    }

    fn begin(&mut self) {
        self.stage = Expecting::Head;
        self.offset = 0;
        self.body.clear();
        self.closes = false;
    }

    fn head(&mut self, bytes: &[u8], rules: Rules<'_>) -> Result<(usize, bool), Fault> {
        let (taken, head) = match self.known.at_the_beginning_of(bytes) {
            Some((length, head)) if self.pending.is_empty() => {
                self.offset += length as u64;
                (length, Some(head))
            }
            _ => {
                let mut known = std::mem::take(&mut self.known);
                let read = self.element(bytes, |bytes| read_head(bytes, rules, &mut known));
                self.known = known;
                read?
            }
        };
        let Some(head) = head.filter(|head| !head.is_interim()) else {
            return Ok((taken, false));
        };
        self.closes = head.closes;
        match head.body {
            BodyEnd::Chunks => self.stage = Expecting::ChunkLine,
            BodyEnd::Length(0) => {
                self.body.end(bytes[taken - 1], self.offset - 1, rules)?;
                return Ok((taken, true));
            }
            BodyEnd::Length(left) => self.stage = Expecting::Body { left },
            BodyEnd::Unsaid => {
                return Err(Fault {
                    offset_bytes: self.offset - 1,
                    expected: None,
                    got: bytes[taken - 1],
                    note: Some(UNSAID.to_owned()),
                });
            }
        }
        Ok((taken, false))
    }

    fn body(&mut self, bytes: &[u8], left: u64, rules: Rules<'_>) -> Result<(usize, bool), Fault> {
        let taken = self.content(bytes, left, rules)?;
        let left = left - taken as u64;
        self.stage = Expecting::Body { left };
        if left > 0 {
            return Ok((taken, false));
        }
        self.body.end(bytes[taken - 1], self.offset - 1, rules)?;
        Ok((taken, true))
    }

    fn chunk_line(&mut self, bytes: &[u8], rules: Rules<'_>) -> Result<(usize, bool), Fault> {
        let begins_at = self.offset;
        let (taken, size) = self.element(bytes, size_line)?;
        match size {
            None => {}
            Some(0) => {
                self.body.end(b'0', begins_at, rules)?;
                self.stage = Expecting::Trailer;
            }
            Some(left) => self.stage = Expecting::Chunk { left },
        }
        Ok((taken, false))
    }

    fn chunk(&mut self, bytes: &[u8], left: u64, rules: Rules<'_>) -> Result<(usize, bool), Fault> {
        let taken = self.content(bytes, left, rules)?;
        self.stage = match left - taken as u64 {
            0 => Expecting::ChunkEnd,
            left => Expecting::Chunk { left },
        };
        Ok((taken, false))
    }

    /// Takes up to `left` bytes of the body; returns how many.
    fn content(&mut self, bytes: &[u8], left: u64, rules: Rules<'_>) -> Result<usize, Fault> {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.body.came(&bytes[..taken], self.offset, rules)?;
        self.offset += taken as u64;
        Ok(taken)
    }

    /// Reads what makes sense only as a whole, putting it together if it comes in pieces. `read`
    /// is given its beginning and says how long it is and what it means, or nothing if it needs
    /// more. Returns how many of `bytes` it took, and what it means once it is whole.
    fn element<T>(
        &mut self,
        bytes: &[u8],
        mut read: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, Fault>,
    ) -> Result<(usize, Option<T>), Fault> {
        let held = self.pending.len();
        let offset = self.offset;
        let behind = |fault: Fault| fault.behind(offset);
        let element = if held == 0 {
            read(bytes).map_err(behind)?
        } else {
            let room = ELEMENT_BYTES_MAX - held;
            self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
            read(&self.pending).map_err(behind)?
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
        Err(Fault::at(&self.pending, ELEMENT_BYTES_MAX - 1, None, note).behind(self.offset))
    }
}

/// Reads a head, refuses what `rules` do not allow, and remembers it.
fn read_head(
    bytes: &[u8],
    rules: Rules<'_>,
    known: &mut KnownHead,
) -> Result<Option<(usize, Head)>, Fault> {
    let Some((length, head)) = Head::read(bytes)? else { return Ok(None) };
    let is_success = (200..400).contains(&head.status);
    // After 101 another protocol follows.
    if head.status == 101 || !(is_success || head.is_interim() || rules.verify == Verify::None) {
        return Err(Fault::at(bytes, STATUS_AT, Some(b'2'), said(bytes)));
    }
    known.remember(&bytes[..length], head);
    Ok(Some((length, head)))
}

/// The last head, so that the same bytes need not be taken apart again: from most servers only
/// the date changes, once a second.
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

/// Reads the line before a chunk: its length, and that of the chunk.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Fault> {
    // The parser takes a line without any digit for a zero.
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

/// Reads the end of a chunk, which says nothing.
fn chunk_end(bytes: &[u8]) -> Result<Option<(usize, ())>, Fault> {
    let expected = b"\r\n";
    let came = &bytes[..bytes.len().min(expected.len())];
    let right = common_bytes(came, expected);
    if right < came.len() {
        let note = "the chunk is longer than its line says".to_owned();
        return Err(Fault::at(bytes, right, Some(expected[right]), note));
    }
    Ok((right == expected.len()).then_some((right, ())))
}

/// Reads a line behind the last chunk: its length, and whether it is the last one.
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

/// Where a reply is not what it must be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wire) struct Fault {
    /// Offset of the byte, in what is being read; in the whole reply once it leaves the decoder.
    pub(in crate::wire) offset_bytes: u64,
    /// The expected byte, if only one is right.
    pub(in crate::wire) expected: Option<u8>,
    pub(in crate::wire) got: u8,
    pub(in crate::wire) note: Option<String>,
}

impl Fault {
    /// Byte number `offset` of `bytes` is wrong.
    pub(super) fn at(bytes: &[u8], offset: usize, expected: Option<u8>, note: String) -> Self {
        let got = bytes.get(offset).copied().unwrap_or_default();
        Self { offset_bytes: offset as u64, expected, got, note: Some(note) }
    }

    /// The first byte with which `bytes`, which are wrong, cannot be made right any more by what
    /// follows: `is_wrong` says so of a beginning, and then of all longer ones.
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

    /// The same, `before` bytes further into the reply.
    pub(super) fn behind(mut self, before: u64) -> Self {
        self.offset_bytes += before;
        self
    }
}

/// Most bytes of it that are stored and compared; the rest is only counted.
pub(super) const STORED_BYTES_MAX: usize = 1 << 20;

/// Until a reply is complete, only so many connections (those with the lowest numbers) store the
/// bodies they receive, so that ten thousand of them do not store a mebibyte each. The others' very
/// first replies are compared from their position when the body becomes known.
const LEARNERS: u32 = 64;

/// The body: written once, read without a lock by all threads.
#[derive(Debug, Default)]
pub(in crate::wire) struct Reference(OnceLock<Learned>);

/// The body.
#[derive(Debug)]
pub(super) struct Learned {
    /// Its length.
    pub(super) length: u64,
    /// Its beginning, [`STORED_BYTES_MAX`] at most; nothing where lengths are all that counts.
    pub(super) bytes: Vec<u8>,
}

impl Reference {
    /// Whether connection number `connection` stores bodies while there is no reference yet.
    pub(super) fn is_learner(connection: u32) -> bool {
        connection < LEARNERS
    }

    /// The body, if it is known.
    pub(super) fn get(&self) -> Option<&Learned> {
        self.0.get()
    }

    /// The body; if it is not known yet, it is this from now on.
    pub(super) fn learn(&self, length: u64, bytes: Vec<u8>) -> &Learned {
        self.0.get_or_init(|| Learned { length, bytes })
    }
}
