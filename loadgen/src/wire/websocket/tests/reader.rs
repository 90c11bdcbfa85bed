//! The reader of frames against a naive one, which has all bytes at once.

use proptest::prelude::*;

use super::super::frame_reader::{Element, FrameReader};
use crate::wire::tests::websocket_head;

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Frame {
        first: u8,
        length: u64,
    },
    /// All payload that follows each other.
    Payload(Vec<u8>),
    Control(u8, Vec<u8>),
    EndOfMessage,
    /// The byte at this offset is wrong.
    Fault(usize),
}

/// Reads a stream from the definition of frames, with nothing stored between two of them.
fn naive(stream: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut at, mut is_in_message) = (0, false);
    while at < stream.len() {
        let frame = &stream[at..];
        let first = frame[0];
        let (is_final, opcode) = (first >= 0x80, first % 16);
        let is_control = opcode >= 8;
        let is_known = matches!(opcode, 0..=2 | 8..=10);
        if !(first / 16).is_multiple_of(8) || !is_known || (is_control && !is_final) {
            events.push(Event::Fault(at));
            return events;
        }
        let Some(&second) = frame.get(1) else { return events };
        if second >= 0x80 || (is_control && second > 125) {
            events.push(Event::Fault(at + 1));
            return events;
        }
        if second == 127 && frame.get(2).is_some_and(|&byte| byte >= 0x80) {
            events.push(Event::Fault(at + 2));
            return events;
        }
        let length_bytes = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(length) = frame.get(2..2 + length_bytes) else { return events };
        let length = match length {
            [] => u64::from(second),
            bytes => bytes.iter().fold(0, |sum, &byte| sum * 256 + u64::from(byte)),
        };
        if websocket_head(first, length as usize).len() != 2 + length_bytes {
            events.push(Event::Fault(at + 1));
            return events;
        }
        if !is_control && (opcode == 0) != is_in_message {
            events.push(Event::Fault(at));
            return events;
        }
        let payload = &frame[2 + length_bytes..];
        let came = payload.len().min(length as usize);
        let (payload, is_whole) = (payload[..came].to_vec(), came as u64 == length);
        at += 2 + length_bytes + came;
        if is_control {
            if is_whole {
                events.push(Event::Control(opcode, payload));
            }
            continue;
        }
        events.push(Event::Frame { first, length });
        if came > 0 {
            events.push(Event::Payload(payload));
        }
        is_in_message = !(is_final && is_whole);
        if !is_in_message {
            events.push(Event::EndOfMessage);
        }
    }
    events
}

/// What the reader finds in a stream that comes in pieces of these lengths, over and over.
fn found(stream: &[u8], pieces: &[usize]) -> Vec<Event> {
    let mut reader = FrameReader::new();
    let mut events: Vec<Event> = Vec::new();
    // Where the current message begins, and what was read.
    let (mut message_at, mut at) = (0, 0);
    let mut left = stream;
    for &piece in pieces.iter().cycle() {
        let (mut now, later) = left.split_at(piece.min(left.len()));
        while !now.is_empty() {
            let (taken, element) = match reader.read(now) {
                Ok(read) => read,
                Err(fault) => {
                    events.push(Event::Fault(message_at + fault.offset_bytes as usize));
                    return events;
                }
            };
            at += taken;
            let is_end = match element {
                None => false,
                Some(Element::Head(head)) => {
                    let first = u8::from(head.is_final) << 7 | head.opcode as u8;
                    events.push(Event::Frame { first, length: head.payload_bytes });
                    head.is_final && head.payload_bytes == 0
                }
                Some(Element::Payload { bytes, is_last }) => {
                    match events.last_mut() {
                        Some(Event::Payload(before)) => before.extend_from_slice(bytes),
                        _ => events.push(Event::Payload(bytes.to_vec())),
                    }
                    is_last
                }
                Some(Element::Control(opcode, payload)) => {
                    events.push(Event::Control(opcode as u8 + 5, payload.to_vec()));
                    false
                }
            };
            if is_end {
                events.push(Event::EndOfMessage);
                message_at = at;
            }
            assert_eq!(reader.offset() as usize, at - message_at);
            now = &now[taken..];
        }
        if later.is_empty() {
            break;
        }
        left = later;
    }
    events
}

/// A frame that may be right: its first byte, its length, and how many bytes more its head needs.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => Just(0x82_u8), 2 => Just(0x01), 3 => Just(0x00), 3 => Just(0x80), 1 => Just(0x88),
        2 => Just(0x89), 1 => Just(0x8a),
    ];
    let length = prop_oneof![6 => 0_usize..8, 2 => 120_usize..130, 1 => Just(65_535_usize),
        1 => Just(65_536_usize)];
    (first, length).prop_map(|(first, length)| {
        let length = if first & 0x08 == 0 { length } else { length.min(125) };
        let mut frame = websocket_head(first, length);
        frame.extend((0..length).map(|at| (at % 251) as u8));
        frame
    })
}

proptest! {
    #![proptest_config(test_inputs::config(800))]

    #[test]
    fn frames_are_found_as_a_naive_reader_finds_them_however_the_bytes_are_cut(
        frames in prop::collection::vec(frame(), 0..12),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        end in prop::option::of(any::<prop::sample::Index>()),
        pieces in prop::collection::vec(1_usize..40, 1..5),
        is_long: bool,
    ) {
        let mut stream = frames.concat();
        if let (Some((at, byte)), false) = (change, stream.is_empty()) {
            // Near the beginning, or the byte would nearly always be payload.
            let at = at.index(stream.len().min(40));
            stream[at] = byte;
        }
        if let Some(end) = end {
            stream.truncate(end.index(stream.len() + 1));
        }
        let factor = if is_long { 2_000 } else { 1 };
        let pieces: Vec<usize> = pieces.iter().map(|piece| piece * factor).collect();
        let (found, expected) = (found(&stream, &pieces), naive(&stream));
        // No comparison that would print 64 KiB.
        prop_assert!(found == expected, "{:?} in {} bytes", pieces, stream.len());
    }

    /// Bytes that are hardly ever frames.
    #[test]
    fn any_bytes_are_frames_or_a_fault(
        stream in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x82), Just(2)], 0..60),
        pieces in prop::collection::vec(1_usize..9, 1..4),
    ) {
        prop_assert_eq!(found(&stream, &pieces), naive(&stream));
    }
}
