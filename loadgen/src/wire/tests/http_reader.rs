//! The reader of HTTP replies against a naive one, however the bytes are cut.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::{Fixture, traffic};
use crate::wire::{Protocol, Reply, Traffic, Verify};

/// How the end of a body is announced.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    FoldedLength,
    IdentityAndLength,
    Chunks { bytes: usize },
    FoldedChunks { bytes: usize },
}

/// A reply to be written.
#[derive(Debug, Clone)]
struct Shape {
    status: u16,
    framing: Framing,
    body: &'static str,
    is_interim_first: bool,
    /// Lines of other headers, each without the last line end.
    lines: Vec<&'static str>,
    /// Number of further headers.
    more: usize,
    trailer: &'static str,
}

const LINES: [&str; 7] = [
    "Server: a",
    "X-Empty:",
    "X-Folded: a\r\n b\r\n\tc",
    "X-Folded-Empty:\r\n \r\n  a",
    "Connection: keep-alive",
    "Connection: x,\r\n close",
    "Content-Type:text/plain",
];

const BODIES: [&str; 4] =
    ["", "hello", "hallo", "a longer body\r\n\r\nHTTP/1.1 200 OK\r\n\r\n with an end"];

fn shape() -> impl Strategy<Value = Shape> {
    let framing = prop_oneof![
        3 => Just(Framing::Length),
        1 => Just(Framing::FoldedLength),
        1 => Just(Framing::IdentityAndLength),
        2 => (1_usize..40).prop_map(|bytes| Framing::Chunks { bytes }),
        1 => (1_usize..40).prop_map(|bytes| Framing::FoldedChunks { bytes }),
    ];
    (
        select(&[200, 200, 200, 204, 301, 304, 404, 500][..]),
        framing,
        select(&BODIES[..]),
        any::<bool>(),
        prop::collection::vec(select(&LINES[..]), 0..4),
        prop_oneof![8 => Just(0_usize), 1 => 60_usize..150],
        select(&["", "Sum: 1\r\n", "Sum: 1\r\nTime: 2\r\n"][..]),
    )
        .prop_map(|(status, framing, body, is_interim_first, lines, more, trailer)| Shape {
            status,
            framing,
            body,
            is_interim_first,
            lines,
            more,
            trailer,
        })
}

impl Shape {
    /// The bytes of the reply.
    fn written(&self) -> String {
        let has_body = !matches!(self.status, 204 | 304);
        let length = self.body.len();
        let (announced, body) = match self.framing {
            Framing::Length => (format!("Content-Length: {length}"), self.body.to_owned()),
            Framing::FoldedLength => {
                (format!("content-length:\r\n\t{length}, {length}"), self.body.to_owned())
            }
            Framing::IdentityAndLength => (
                format!("Transfer-Encoding: identity\r\nContent-Length:{length}"),
                self.body.to_owned(),
            ),
            Framing::Chunks { bytes } => {
                ("Transfer-Encoding: chunked".to_owned(), self.chunks(bytes))
            }
            Framing::FoldedChunks { bytes } => {
                ("TRANSFER-ENCODING: gzip,\r\n  Chunked".to_owned(), self.chunks(bytes))
            }
        };
        let interim =
            if self.is_interim_first { "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" } else { "" };
        let more: String = (0..self.more).map(|number| format!("X-{number}: a\r\n")).collect();
        let lines: String = self.lines.iter().map(|line| format!("{line}\r\n")).collect();
        let body = if has_body { body } else { String::new() };
        format!("{interim}HTTP/1.1 {} X\r\n{lines}{more}{announced}\r\n\r\n{body}", self.status)
    }

    fn chunks(&self, bytes: usize) -> String {
        let chunk = |chunk: &[u8]| {
            let text = String::from_utf8(chunk.to_vec()).unwrap();
            format!("{:x} ;a=b\r\n{text}\r\n", chunk.len())
        };
        let chunks: String = self.body.as_bytes().chunks(bytes).map(chunk).collect();
        format!("{chunks}0\r\n{}\r\n", self.trailer)
    }
}

/// A reply as the naive reader understands it.
struct ReadReply {
    status: u16,
    body: String,
    closes: bool,
}

