//! Each kind of HTTP reply, cut at every byte, and servers that lie about where a reply ends.

use super::fixture::{get, http_traffic};
use crate::wire::http::{HttpOptions, RequestSpec, Requests};
use crate::wire::{Exchange, Mismatch, Reply, Traffic};

/// Traffic of requests with this method, whose replies' bodies must be as `expect` says.
fn traffic(method: &str, expect: &str) -> Traffic {
    let request = RequestSpec { method: method.parse().unwrap(), ..RequestSpec::get("/".into()) };
    let expect_body = (!expect.is_empty()).then(|| expect.parse().unwrap());
    let requests = Requests::One(Box::new(request));
    http_traffic(HttpOptions { requests, expect_body, ..get() })
}

/// What a connection finds in these bytes, cut into pieces of these lengths, before the server
/// ends it: the replies in words, and the byte at which it became useless.
fn found(
    traffic: &Traffic,
    came: &str,
    pieces: &[usize],
    ends: bool,
) -> (Vec<String>, Option<Mismatch>) {
    let mut exchange = Exchange::new(traffic, 9);
    let mut scratch = Vec::new();
    let bytes = exchange.outgoing(traffic, 10, &mut scratch).len();
    exchange.advance_sent(traffic, bytes);
    let mut replies = Vec::new();
    let mut left = came.as_bytes();
    for &piece in pieces.iter().cycle() {
        let (now, later) = left.split_at(piece.min(left.len()));
        let result = exchange.verify_received(traffic, now, 10, |reply| replies.push(reply));
        if let Err(mismatch) = result {
            return (words(replies), Some(mismatch));
        }
        left = later;
        if left.is_empty() {
            break;
        }
    }
    if ends {
        replies.extend(exchange.end_of_stream(traffic));
        assert_eq!(exchange.end_of_stream(traffic), None, "nothing ends twice");
    }
    (words(replies), None)
}

fn words(replies: Vec<Reply>) -> Vec<String> {
    let word = |reply| match reply {
        Reply::Right { status } => format!("{} right", status.unwrap()),
        Reply::BodyChanged { status, change } => format!("{status} {}", change.note.unwrap()),
        other => format!("{other:?}"),
    };
    replies.into_iter().map(word).collect()
}

