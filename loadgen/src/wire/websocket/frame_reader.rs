//! Finds the frames of a server, and the messages that they make, in bytes that may be cut
//! anywhere. It stores incomplete heads and control frames, and no other payload.

use super::super::mismatch::Fault;
use super::frame_head::{CONTROL_BYTES_MAX, FrameHead, HEAD_BYTES_MAX, Opcode};

/// What has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// The head of a frame of a message. Without a payload, a final one ends its message.
    Head(FrameHead),
    /// Some bytes of a message, and whether they are its last.
    Payload { bytes: &'a [u8], is_last: bool },
    /// A whole control frame, with its payload.
    Control(Opcode, &'a [u8]),
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Payload { left: u64, is_final: bool },
    Control { opcode: Opcode, bytes: usize },
}

/// A reader of one connection's frames.
#[derive(Debug)]
pub(super) struct FrameReader {
    stage: Stage,
    /// The latest head.
    head: [u8; HEAD_BYTES_MAX],
    /// How many bytes of an incomplete head have been received.
    head_bytes: usize,
    /// The payload of a control frame that is not complete.
    control: [u8; CONTROL_BYTES_MAX],
    control_bytes: usize,
    /// Whether a message has begun, and not ended.
    is_in_message: bool,
    /// Bytes that were read since the end of the message before, control frames included.
    offset: u64,
    /// The same, at the beginning of the latest head.
    head_offset: u64,
}

impl FrameReader {
    /// Before the first frame.
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Head,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            control: [0; CONTROL_BYTES_MAX],
            control_bytes: 0,
            is_in_message: false,
            offset: 0,
            head_offset: 0,
        }
    }

    /// Whether a message has begun, and not ended.
    pub(super) fn is_in_message(&self) -> bool {
        self.is_in_message
    }

    /// Bytes that were read since the end of the message before.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Byte number `at` of the latest head is wrong.
    pub(super) fn head_fault(&self, at: usize, note: String) -> Fault {
        Fault::at(&self.head, at, None, note).moved_by(self.head_offset)
    }

    /// Reads up to the end of an element. Returns how many bytes were read, which is at least one
    /// if there is one, and the element, if it is complete.
    pub(super) fn read<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> Result<(usize, Option<Element<'a>>), Fault> {
        match self.stage {
            Stage::Head => self.read_head(bytes),
            Stage::Payload { left, is_final } => {
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                let is_last = left == 0 && is_final;
                self.offset += taken as u64;
                self.stage = match left {
                    0 => Stage::Head,
                    left => Stage::Payload { left, is_final },
                };
                if is_last {
                    self.end_message();
                }
                Ok((taken, Some(Element::Payload { bytes: &bytes[..taken], is_last })))
            }
            Stage::Control { opcode, bytes: length } => {
                let taken = bytes.len().min(length - self.control_bytes);
                self.control[self.control_bytes..self.control_bytes + taken]
                    .copy_from_slice(&bytes[..taken]);
                self.control_bytes += taken;
                self.offset += taken as u64;
                if self.control_bytes < length {
                    return Ok((taken, None));
                }
                self.stage = Stage::Head;
                Ok((taken, Some(Element::Control(opcode, &self.control[..length]))))
            }
        }
    }

    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Option<Element<'a>>), Fault> {
        let begun = self.head_bytes;
        if begun == 0 {
            self.head_offset = self.offset;
        }
        let copied = bytes.len().min(HEAD_BYTES_MAX - begun);
        self.head[begun..begun + copied].copy_from_slice(&bytes[..copied]);
        let read = FrameHead::read(&self.head[..begun + copied]);
        let Some((head_bytes, head)) = read.map_err(|fault| fault.moved_by(self.head_offset))?
        else {
            self.head_bytes = begun + copied;
            self.offset += copied as u64;
            return Ok((copied, None));
        };
        let taken = head_bytes - begun;
        self.head_bytes = 0;
        self.offset += taken as u64;
        let FrameHead { is_final, opcode, payload_bytes } = head;
        if opcode.is_control() {
            self.control_bytes = 0;
            if payload_bytes == 0 {
                return Ok((taken, Some(Element::Control(opcode, &[]))));
            }
            self.stage = Stage::Control { opcode, bytes: payload_bytes as usize };
            return Ok((taken, None));
        }
        match (opcode == Opcode::Continuation, self.is_in_message) {
            (true, false) => {
                let note = "a frame that continues a message, and none was begun";
                return Err(self.head_fault(0, note.to_owned()));
            }
            (false, true) => {
                let note = "a frame that begins a message before the end of the one before";
                return Err(self.head_fault(0, note.to_owned()));
            }
            _ => self.is_in_message = true,
        }
        match payload_bytes {
            0 if is_final => self.end_message(),
            0 => {}
            left => self.stage = Stage::Payload { left, is_final },
        }
        Ok((taken, Some(Element::Head(head))))
    }

    fn end_message(&mut self) {
        self.is_in_message = false;
        self.offset = 0;
    }
}
