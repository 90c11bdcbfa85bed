//! Replies that are wrong: each is found, and the first wrong byte named.

use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::{Fixture, PROTOCOLS, SIZES, VERIFY, traffic};
use super::peer::{SentReply, body, http};
use crate::wire::{Mismatch, Protocol, Reply, UnexpectedReply, Verify};

/// What can happen to a stream.
#[derive(Debug, Clone, Copy)]
enum InjectedFault {
    Changed,
    Dropped,
    Extra,
    Ended,
}

fn fault() -> impl Strategy<Value = InjectedFault> {
    prop_oneof![
        Just(InjectedFault::Changed),
        Just(InjectedFault::Dropped),
        Just(InjectedFault::Extra),
        Just(InjectedFault::Ended)
    ]
}

impl InjectedFault {
    /// The stream with the fault at one of its bytes.
    fn applied(self, stream: &[u8], at: usize) -> Vec<u8> {
        let mut stream = stream.to_vec();
        match self {
            Self::Changed => stream[at] ^= 0x21,
            Self::Dropped => drop(stream.remove(at)),
            Self::Extra => stream.insert(at, stream[at] ^ 0x42),
            Self::Ended => stream.truncate(at),
        }
        stream
    }
}

/// What the naive reader of a stream must find: the first byte that is wrong as far as `verify`
/// looks, by the number of its reply and its offset there.
fn expected(
    protocol: Protocol,
    verify: Verify,
    replies: &[SentReply],
    came: &[u8],
) -> Option<(u64, u64, Option<u8>, u8)> {
    let looks = |reply: &SentReply, at: usize, byte: u8| match (protocol, verify) {
        (_, Verify::Full) => byte != reply.bytes[at],
        // The end of a line is an end wherever it comes.
        (Protocol::Line, _) if reply.is_payload[at] => byte == b'\n',
        _ => !reply.is_payload[at] && byte != reply.bytes[at],
    };
    let mut came = came.iter();
    for (number, reply) in replies.iter().enumerate() {
        for at in 0..reply.bytes.len() {
            let &byte = came.next()?;
            if looks(reply, at, byte) {
                return Some((number as u64, at as u64, Some(reply.bytes[at]), byte));
            }
        }
    }
    came.next().map(|&byte| (replies.len() as u64, 0, None, byte))
}

fn found(mismatch: Mismatch) -> (u64, u64, Option<u8>, u8) {
    assert_eq!(mismatch.connection, 9);
    (mismatch.request, mismatch.offset_bytes, mismatch.expected, mismatch.got)
}

/// How many replies lie whole before the byte that is wrong, or before the end.
fn whole_before(
    replies: &[SentReply],
    wrong: Option<(u64, u64, Option<u8>, u8)>,
    came: usize,
) -> usize {
    let ends = replies.iter().scan(0, |end, reply| {
        *end += reply.bytes.len();
        Some(*end)
    });
    wrong.map_or_else(|| ends.filter(|&end| end <= came).count(), |wrong| wrong.0 as usize)
}

proptest! {
    #![proptest_config(test_inputs::config(600))]

    #[test]
    fn every_fault_is_found_and_located(
        protocol in select(&PROTOCOLS),
        sizes in select(&SIZES),
        verify in select(&VERIFY),
        fault in fault(),
        share in 0.0..1.0,
        requests in 1_usize..6,
        pieces in prop::collection::vec(1_usize..200, 1..5),
    ) {
        // Their replies can look differently, and be right.
        prop_assume!(!matches!(protocol, Protocol::Http | Protocol::WebSocket));
        let traffic = traffic(protocol, sizes, verify);
        let mut fixture = Fixture::new(&traffic, protocol, 9);
        fixture.send(requests, usize::MAX);
        let replies = std::mem::take(&mut fixture.replies);
        let stream: Vec<u8> = replies.iter().flat_map(|reply| reply.bytes.clone()).collect();
        let came = fault.applied(&stream, (share * stream.len() as f64) as usize);
        let wrong = expected(protocol, verify, &replies, &came);
        let (completed, mismatch) = fixture.read(&came, &pieces);
        prop_assert_eq!(mismatch.map(found), wrong);
        prop_assert_eq!(completed, whole_before(&replies, wrong, came.len()));
    }

    /// In a body; what a head may say differently is no fault.
    #[test]
    fn every_fault_in_an_http_body_is_found_and_located(
        fault in fault(),
        share in 0.0..1.0,
        turn in 0_usize..120,
        pieces in prop::collection::vec(1_usize..200, 1..5),
    ) {
        let traffic = traffic(Protocol::Http, "1", Verify::Full);
        let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
        fixture.send(3, usize::MAX);
        let replies = [http(0, &body()), http(turn, &body()), http(turn + 1, &body())];
        let stream: Vec<u8> = replies.iter().flat_map(|reply| reply.bytes.clone()).collect();
        let is_payload: Vec<bool> =
            replies.iter().flat_map(|reply| reply.is_payload.clone()).collect();
        // Somewhere in the second body: the first is what all are compared with.
        let second = replies[0].bytes.len()..replies[0].bytes.len() + replies[1].bytes.len();
        let offsets: Vec<usize> = second.filter(|&at| is_payload[at]).collect();
        let at = offsets[(share * offsets.len() as f64) as usize];
        let came = fault.applied(&stream, at);
        prop_assume!(came.get(at) != Some(&stream[at]));
        let wrong = expected(Protocol::Http, Verify::Full, &replies, &came);
        let (completed, mismatch) = fixture.read(&came, &pieces);
        prop_assert_eq!(mismatch.map(found), wrong);
        prop_assert_eq!(completed, 1);
    }
}

