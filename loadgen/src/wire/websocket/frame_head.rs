//! The head of a frame (RFC 6455, section 5.2).

use super::super::mismatch::Fault;

/// The longest head of a frame without a mask.
pub(super) const HEAD_BYTES_MAX: usize = 10;

/// The longest payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// The bits of the first byte.
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;

/// The bit of the second byte that announces a mask.
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether such a frame is no part of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Whether it ends its message.
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) payload_bytes: u64,
}

impl FrameHead {
    /// Reads the head that `bytes` begin with. Returns its length and its meaning, or nothing if
    /// its end has not been received.
    ///
    /// # Errors
    ///
    /// The first byte that a server must not send.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(usize, Self)>, Fault> {
        let wrong = |at: usize, note: &str| Err(Fault::at(bytes, at, None, note.to_owned()));
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return wrong(0, "a frame with reserved bits, and no extension was agreed on");
        }
        let Some(opcode) = Opcode::of(first & 0xf) else {
            return wrong(0, &format!("a frame with the unknown opcode {}", first & 0xf));
        };
        let is_final = first & FINAL != 0;
        if opcode.is_control() && !is_final {
            return wrong(0, "a control frame in fragments");
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & MASKED != 0 {
            return wrong(1, "a masked frame; a server must not mask");
        }
        if opcode.is_control() && usize::from(second) > CONTROL_BYTES_MAX {
            return wrong(1, "a control frame of more than 125 bytes");
        }
        let Some((head_bytes, payload_bytes)) = length(bytes, second)? else { return Ok(None) };
        Ok(Some((head_bytes, Self { is_final, opcode, payload_bytes })))
    }
}

/// The length of a head, and that of its payload; `second` is the head's second byte.
fn length(bytes: &[u8], second: u8) -> Result<Option<(usize, u64)>, Fault> {
    let rest = &bytes[2..];
    let (head_bytes, payload_bytes, least) = match second {
        126 => {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            (4, u64::from(u16::from_be_bytes(*length)), 126)
        }
        127 => {
            if rest.first().is_some_and(|highest| highest & 0x80 != 0) {
                let note = "a frame with a length of 2^63 bytes or more".to_owned();
                return Err(Fault::at(bytes, 2, None, note));
            }
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            (10, u64::from_be_bytes(*length), 1 << 16)
        }
        short => (2, u64::from(short), 0),
    };
    if payload_bytes < least {
        let note = format!("a frame whose length, {payload_bytes}, is not in the shortest form");
        return Err(Fault::at(bytes, 1, None, note));
    }
    Ok(Some((head_bytes, payload_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn head(bytes: &[u8]) -> (usize, FrameHead) {
        for cut in 0..bytes.len() {
            assert_eq!(FrameHead::read(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
        FrameHead::read(bytes).unwrap().unwrap()
    }

    #[test]
    fn lengths_have_seven_sixteen_and_sixty_four_bits() {
        let of = |bytes: &[u8]| {
            let (length, head) = head(bytes);
            assert_eq!(length, bytes.len());
            head.payload_bytes
        };
        assert_eq!(of(&[0x82, 0]), 0);
        assert_eq!(of(&[0x82, 125]), 125);
        assert_eq!(of(&[0x82, 126, 0, 126]), 126);
        assert_eq!(of(&[0x82, 126, 0xff, 0xff]), 65_535);
        assert_eq!(of(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), 65_536);
        assert_eq!(of(&[0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0]), 0x7f << 56);
    }

    #[test]
    fn the_first_byte_says_what_a_frame_is() {
        let of = |first: u8| head(&[first, 1]).1;
        let frame = |is_final, opcode| FrameHead { is_final, opcode, payload_bytes: 1 };
        assert_eq!(of(0x00), frame(false, Opcode::Continuation));
        assert_eq!(of(0x01), frame(false, Opcode::Text));
        assert_eq!(of(0x82), frame(true, Opcode::Binary));
        assert_eq!(of(0x88), frame(true, Opcode::Close));
        assert_eq!(of(0x89), frame(true, Opcode::Ping));
        assert_eq!(of(0x8a), frame(true, Opcode::Pong));
    }

    #[test]
    fn what_a_server_must_not_send_is_named_at_its_byte() {
        for (bytes, at, said) in [
            (&[0xc2][..], 0, "reserved bits"),
            (&[0xa2], 0, "reserved bits"),
            (&[0x92], 0, "reserved bits"),
            (&[0x83], 0, "unknown opcode 3"),
            (&[0x8b], 0, "unknown opcode 11"),
            (&[0x08], 0, "control frame in fragments"),
            (&[0x82, 0x80], 1, "a server must not mask"),
            (&[0x89, 126], 1, "more than 125 bytes"),
            (&[0x89, 127], 1, "more than 125 bytes"),
            (&[0x82, 126, 0, 125], 1, "125, is not in the shortest form"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1, "65535, is not in the shortest form"),
            (&[0x82, 127, 0x80], 2, "2^63 bytes or more"),
        ] {
            let fault = FrameHead::read(bytes).unwrap_err();
            assert_eq!((fault.offset_bytes, fault.got), (at, bytes[at as usize]), "{bytes:x?}");
            let note = fault.note.unwrap();
            assert!(note.contains(said), "{bytes:x?}: {note}");
        }
    }
}
