//! A server that lies: each violation is found, at its byte and in its words.

use super::client::{Client, frame, traffic};
use crate::wire::Mismatch;

/// What comes instead of the reply to the second of two requests of 100 bytes, in pieces of
/// `piece` bytes.
#[track_caller]
fn mismatch(lie: impl Fn(&[u8]) -> Vec<u8>, piece: usize) -> Mismatch {
    let traffic = traffic("100", false);
    let mut client = Client::new(&traffic);
    let sent = client.send(2, usize::MAX);
    assert_eq!(client.receive(&frame(0x82, &sent[0].payload)), Ok(1));
    let lie = lie(&sent[1].payload);
    let found = lie.chunks(piece).find_map(|piece| client.receive(piece).err());
    found.expect("the lie is found")
}

#[test]
fn each_violation_is_found_at_its_byte_however_the_bytes_are_cut() {
    type Lie = fn(&[u8]) -> Vec<u8>;
    let cases: [(Lie, u64, &str); 21] = [
        (|right| frame(0xc2, right), 0, "reserved bits"),
        (|right| frame(0x83, right), 0, "unknown opcode 3"),
        (|right| frame(0x8f, right), 0, "unknown opcode 15"),
        (|right| frame(0x81, right), 0, "a text message, and the one sent was binary"),
        (|right| frame(0x80, right), 0, "continues a message, and none was begun"),
        (
            |right| [frame(0x02, &right[..40]), frame(0x82, &right[40..])].concat(),
            42,
            "begins a message before the end of the one before",
        ),
        (|right| [&[0x82, 0x80 | 100, 1, 2, 3, 4], right].concat(), 1, "must not mask"),
        (|_| vec![0x82, 126, 0, 100], 1, "not in the shortest form"),
        (|_| vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0, 100], 1, "not in the shortest form"),
        (|_| vec![0x82, 127, 0xff], 2, "2^63 bytes or more"),
        (|_| vec![0x09, 0], 0, "control frame in fragments"),
        (|_| vec![0x89, 126, 0, 126], 1, "more than 125 bytes"),
        (|_| vec![0x88, 1, 3], 1, "a close frame of one byte"),
        (|right| frame(0x82, &[right, b"x"].concat()), 1, "101 bytes or more; 100 were sent"),
        (|_| vec![0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1, "100 were sent"),
        (
            |right| [frame(0x02, right), frame(0x80, b"x")].concat(),
            103,
            "101 bytes or more; 100 were sent",
        ),
        (|right| frame(0x82, &right[..99]), 1, "a message of 99 bytes; 100 were sent"),
        (
            |right| {
                [frame(0x02, &right[..40]), frame(0x89, b"y"), frame(0x80, &right[40..99])].concat()
            },
            46,
            "a message of 99 bytes; 100 were sent",
        ),
        (|_| frame(0x82, b""), 1, "a message of 0 bytes; 100 were sent"),
        (
            |right| frame(0x82, &[&right[..70], &[right[70] ^ 1], &right[71..]].concat()),
            72,
            "byte 70 of the message",
        ),
        (
            |right| {
                let wrong = [&right[41..70], &[right[70] ^ 1], &right[71..]].concat();
                [frame(0x02, &right[..41]), frame(0x8a, b"z"), frame(0x80, &wrong)].concat()
            },
            77,
            "byte 70 of the message",
        ),
    ];
    for (lie, at, said) in cases {
        for piece in [1, 3, 1_000] {
            let mismatch = mismatch(lie, piece);
            assert_eq!((mismatch.connection, mismatch.request), (3, 1), "{said}");
            assert_eq!(mismatch.offset_bytes, at, "{said}: {mismatch:?}");
            let note = mismatch.note.unwrap();
            assert!(note.contains(said), "{said}: {note}");
        }
    }
}

#[test]
fn a_message_without_a_request_is_found_before_the_first_and_after_the_last() {
    let traffic = traffic("5", false);
    let mut client = Client::new(&traffic);
    let found = client.receive(&frame(0x82, b"hello")).unwrap_err();
    assert_eq!((found.request, found.offset_bytes, found.got), (0, 0, 0x82));
    assert_eq!(found.note.as_deref(), Some("a message, and no request is outstanding"));
    let mut client = Client::new(&traffic);
    let sent = client.send(1, usize::MAX);
    let twice = frame(0x82, &sent[0].payload).repeat(2);
    let found = client.receive(&twice).unwrap_err();
    assert_eq!((found.request, found.offset_bytes, found.got), (1, 0, 0x82));
}

#[test]
fn a_server_that_reads_no_pongs_is_given_up_at_the_bound() {
    let traffic = traffic("5", false);
    let mut client = Client::new(&traffic);
    let ping = frame(0x89, &[1; 125]);
    let found = (0..2_000).find_map(|_| client.receive(&ping).err()).unwrap();
    assert!(found.note.unwrap().contains("bytes of pongs wait for the server to read them"));
}

#[test]
fn a_close_frame_is_quoted_and_what_follows_it_means_nothing() {
    let traffic = traffic("5", false);
    let mut client = Client::new(&traffic);
    let sent = client.send(2, usize::MAX);
    let close = frame(0x88, b"\x03\xf0too fast");
    let came = [&frame(0x82, &sent[0].payload), &close[..], b"\xff\xff"].concat();
    assert_eq!(client.receive(&came), Ok(1));
    let words = "the server sent a close frame: 1008 (policy violation) 'too fast'";
    assert_eq!(client.exchange.take_closed().as_deref(), Some(words));
}
