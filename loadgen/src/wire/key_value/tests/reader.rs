//! The ends of replies, and replies that are none.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::reply_reader::{Piece, ReplyReader};
use super::super::template::Dialect;
use super::client::{Client, traffic};
use super::peer::Peer;
use crate::wire::{Outcome, Protocol};

/// The length of each reply in `bytes`, and the place of what is none.
fn lengths(dialect: Dialect, bytes: &[u8], pieces: usize) -> (Vec<usize>, Option<u64>) {
    let mut reader = ReplyReader::new(dialect);
    let (mut lengths, mut length) = (Vec::new(), 0);
    for piece in bytes.chunks(pieces.max(1)) {
        let mut at = 0;
        while at < piece.len() {
            match reader.read(&piece[at..], |_| Ok(())) {
                Ok((taken, is_whole)) => {
                    at += taken;
                    length += taken;
                    if is_whole {
                        lengths.push(std::mem::take(&mut length));
                    }
                }
                Err(fault) => return (lengths, Some(fault.offset_bytes)),
            }
        }
    }
    (lengths, None)
}

/// Whole replies of RESP, one of every type.
const RESP: [&str; 22] = [
    "+OK\r\n",
    "-ERR no such thing\r\n",
    ":-5\r\n",
    "$5\r\nab\r\nc\r\n",
    "$0\r\n\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*2\r\n$1\r\na\r\n:1\r\n",
    "*2\r\n*1\r\n+a\r\n*0\r\n",
    "_\r\n",
    "#t\r\n",
    ",3.14\r\n",
    "(3492890328409238509324850943850943825024385\r\n",
    "!9\r\nERR wrong\r\n",
    "=6\r\ntxt:ab\r\n",
    "%1\r\n+a\r\n:1\r\n",
    "~2\r\n:1\r\n:2\r\n",
    "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
    "*1\r\n|1\r\n+ttl\r\n*1\r\n:3\r\n$1\r\nx\r\n",
    ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n+OK\r\n",
    "*3\r\n$-1\r\n%0\r\n=3\r\nabc\r\n",
];

/// Whole replies of memcached.
const MEMCACHED: [&str; 11] = [
    "STORED\r\n",
    "END\r\n",
    "VALUE k 0 5\r\nab\r\nc\r\nEND\r\n",
    "VALUE k 0 0\r\n\r\nEND\r\n",
    "VALUE k 0 1 77\r\na\r\nVALUE l 0 1\r\nb\r\nEND\r\n",
    "STAT pid 5\r\nSTAT uptime 3\r\nEND\r\n",
    "VA 3 t5\r\nabc\r\n",
    "EN\r\n",
    "HD\r\n",
    "5\r\n",
    "SERVER_ERROR out of memory storing object\r\n",
];

proptest! {
    #[test]
    fn the_end_of_each_reply_is_found_however_the_bytes_are_cut(
        is_resp: bool,
        which in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        pieces in 1_usize..40,
    ) {
        let (dialect, all) =
            if is_resp { (Dialect::Resp, &RESP[..]) } else { (Dialect::Text, &MEMCACHED[..]) };
        let replies: Vec<&str> = which.iter().map(|which| *which.get(all)).collect();
        let expected: Vec<usize> = replies.iter().map(|reply| reply.len()).collect();
        let found = lengths(dialect, replies.concat().as_bytes(), pieces);
        prop_assert_eq!(found, (expected, None));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_to_the_same_result_however_they_are_cut(
        bytes in prop::collection::vec(select(b"$*+-:_|>%!=\r\n0129AVE ".as_slice()), 0..60),
        pieces in 1_usize..10,
        dialect in select(&[Dialect::Resp, Dialect::Text]),
    ) {
        let (whole, _) = lengths(dialect, &bytes, usize::MAX);
        let (cut, _) = lengths(dialect, &bytes, pieces);
        prop_assert_eq!(whole, cut);
    }
}

#[test]
fn what_stands_beside_a_reply_is_not_taken_for_it() {
    let mut reader = ReplyReader::new(Dialect::Resp);
    let mut lines = Vec::new();
    let bytes = b">1\r\n+invalidate\r\n|1\r\n+ttl\r\n*1\r\n:3\r\n$1\r\nx\r\n";
    let read = reader.read(bytes, |piece| {
        match piece {
            Piece::Line(line) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
            Piece::Block(block) => lines.push(String::from_utf8(block.to_vec()).unwrap()),
        }
        Ok(())
    });
    assert!(matches!(read, Ok((taken, true)) if taken == bytes.len()));
    assert_eq!(lines, ["$1", "x"]);
}

#[test]
fn errors_are_counted_by_their_first_word_and_the_connection_goes_on() {
    for (protocol, error, word, words) in [
        (Protocol::Resp2, "-OOM command not allowed\r\n", "OOM", "-OOM command not allowed"),
        (Protocol::Resp2, "!11\r\nWRONG a b c\r\n", "WRONG", "!11WRONG a b c"),
        (Protocol::MemcachedText, "SERVER_ERROR no\r\n", "SERVER_ERROR", "SERVER_ERROR no"),
        (Protocol::MemcachedText, "ERROR\r\n", "ERROR", "ERROR"),
        (Protocol::MemcachedMeta, "NS\r\n", "NS", "NS"),
    ] {
        let traffic = traffic(protocol, "get:1,set:1", "1", "uniform", "16");
        let mut peer = Peer::new(protocol);
        let mut client = Client::new(&traffic, 0);
        for turn in 0..3 {
            client.send(1, usize::MAX, &peer);
            client.waiting.clear();
            client.replies.extend(error.as_bytes());
            client.receive(usize::MAX).unwrap();
            let Some(Outcome::Error { word: found, quote }) = client.outcomes.pop() else {
                panic!("{protocol}");
            };
            assert_eq!(found.as_str(), word);
            let quoted = quote.map(|quote| quote.first_line);
            assert_eq!(quoted.as_deref(), (turn == 0).then_some(words), "{protocol}");
        }
        assert!(!matches!(client.ask(&mut peer), Outcome::Error { .. }));
    }
}

#[test]
fn a_reply_of_another_command_or_protocol_ends_the_connection_and_is_quoted() {
    for (protocol, reply, said) in [
        (Protocol::Resp2, "HTTP/1.1 400 Bad Request\r\n", "the server said 'HTTP/1.1 400"),
        (Protocol::Resp2, "*1\r\n+a\r\n", "the server said '*1'"),
        (Protocol::Resp2, "$3\r\nabcd\r\n", "longer than its reply says"),
        (Protocol::MemcachedText, "HD\r\n", "the server said 'HD'"),
        (Protocol::MemcachedMeta, "\r\n", "the server said ''"),
    ] {
        let traffic = traffic(protocol, "get", "1", "uniform", "16");
        let peer = Peer::new(protocol);
        let mut client = Client::new(&traffic, 0);
        client.send(1, usize::MAX, &peer);
        client.replies.extend(reply.as_bytes());
        let mismatch = client.receive(usize::MAX).unwrap_err();
        let note = mismatch.note.unwrap();
        assert!(note.contains(said), "{protocol} {reply}: {note}");
    }
}

#[test]
fn a_reply_without_a_request_ends_the_connection() {
    let traffic = traffic(Protocol::Resp2, "get", "1", "uniform", "16");
    let mut client = Client::new(&traffic, 0);
    client.replies.extend(b"+OK\r\n");
    assert_eq!(client.receive(usize::MAX).unwrap_err().got, b'+');
}
