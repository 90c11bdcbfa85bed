//! Finds the elements and the end of each reply, in RESP or memcached's text protocol, and stores
//! nothing but lines that came in pieces.
//!
//! Sources: the specification of RESP (versions 2 and 3), and memcached's doc/protocol.txt.

use super::super::mismatch::{Fault, server_message};
use super::template::Dialect;

/// Longest line that may be received in several pieces. memcached's and Redis's have some 100
/// bytes; those of `STAT` and of simple strings have a few hundred.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Line,
    /// A block of bytes whose length a line has stated.
    Block {
        left: u64,
    },
    /// The line end behind a block, of which so many bytes were received.
    BlockEnd {
        received: usize,
    },
}

/// A piece of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// Some bytes of a block.
    Block(&'a [u8]),
}

/// What a line means for the end of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// An element, or a whole reply.
    Element,
    /// An element that is a block of so many bytes.
    Block(u64),
    /// A block of so many bytes, behind which the reply goes on.
    BlockBefore(u64),
    /// An aggregate of so many elements.
    Aggregate(u64),
    /// So many further elements that are not part of a value: attributes, out-of-band data.
    Aside(u64),
}

/// A reader of one connection's replies.
#[derive(Debug)]
pub(super) struct ReplyReader {
    dialect: Dialect,
    stage: Stage,
    /// Elements that the reply still needs.
    elements: u64,
    /// While more elements than this are needed, what is read is no part of the value.
    aside_above: u64,
    /// The beginning of a line whose end has not been received.
    line: Vec<u8>,
    /// Bytes of the reply that were read.
    offset: u64,
}

impl ReplyReader {
    /// Before the first reply.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            stage: Stage::Line,
            elements: 1,
            aside_above: u64::MAX,
            line: Vec::new(),
            offset: 0,
        }
    }

    /// Begins again, on a new connection.
    pub(super) fn restart(&mut self) {
        self.stage = Stage::Line;
        self.elements = 1;
        self.aside_above = u64::MAX;
        self.line.clear();
        self.offset = 0;
    }

    /// Reads up to the end of a reply. Calls `on_piece` for each of its pieces. Returns how many
    /// bytes belong to the reply, and whether it is complete.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut on_piece: impl FnMut(Piece<'_>) -> Result<(), String>,
    ) -> Result<(usize, bool), Fault> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let is_aside = self.elements > self.aside_above;
            let mut on_piece = |piece: Piece<'_>| if is_aside { Ok(()) } else { on_piece(piece) };
            let step = match self.stage {
                Stage::Line => self.read_line(rest, &mut on_piece)?,
                Stage::Block { left } => {
                    let step = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    on_piece(Piece::Block(&rest[..step])).map_err(|note| self.fault(rest, note))?;
                    self.stage = match left - step as u64 {
                        0 => Stage::BlockEnd { received: 0 },
                        left => Stage::Block { left },
                    };
                    step
                }
                Stage::BlockEnd { received } => self.read_block_end(rest, received)?,
            };
            taken += step;
            self.offset += step as u64;
            if self.stage == Stage::Line && self.elements == 0 {
                self.restart();
                return Ok((taken, true));
            }
        }
        Ok((taken, false))
    }

    fn read_line(
        &mut self,
        bytes: &[u8],
        on_piece: &mut impl FnMut(Piece<'_>) -> Result<(), String>,
    ) -> Result<usize, Fault> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            if self.line.len() + bytes.len() > LINE_BYTES_MAX {
                let note = format!("no end of a line within {LINE_BYTES_MAX} bytes");
                return Err(self.fault(bytes, note));
            }
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        let mut line = std::mem::take(&mut self.line);
        let whole = match line.is_empty() {
            true => &bytes[..end],
            false => {
                line.extend_from_slice(&bytes[..end]);
                &line
            }
        };
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        let meaning = match self.dialect {
            Dialect::Resp => resp_line(whole),
            Dialect::Text | Dialect::Meta => memcached_line(whole),
        };
        let meaning = meaning
            .ok_or_else(|| server_message(whole))
            .and_then(|meaning| match meaning {
                Line::Aside(_) => Ok(meaning),
                _ => on_piece(Piece::Line(whole)).map(|()| meaning),
            })
            .map_err(|note| self.fault(whole, note))?;
        // The memory stays allocated for the next line that comes in pieces.
        line.clear();
        self.line = line;
        self.meant(meaning);
        Ok(end + 1)
    }

    fn meant(&mut self, meaning: Line) {
        match meaning {
            Line::Element => self.elements -= 1,
            Line::Aggregate(count) => self.elements = (self.elements - 1).saturating_add(count),
            Line::Aside(count) => {
                self.aside_above = self.aside_above.min(self.elements);
                self.elements = self.elements.saturating_add(count);
            }
            Line::Block(length) | Line::BlockBefore(length) => {
                self.elements -= u64::from(meaning == Line::Block(length));
                self.stage = match length {
                    0 => Stage::BlockEnd { received: 0 },
                    left => Stage::Block { left },
                };
            }
        }
        self.leave_aside();
    }

    fn leave_aside(&mut self) {
        if self.elements <= self.aside_above && self.stage == Stage::Line {
            self.aside_above = u64::MAX;
        }
    }

    fn read_block_end(&mut self, bytes: &[u8], received: usize) -> Result<usize, Fault> {
        let expected = &b"\r\n"[received..];
        let step = bytes.len().min(expected.len());
        if let Some(wrong) = (0..step).find(|&at| bytes[at] != expected[at]) {
            let note = "the value is longer than its reply says".to_owned();
            let fault = Fault::at(bytes, wrong, Some(expected[wrong]), note);
            return Err(fault.moved_by(self.offset));
        }
        self.stage = match received + step {
            2 => Stage::Line,
            received => Stage::BlockEnd { received },
        };
        self.leave_aside();
        Ok(step)
    }

    /// The first of these bytes makes the reply useless.
    fn fault(&self, bytes: &[u8], note: String) -> Fault {
        Fault::at(bytes, 0, None, note).moved_by(self.offset)
    }
}