/// Reads a whole reply, and returns it with the text behind it.
fn read_naively(text: &str) -> (ReadReply, &str) {
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let (first, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    if (100..200).contains(&status) {
        return read_naively(rest);
    }
    let values = |name: &str| -> Vec<String> {
        let headers = lines.split("\r\n").filter_map(|line| line.split_once(':'));
        let named = headers.filter(|header| header.0.eq_ignore_ascii_case(name));
        let words = named.flat_map(|header| header.1.split(','));
        words.map(|word| word.trim().to_ascii_lowercase()).collect()
    };
    let closes = values("connection").contains(&"close".to_owned());
    let (body, rest) = if matches!(status, 204 | 304) {
        (String::new(), rest)
    } else if values("transfer-encoding").last().is_some_and(|last| last == "chunked") {
        read_chunks_naively(rest)
    } else {
        let length: usize = values("content-length")[0].parse().unwrap();
        (rest[..length].to_owned(), &rest[length..])
    };
    (ReadReply { status, body, closes }, rest)
}

fn read_chunks_naively(mut rest: &str) -> (String, &str) {
    let mut body = String::new();
    loop {
        let (line, after) = rest.split_once("\r\n").unwrap();
        let size = line.split(';').next().unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            rest = after;
            break;
        }
        body += &after[..size];
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
    loop {
        let (line, after) = rest.split_once("\r\n").unwrap();
        rest = after;
        if line.is_empty() {
            return (body, rest);
        }
    }
}

/// What must be found in replies: the status of each with the result of its check, and whether the
/// server closes the connection.
fn expected(mut text: &str) -> (Vec<String>, bool) {
    let (mut found, mut closes) = (Vec::new(), false);
    let mut first_bodies: HashMap<u16, String> = HashMap::new();
    while !text.is_empty() {
        let (reply, rest) = read_naively(text);
        text = rest;
        closes |= reply.closes;
        let status = reply.status;
        found.push(if !(200..400).contains(&status) {
            format!("{status} unexpected")
        } else if first_bodies.entry(status).or_insert_with(|| reply.body.clone()) == &reply.body {
            format!("{status} right")
        } else {
            format!("{status} changed")
        });
    }
    (found, closes)
}

/// What a connection finds in these bytes, cut into pieces of these lengths, over and over: the
/// replies, whether the server closes, and the place of the first byte that ends the connection.
fn found(
    traffic: &Traffic,
    bytes: &[u8],
    pieces: &[usize],
) -> (Vec<String>, bool, Option<(u64, u64, u8)>) {
    let mut fixture = Fixture::new(traffic, Protocol::Http, 9);
    fixture.send(10, usize::MAX);
    let (replies, mismatch) = fixture.replies_in(bytes, pieces);
    let text = |reply: &Reply| {
        let status = reply.status().unwrap();
        match reply {
            Reply::Right { .. } => format!("{status} right"),
            Reply::Unexpected { .. } => format!("{status} unexpected"),
            Reply::BodyChanged { .. } => format!("{status} changed"),
            Reply::Command { .. } => panic!("{reply:?}"),
        }
    };
    let place = mismatch.map(|wrong| (wrong.request, wrong.offset_bytes, wrong.got));
    (replies.iter().map(text).collect(), fixture.exchange.wants_close(), place)
}

proptest! {
    #![proptest_config(test_inputs::config(32))]

    #[test]
    fn replies_are_those_of_the_naive_reader_wherever_they_are_cut(
        shapes in prop::collection::vec(shape(), 1..4),
    ) {
        let text: String = shapes.iter().map(Shape::written).collect();
        let bytes = text.as_bytes();
        let traffic = traffic(Protocol::Http, "1", Verify::Full);
        let (replies, closes) = expected(&text);
        let expected = (replies, closes, None);
        prop_assert_eq!(&found(&traffic, bytes, &[usize::MAX]), &expected);
        prop_assert_eq!(&found(&traffic, bytes, &[1]), &expected);
        for cut in 1..bytes.len() {
            prop_assert_eq!(&found(&traffic, bytes, &[cut, usize::MAX]), &expected, "{}", cut);
        }
    }

    #[test]
    fn what_is_wrong_is_found_at_the_same_byte_wherever_it_is_cut(
        shapes in prop::collection::vec(shape(), 1..3),
        share in 0.0..1.0,
        byte: u8,
    ) {
        let text: String = shapes.iter().map(Shape::written).collect();
        let mut bytes = text.into_bytes();
        let at = (share * bytes.len() as f64) as usize;
        bytes[at] = byte;
        let traffic = traffic(Protocol::Http, "1", Verify::Full);
        let whole = found(&traffic, &bytes, &[usize::MAX]);
        prop_assert_eq!(&found(&traffic, &bytes, &[1]), &whole);
        for cut in 1..bytes.len() {
            prop_assert_eq!(&found(&traffic, &bytes, &[cut, usize::MAX]), &whole, "{}", cut);
        }
    }
}
