//! Messages and control frames between them, on connections that go well.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::client::{Client, SentFrame, frame, traffic};
use crate::wire::SLICE_BYTES_MAX;

/// How the server divides and interrupts its replies.
#[derive(Debug, Clone)]
struct Script {
    /// Lengths of fragments, over and over.
    fragments: Vec<usize>,
    /// Lengths of pings, over and over; each comes before a fragment.
    pings: Vec<Option<usize>>,
}

fn script() -> impl Strategy<Value = Script> {
    let pings = prop::collection::vec(prop::option::of(0_usize..=125), 1..5);
    (prop::collection::vec(0_usize..200, 1..4), pings)
        .prop_map(|(fragments, pings)| Script { fragments, pings })
}

/// A server that echoes by a script.
struct Server {
    fragments: Vec<usize>,
    pings: Vec<Option<usize>>,
    turn: usize,
    /// Payloads of the pings that are not answered.
    unanswered: VecDeque<Vec<u8>>,
    /// Bytes on the way to the client.
    replies: Vec<u8>,
}

impl Server {
    fn take(&mut self, sent: SentFrame) {
        if sent.first == 0x8a {
            assert_eq!(Some(sent.payload), self.unanswered.pop_front(), "pongs come in order");
            return;
        }
        assert_eq!(sent.first, 0x82);
        let mut rest = &sent.payload[..];
        let mut opcode = 0x02;
        loop {
            self.turn += 1;
            // A script of empty fragments alone would have no end.
            let length = self.fragments[self.turn % self.fragments.len()].max(self.turn % 2 * 8);
            if let Some(ping) = self.pings[self.turn % self.pings.len()] {
                let payload = vec![self.turn as u8; ping];
                self.replies.extend(frame(0x89, &payload));
                self.unanswered.push_back(payload);
            }
            let (now, later) = rest.split_at(length.min(rest.len()));
            let last = if later.is_empty() { 0x80 } else { 0 };
            self.replies.extend(frame(opcode | last, now));
            if later.is_empty() {
                return;
            }
            (rest, opcode) = (later, 0);
        }
    }
}

proptest! {
    #![proptest_config(test_inputs::config(400))]

    #[test]
    fn fragments_are_joined_and_each_ping_is_answered_between_two_messages(
        script in script(),
        sizes in prop::sample::select(vec!["1", "1..300", "64:3,700:1"]),
        steps in prop::collection::vec((0_usize..4, 0_usize..500, 1_usize..500), 1..40),
    ) {
        let traffic = traffic(sizes, false);
        let mut client = Client::new(&traffic);
        let Script { fragments, pings } = script;
        let mut server =
            Server { fragments, pings, turn: 0, unanswered: VecDeque::new(), replies: Vec::new() };
        for (new, most, read) in steps {
            // The reader of frames would find a pong inside of one.
            client.send(new, most).into_iter().for_each(|sent| server.take(sent));
            let came: Vec<u8> =
                server.replies.drain(..read.min(server.replies.len())).collect();
            client.receive(&came).unwrap();
        }
        // What is left: the client may have answers, and the server replies.
        while client.exchange.has_unsent() || !server.replies.is_empty() {
            client.send(0, usize::MAX).into_iter().for_each(|sent| server.take(sent));
            // Not so much at once that too many pongs would wait.
            let end = server.replies.len().min(10_000);
            client.receive(&server.replies.drain(..end).collect::<Vec<u8>>()).unwrap();
        }
        prop_assert!(!client.is_mid_frame());
        prop_assert_eq!((client.outstanding, server.unanswered.len()), (0, 0));
        prop_assert_eq!(client.end(), [SentFrame { first: 0x88, payload: vec![0x03, 0xe8] }]);
    }
}

#[test]
fn a_pong_waits_for_the_end_of_a_message_that_is_partly_sent_and_goes_before_the_next() {
    let traffic = traffic("300", false);
    let mut client = Client::new(&traffic);
    assert_eq!(client.send(2, 100), []);
    client.receive(&frame(0x89, b"you")).unwrap();
    assert!(client.exchange.has_unsent() && client.exchange.is_mid_request());
    let sent = client.send(2, usize::MAX);
    let firsts: Vec<u8> = sent.iter().map(|sent| sent.first).collect();
    assert_eq!(firsts, [0x82, 0x8a, 0x82, 0x82]);
    assert_eq!(sent[1].payload, b"you");
    assert!(!client.exchange.has_unsent());
}