/// These bytes are these replies, whole, byte by byte and cut in two at every byte.
#[track_caller]
fn expect(traffic: impl Fn() -> Traffic, came: &str, ends: bool, expected: &[&str]) {
    let cuts = (1..came.len()).map(|cut| vec![cut, usize::MAX]);
    for pieces in [vec![usize::MAX], vec![1]].into_iter().chain(cuts) {
        let (replies, mismatch) = found(&traffic(), came, &pieces, ends);
        assert_eq!((replies, mismatch), (expected.iter().map(ToString::to_string).collect(), None));
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\nServer: old\r\n\r\nhello";

#[test]
fn every_kind_of_reply_ends_where_its_head_says() {
    let get = || traffic("GET", "");
    let chunks = format!("{CHUNKED}2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\nC: d\r\n\r\n");
    expect(get, &format!("{HELLO}{chunks}{HELLO}"), false, &["200 right"; 3]);
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    expect(get, &format!("{interim}{HELLO}{interim}{HELLO}"), false, &["200 right"; 2]);
    let none =
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    expect(get, &format!("{none}{HELLO}"), false, &["204 right", "304 right", "200 right"]);
    expect(get, &format!("{HELLO}{UNTIL_CLOSE}"), true, &["200 right"; 2]);
    let moved = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
    expect(get, &format!("{moved}{HELLO}"), false, &["302 right", "200 right"]);
}

#[test]
fn a_reply_to_head_has_no_body_whatever_its_head_says() {
    let head = || traffic("HEAD", "");
    let came = [
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        CHUNKED,
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    let expected = ["200 right", "200 right", "200 right", "204 right"];
    expect(head, &came.concat(), false, &expected);
}

#[test]
fn a_reply_that_the_end_of_the_connection_ends_is_compared_like_others() {
    let get = || traffic("GET", "");
    let other = UNTIL_CLOSE.replace("hello", "hell");
    let said = "200 the body has 4 bytes, that of the run's first reply with status 200 had 5 \
                bytes; if its length may differ, use --verify none";
    expect(get, &format!("{HELLO}{other}"), true, &["200 right", said]);
    let empty = "HTTP/1.0 200 OK\r\n\r\n";
    expect(get, empty, true, &["200 right"]);
    let length = || traffic("GET", "length:4");
    let said = "200 the body has 5 bytes, expected is length:4; it begins 'hello'";
    expect(length, UNTIL_CLOSE, true, &[said]);
}

#[test]
fn a_connection_that_ends_inside_a_reply_completes_none() {
    let chunks = format!("{CHUNKED}5\r\nhello\r\n0\r\nA: b\r\n\r\n");
    for whole in [HELLO, &chunks] {
        for cut in 0..whole.len() {
            let (replies, mismatch) =
                found(&traffic("GET", ""), &whole[..cut], &[usize::MAX], true);
            assert_eq!((replies.len(), mismatch), (0, None), "{cut} of {whole}");
        }
    }
}

#[test]
fn the_end_of_the_connection_is_known_with_a_head_that_has_no_other_end() {
    let traffic = traffic("GET", "");
    let (mut exchange, mut scratch) = (Exchange::new(&traffic, 9), Vec::new());
    let bytes = exchange.outgoing(&traffic, 1, &mut scratch).len();
    exchange.advance_sent(&traffic, bytes);
    let none = |reply| panic!("{reply:?}");
    exchange.verify_received(&traffic, UNTIL_CLOSE.as_bytes(), 1, none).unwrap();
    assert!(!exchange.wants_close());
    assert!(exchange.end_of_stream(&traffic).is_some());
    assert!(exchange.wants_close());
    exchange.restart();
    assert!(!exchange.wants_close());
}

#[test]
fn bodies_are_what_the_user_expects() {
    let chunks = format!("{CHUNKED}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    let hash = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for right in ["length:5", "substring:ell", "substring:hello", hash] {
        expect(|| traffic("GET", right), &format!("{HELLO}{chunks}"), false, &["200 right"; 2]);
    }
    let hallo = HELLO.replace("hello", "hallo");
    let said =
        "200 the body does not contain the text, expected is substring:ell; it begins 'hallo'";
    let expected = ["200 right", said, "200 right"];
    let came = format!("{HELLO}{hallo}{chunks}");
    expect(|| traffic("GET", "substring:ell"), &came, false, &expected);
    let (replies, _) = found(&traffic("GET", hash), &came, &[usize::MAX], false);
    assert!(replies[1].contains("has the SHA-256 d3751d33f9cd"), "{replies:?}");
    assert_eq!(replies[2], "200 right");
}

#[test]
fn an_error_page_need_not_have_the_expected_body() {
    let came = format!("HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad{HELLO}");
    let (replies, _) = found(&traffic("GET", "substring:hello"), &came, &[usize::MAX], false);
    assert!(replies[0].starts_with("Unexpected { status: Some(500)"), "{replies:?}");
    assert_eq!(replies[1], "200 right");
}

#[track_caller]
fn expect_mismatch(came: &str, replies: usize, said: &str) {
    for pieces in [usize::MAX, 1, 7] {
        let (found, mismatch) = found(&traffic("GET", ""), came, &[pieces], false);
        let note = mismatch.and_then(|mismatch| mismatch.note).unwrap_or_default();
        assert!(found.len() == replies && note.contains(said), "{found:?} {note}");
    }
}

#[test]
fn a_server_that_lies_about_the_end_of_a_reply_is_found() {
    // A body that is longer than announced, and one whose chunks have no end.
    expect_mismatch(&format!("{HELLO}!{HELLO}"), 1, "the server said '!");
    expect_mismatch(&format!("{CHUNKED}5\r\nhello\r\n{HELLO}"), 0, "no length of a chunk");
    expect_mismatch(&format!("{CHUNKED}5\r\nhello{HELLO}"), 0, "longer than its line");
    // One that is shorter takes the beginning of the next head.
    let shorter = HELLO.replace('5', "9");
    expect_mismatch(&format!("{shorter}{HELLO}"), 1, "the server said '/");
}

#[test]
fn interim_replies_and_trailers_without_an_end_are_given_up_at_their_bounds() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let right = format!("{}{HELLO}", interim.repeat(64));
    expect(|| traffic("GET", ""), &format!("{HELLO}{right}{right}"), false, &["200 right"; 3]);
    expect_mismatch(&interim.repeat(65), 0, "more than 64 interim replies to one request");
    let trailers = format!("{CHUNKED}0\r\n{}", "Sum: 1\r\n".repeat(8_193));
    expect_mismatch(&trailers, 0, "more than 65536 bytes of trailers");
    let few = format!("{CHUNKED}0\r\n{}\r\n", "Sum: 1\r\n".repeat(8_000));
    let (replies, mismatch) = found(&traffic("GET", ""), &few, &[usize::MAX], false);
    assert_eq!((replies.len(), mismatch), (1, None));
}