/// What comes instead of the replies to two requests.
fn mismatch_of(protocol: Protocol, came: &[u8], pieces: &[usize]) -> (usize, Mismatch) {
    let traffic = traffic(protocol, "8", Verify::Full);
    let mut fixture = Fixture::new(&traffic, protocol, 9);
    fixture.send(2, usize::MAX);
    let (completed, mismatch) = fixture.read(came, pieces);
    (completed, mismatch.unwrap())
}

/// The connection's replies, in these pieces, if `came` is received instead of two of them.
fn replies_in(protocol: Protocol, came: &str, pieces: &[usize]) -> (Vec<Reply>, Option<Mismatch>) {
    let traffic = traffic(protocol, "8", Verify::Full);
    let mut fixture = Fixture::new(&traffic, protocol, 9);
    fixture.send(3, usize::MAX);
    let right = fixture.replies.last().unwrap().bytes.clone();
    fixture.replies_in(&[came.as_bytes(), &right].concat(), pieces)
}

#[test]
fn an_error_line_is_a_complete_reply_that_is_quoted_and_the_connection_goes_on() {
    for (protocol, first, second) in [
        (Protocol::RespPing, "-NOAUTH Authentication required.", "-ERR unknown"),
        (Protocol::RespEcho, "-LOADING Redis is loading", "-ERR unknown"),
        (Protocol::Memcached, "ERROR", "NOT_STORED"),
        (Protocol::Memcached, "SERVER_ERROR out of memory", "CLIENT_ERROR bad data chunk"),
    ] {
        let came = format!("{first}\r\n{second}\r\n");
        for pieces in [1_000, 1, 3] {
            let (mut replies, mismatch) = replies_in(protocol, &came, &[pieces]);
            assert_eq!(mismatch, None, "{protocol}");
            assert_eq!(replies.pop(), Some(Reply::Right { status: None }), "{protocol}");
            let quote = UnexpectedReply {
                connection: 9,
                request: 0,
                first_line: first.to_owned(),
                body_line: None,
            };
            let quoted = Reply::Unexpected { status: None, quote: Some(Box::new(quote)) };
            assert_eq!(replies, [quoted, Reply::Unexpected { status: None, quote: None }]);
        }
    }
}

#[test]
fn what_only_begins_like_an_error_line_is_located_and_quoted() {
    for pieces in [1_000, 1] {
        let came = "SERVER_TERROR x\r\n";
        let (replies, mismatch) = replies_in(Protocol::Memcached, came, &[pieces]);
        let mismatch = mismatch.unwrap();
        assert_eq!((replies.len(), mismatch.request, mismatch.offset_bytes), (0, 0, 1));
        assert_eq!((mismatch.expected, mismatch.got), (Some(b'T'), b'E'));
        assert!(mismatch.note.unwrap().contains("the server said 'SERVER_T"));
    }
}

#[test]
fn an_error_line_without_end_is_given_up_at_its_bound() {
    let (replies, mismatch) = replies_in(Protocol::RespPing, &format!("-{:5000}", ""), &[700]);
    assert_eq!((replies.len(), mismatch.unwrap().offset_bytes), (0, 0));
}

#[test]
fn a_restart_in_the_middle_of_an_error_line_forgets_it() {
    let traffic = traffic(Protocol::Memcached, "8", Verify::Full);
    let mut fixture = Fixture::new(&traffic, Protocol::Memcached, 9);
    fixture.send(1, usize::MAX);
    assert_eq!(fixture.read(b"SERVER_ERR", &[100]), (0, None));
    fixture.restart();
    fixture.send(1, usize::MAX);
    assert_eq!(fixture.receive(usize::MAX), 1);
}

#[test]
fn a_wrong_payload_is_not_mistaken_for_a_complaint() {
    let (_, mismatch) = mismatch_of(Protocol::RespEcho, b"$8\r\n\xff\xff\xff\xff", &[100]);
    assert_eq!((mismatch.offset_bytes, mismatch.note), (4, None));
}

#[test]
fn an_unrequested_byte_is_a_mismatch_with_nothing_expected() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "10", Verify::None);
        let mut fixture = Fixture::new(&traffic, protocol, 9);
        let (completed, early) = fixture.read(b"-ERR too many\r\n", &[100]);
        assert_eq!((completed, found(early.unwrap())), (0, (0, 0, None, b'-')), "{protocol}");

        fixture.send(1, usize::MAX);
        fixture.receive(usize::MAX);
        let (completed, late) = fixture.read(b"x", &[100]);
        assert_eq!((completed, found(late.unwrap())), (0, (1, 0, None, b'x')), "{protocol}");
    }
}