#[test]
fn a_ping_of_no_bytes_and_one_of_the_most_are_answered_while_no_request_is_outstanding() {
    let traffic = traffic("64", false);
    let mut client = Client::new(&traffic);
    let long = [7; 125];
    client.receive(&[frame(0x89, b""), frame(0x8a, b"x"), frame(0x89, &long)].concat()).unwrap();
    // A byte at a time.
    let mut sent = Vec::new();
    while client.exchange.has_unsent() {
        sent.extend(client.send(0, 1));
    }
    let pong = |payload: &[u8]| SentFrame { first: 0x8a, payload: payload.to_vec() };
    assert_eq!(sent, [pong(b""), pong(&long)]);
}

#[test]
fn a_message_longer_than_a_slice_is_sent_and_compared_in_parts() {
    let traffic = traffic("1MiB", false);
    let mut client = Client::new(&traffic);
    let mut sent = client.send(1, usize::MAX);
    let mut writes = 1;
    while sent.is_empty() {
        assert_eq!(client.end(), [], "no close frame inside a message");
        sent = client.send(0, usize::MAX);
        writes += 1;
    }
    assert!(writes > (1 << 20) / SLICE_BYTES_MAX);
    let right = frame(0x82, &sent[0].payload);
    assert_eq!(client.receive(&right), Ok(1));
    // The same connection again, whose reply has a wrong byte near its end.
    let mut client = Client::new(&traffic);
    while client.send(1 - client.outstanding, usize::MAX).is_empty() {}
    let mut reply = right;
    let at = reply.len() - 3;
    reply[at] ^= 1;
    let mismatch = client.receive(&reply).unwrap_err();
    assert_eq!(mismatch.note.as_deref(), Some("byte 1048573 of the message"));
    assert_eq!(mismatch.offset_bytes, at as u64);
}

#[test]
fn text_messages_are_printable_and_their_replies_are_text() {
    let traffic = traffic("200", true);
    let mut client = Client::new(&traffic);
    let sent = client.send(2, usize::MAX);
    assert!(sent.iter().all(|sent| sent.first == 0x81));
    assert!(sent.iter().all(|sent| sent.payload.iter().all(u8::is_ascii_graphic)));
    assert_eq!(client.receive(&frame(0x81, &sent[0].payload)), Ok(1));
    let note = client.receive(&frame(0x82, &sent[1].payload)).unwrap_err().note.unwrap();
    assert_eq!(note, "a binary message, and the one sent was text");
}

#[test]
fn after_a_restart_neither_fragments_nor_pongs_nor_close_frames_are_left() {
    let traffic = traffic("50", false);
    let mut client = Client::new(&traffic);
    let sent = client.send(2, usize::MAX);
    let begun = [frame(0x02, &sent[0].payload[..9]), frame(0x89, b"x"), frame(0x88, b"")].concat();
    assert_eq!(client.receive(&begun), Ok(0));
    client.exchange.restart();
    client.outstanding = 0;
    assert!(!client.exchange.has_unsent());
    assert_eq!(client.exchange.take_closed(), None);
    let third = client.send(1, usize::MAX);
    assert_ne!(third[0].payload, sent[1].payload);
    assert_eq!(client.receive(&frame(0x82, &third[0].payload)), Ok(1));
}

#[test]
fn messages_replies_and_pongs_allocate_nothing_after_a_while() {
    let traffic = traffic("1..300", false);
    let mut client = Client::new(&traffic);
    let mut scratch = Vec::with_capacity(SLICE_BYTES_MAX);
    let mut allocations = 0;
    for turn in 0..100 {
        // Made again outside of what is counted.
        let mut copy = Client::new(&traffic);
        for _ in 0..turn {
            copy.send(20, usize::MAX);
        }
        let mut replies = frame(0x89, b"are you there?");
        for sent in copy.send(20, usize::MAX) {
            let (first, second) = sent.payload.split_at(sent.payload.len() / 2);
            replies.extend([frame(0x02, first), frame(0x80, second)].concat());
        }
        let counted = allocation_counter::measure(|| {
            let bytes = client.exchange.outgoing(&traffic, 20, &mut scratch).len();
            assert_eq!(client.exchange.advance_sent(&traffic, bytes), 20);
            let mut right = 0;
            client.exchange.verify_received(&traffic, &replies, 20, |_| right += 1).unwrap();
            assert_eq!(right, 20);
        });
        if turn >= 5 {
            allocations += counted.count_total;
        }
    }
    assert_eq!(allocations, 0);
}