/// The number behind the first byte of a line. `Some(None)` is RESP2's null: minus one.
fn resp_number(line: &[u8]) -> Option<Option<u64>> {
    if line.get(1..) == Some(b"-1") {
        return Some(None);
    }
    decimal(line.get(1..)?).map(Some)
}

/// A number in decimal digits, nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add)).flatten()
}

fn resp_line(line: &[u8]) -> Option<Line> {
    match line.first()? {
        b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => Some(Line::Element),
        b'$' | b'=' | b'!' => Some(match resp_number(line)? {
            Some(length) => Line::Block(length),
            None => Line::Element,
        }),
        b'*' | b'~' => Some(match resp_number(line)? {
            Some(count) => Line::Aggregate(count),
            None => Line::Element,
        }),
        b'%' => Some(Line::Aggregate(resp_number(line)??.checked_mul(2)?)),
        b'|' => Some(Line::Aside(resp_number(line)??.checked_mul(2)?)),
        b'>' => Some(Line::Aside(resp_number(line)??)),
        _ => None,
    }
}

/// A line of memcached. Behind the block of `VALUE`, and behind `STAT` and `ITEM`, more lines
/// follow, the last of which is `END`.
fn memcached_line(line: &[u8]) -> Option<Line> {
    let mut words = line.split(|&byte| byte == b' ');
    match words.next()? {
        b"VALUE" => decimal(words.nth(2)?).map(Line::BlockBefore),
        b"STAT" | b"ITEM" => Some(Line::Aside(0)),
        b"VA" => decimal(words.next()?).map(Line::Block),
        b"" => None,
        _ => Some(Line::Element),
    }
}
