//! Replies over HTTP, which say themselves what they are.

use super::fixture::{Fixture, get, http_traffic, traffic};
use super::peer::{body, http};
use crate::wire::http::HttpOptions;
use crate::wire::{Mismatch, Protocol, Reply, Traffic, Verify};

const ONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What connection 9 finds in these replies to ten requests.
fn read(traffic: &Traffic, came: &str) -> (usize, Option<Mismatch>) {
    let mut fixture = Fixture::new(traffic, Protocol::Http, 9);
    fixture.send(10, usize::MAX);
    fixture.read(came.as_bytes(), &[1_000_000])
}

fn full() -> Traffic {
    traffic(Protocol::Http, "1", Verify::Full)
}

#[track_caller]
fn expect_mismatch(came: &str, completed: usize, offset: u64, got: u8, note: &str) {
    for pieces in [1_000_000, 1, 7] {
        let traffic = full();
        let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
        fixture.send(10, usize::MAX);
        let (whole, mismatch) = fixture.read(came.as_bytes(), &[pieces]);
        let mismatch = mismatch.unwrap();
        assert_eq!((whole, mismatch.request), (completed, completed as u64));
        assert_eq!((mismatch.offset_bytes, mismatch.got), (offset, got), "{:?}", mismatch.note);
        assert!(mismatch.note.as_ref().unwrap().contains(note), "{:?}", mismatch.note);
    }
}

#[test]
fn replies_cut_in_two_at_any_byte_are_the_same_replies() {
    let replies: Vec<u8> = (0..4).flat_map(|turn| http(turn, &body()).bytes).collect();
    for cut in 1..replies.len() {
        let traffic = full();
        let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
        fixture.send(4, usize::MAX);
        let result = fixture.read(&replies, &[cut, replies.len()]);
        assert_eq!(result, (4, None), "cut at {cut}");
    }
}

#[test]
fn replies_that_come_byte_by_byte_are_the_same_replies() {
    let replies: Vec<u8> = (0..8).flat_map(|turn| http(turn, &body()).bytes).collect();
    let traffic = full();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    fixture.send(8, usize::MAX);
    assert_eq!(fixture.read(&replies, &[1]), (8, None));
}

#[test]
fn a_head_that_comes_in_pieces_is_one_even_if_its_end_looks_like_the_last_one() {
    let traffic = full();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    fixture.send(3, usize::MAX);
    assert_eq!(fixture.read(ONE.as_bytes(), &[100]), (1, None));
    let begin = "HTTP/1.1 200 OK\r\nA: ";
    assert_eq!(fixture.read(begin.as_bytes(), &[100]), (0, None));
    let (_, mismatch) = fixture.read(ONE.replace("hello", "hallo").as_bytes(), &[100]);
    assert_eq!(mismatch.unwrap().offset_bytes, begin.len() as u64 + 39);
}

#[test]
fn a_body_of_another_length_is_a_fault_where_it_ends_or_goes_on() {
    let longer = format!("{ONE}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!");
    expect_mismatch(&longer, 1, 43, b'!', "is longer, that of the run's first reply with");
    let shorter = format!("{ONE}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell");
    let said = "has 4 bytes, that of the run's first reply with status 200 had 5 bytes; if its \
                length may differ, use --verify none";
    expect_mismatch(&shorter, 1, 41, b'l', said);
    let empty = format!("{ONE}HTTP/1.1 200 No\r\nContent-Length: 0\r\n\r\n");
    expect_mismatch(&empty, 1, 37, b'\n', "has 0 bytes, that of the run's first reply");
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n";
    expect_mismatch(&format!("{ONE}{chunks}"), 1, 56, b'0', "has 4 bytes");
}

#[test]
fn lengths_alone_are_compared_where_only_they_are_requested() {
    let traffic = traffic(Protocol::Http, "1", Verify::Length);
    let other = ONE.replace("hello", "olleh");
    assert_eq!(read(&traffic, &format!("{ONE}{other}")), (2, None));
    let longer = ONE.replace('5', "6").replace("hello", "hello!");
    assert!(read(&traffic, &longer).1.is_some());
}

#[test]
fn nothing_but_the_framing_is_compared_where_no_check_is_requested() {
    let traffic = traffic(Protocol::Http, "1", Verify::None);
    let other = ONE.replace('5', "3").replace("hello", "bad");
    assert_eq!(read(&traffic, &format!("{ONE}{other}")), (2, None));
}

/// A reply with this status and body.
fn with_status(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Every reply with its status, and whether it was right, unexpected or changed.
fn outcomes(traffic: &Traffic, came: &str, pieces: usize) -> (String, Option<Mismatch>) {
    let mut fixture = Fixture::new(traffic, Protocol::Http, 9);
    fixture.send(10, usize::MAX);
    let (replies, mismatch) = fixture.replies_in(came.as_bytes(), &[pieces]);
    let text = |reply: &Reply| match reply {
        Reply::Right { status } => format!("{} right", status.unwrap()),
        Reply::Unexpected { status, .. } => format!("{} unexpected", status.unwrap()),
        Reply::BodyChanged { status, .. } => format!("{status} changed"),
        Reply::Command { .. } => panic!("{reply:?}"),
    };
    (replies.iter().map(text).collect::<Vec<_>>().join(", "), mismatch)
}

#[test]
fn an_unexpected_status_is_one_failed_request_and_the_connection_goes_on() {
    let came = with_status(503, "busy") + ONE + &with_status(404, "gone") + ONE;
    for verify in [Verify::Full, Verify::Length, Verify::None] {
        for pieces in [1_000, 1, 7] {
            let traffic = traffic(Protocol::Http, "1", verify);
            let found = outcomes(&traffic, &came, pieces);
            let expected = "503 unexpected, 200 right, 404 unexpected, 200 right";
            assert_eq!(found, (expected.to_owned(), None));
        }
    }
}

#[test]
fn a_body_is_compared_with_the_first_of_its_status_and_not_with_an_error_page() {
    let came = [
        with_status(503, "a"),
        with_status(200, "page"),
        with_status(304, ""),
        with_status(301, "there"),
        with_status(503, "longer"),
        with_status(301, "where"),
        with_status(200, "page"),
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n".to_owned(),
    ];
    let (found, mismatch) = outcomes(&full(), &came.concat(), 1_000);
    let expected = "503 unexpected, 200 right, 304 right, 301 right, 503 unexpected, 301 changed, \
                    200 right, 304 right";
    assert_eq!((found.as_str(), mismatch), (expected, None));
}

#[test]
fn a_body_that_changes_is_one_failed_request_and_the_connection_goes_on() {
    let came = [ONE, &ONE.replace("hello", "hallo"), ONE, &with_status(200, "hi"), ONE].concat();
    for pieces in [1_000, 1, 7] {
        let (found, mismatch) = outcomes(&full(), &came, pieces);
        let expected = "200 right, 200 changed, 200 right, 200 changed, 200 right";
        assert_eq!((found.as_str(), mismatch), (expected, None));
    }
}

#[test]
fn expected_statuses_are_those_of_the_flag() {
    let traffic = http_traffic(HttpOptions { statuses: "404".parse().unwrap(), ..get() });
    let came = with_status(404, "no") + ONE + &with_status(404, "no") + &with_status(404, "na");
    let (found, _) = outcomes(&traffic, &came, 1_000);
    assert_eq!(found, "404 right, 200 unexpected, 404 right, 404 changed");
}

#[test]
fn only_so_many_statuses_have_a_body_to_compare_with() {
    let traffic = full();
    let came: String = (200..230).map(|status| with_status(status, "a")).collect();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    fixture.send(60, usize::MAX);
    // 204 has no body, so its "a" is none of a reply.
    let came = came.replace("HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\na", "");
    assert_eq!(fixture.read(came.as_bytes(), &[1_000]), (29, None));
    let (replies, _) = fixture.replies_in(with_status(229, "b").as_bytes(), &[1_000]);
    assert_eq!(replies, [Reply::Right { status: Some(229) }]);
    let (replies, _) = fixture.replies_in(with_status(200, "b").as_bytes(), &[1_000]);
    assert!(matches!(replies[..], [Reply::BodyChanged { status: 200, .. }]), "{replies:?}");
}

#[test]
fn the_first_unexpected_reply_is_quoted_with_the_first_line_of_its_body() {
    let chunked = "HTTP/1.1 503 Busy\x1b[2J\r\nTransfer-Encoding: chunked\r\n\r\n\
                   4\r\n\r\n\r\n\r\n9\r\ntry later\r\n5\r\n\nmore\r\n0\r\n\r\n";
    let chunked = chunked.replace('\x1b', "\t");
    for pieces in [1_000, 1, 7] {
        let traffic = full();
        let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
        fixture.send(3, usize::MAX);
        let came = [ONE, &chunked, &with_status(404, "gone")].concat();
        let (replies, mismatch) = fixture.replies_in(came.as_bytes(), &[pieces]);
        assert_eq!(mismatch, None);
        let quotes = replies.into_iter().map(|reply| match reply {
            Reply::Unexpected { quote, .. } => quote,
            _ => None,
        });
        let quotes: Vec<_> = quotes.collect();
        let quote = quotes[1].as_ref().unwrap();
        assert_eq!((quote.connection, quote.request), (9, 1));
        assert_eq!(quote.first_line, "HTTP/1.1 503 Busy.[2J");
        assert_eq!(quote.body_line.as_deref(), Some("try later"));
        assert_eq!(quotes[2], None, "one of a connection is enough");
    }
}

#[test]
fn a_reply_that_was_cut_off_is_not_quoted_with_the_next_one() {
    let traffic = full();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    fixture.send(1, usize::MAX);
    let cut = "HTTP/1.1 500 Cut\r\nContent-Length: 50\r\n\r\nhalf";
    assert_eq!(fixture.read(cut.as_bytes(), &[1_000]), (0, None));
    fixture.restart();
    fixture.send(1, usize::MAX);
    let (replies, _) = fixture.replies_in(with_status(404, "gone").as_bytes(), &[1_000]);
    let [Reply::Unexpected { quote: Some(quote), .. }] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!((&*quote.first_line, quote.body_line.as_deref()), ("HTTP/1.1 404 X", Some("gone")));
}

#[test]
fn the_reference_is_that_of_the_run_and_not_of_the_connection() {
    let traffic = full();
    assert_eq!(read(&traffic, ONE), (1, None));
    let (completed, mismatch) = read(&traffic, &ONE.replace("hello", "hallo"));
    let mismatch = mismatch.unwrap();
    assert_eq!((completed, mismatch.offset_bytes), (0, 39));
    assert_eq!((mismatch.expected, mismatch.got), (Some(b'e'), b'a'));
}

#[test]
fn a_body_that_began_before_the_reference_was_known_is_compared_all_the_same() {
    let traffic = full();
    let mut early = Fixture::new(&traffic, Protocol::Http, 8);
    early.send(1, usize::MAX);
    // Wrong on both sides of the cut: the first of them counts.
    let wrong = ONE.replace("hello", "hallx");
    let (begin, end) = wrong.split_at(wrong.len() - 1);
    assert_eq!(early.read(begin.as_bytes(), &[100]), (0, None));
    assert_eq!(read(&traffic, ONE), (1, None));
    let (completed, mismatch) = early.read(end.as_bytes(), &[100]);
    assert_eq!((completed, mismatch.unwrap().offset_bytes), (0, 39));
}

#[test]
fn a_body_longer_than_the_stored_part_is_compared_as_far_as_it_is_stored() {
    let long =
        |body: String| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut body = "x".repeat((1 << 20) + 100);
    let first = long(body.clone());
    body.replace_range((1 << 20) + 50..(1 << 20) + 51, "y");
    let traffic = full();
    assert_eq!(read(&traffic, &(first + &long(body.clone()))), (2, None));
    body.replace_range((1 << 20) - 1..1 << 20, "y");
    let (completed, mismatch) = read(&traffic, &long(body.clone()));
    assert_eq!((completed, mismatch.unwrap().expected), (0, Some(b'x')));
    body.truncate((1 << 20) + 99);
    assert!(read(&traffic, &long(body)).1.is_some());
}

#[test]
fn the_end_of_the_connection_is_known_once_the_reply_that_announces_it_is_whole() {
    let traffic = full();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    fixture.send(2, usize::MAX);
    let last = ONE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let (begin, end) = last.split_at(last.len() - 1);
    assert_eq!(fixture.read(ONE.as_bytes(), &[100]), (1, None));
    assert!(!fixture.exchange.wants_close());
    assert_eq!(fixture.read(begin.as_bytes(), &[100]), (0, None));
    assert!(!fixture.exchange.wants_close());
    assert_eq!(fixture.read(end.as_bytes(), &[100]), (1, None));
    assert!(fixture.exchange.wants_close());
    fixture.restart();
    assert!(!fixture.exchange.wants_close());
    fixture.send(1, usize::MAX);
    assert_eq!(fixture.read(ONE.as_bytes(), &[100]), (1, None));
    assert!(!fixture.exchange.wants_close());
}

#[test]
fn a_restart_in_the_middle_of_a_head_or_of_a_body_forgets_it() {
    let traffic = full();
    let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
    for cut in 1..ONE.len() {
        fixture.send(1, usize::MAX);
        assert_eq!(fixture.read(&ONE.as_bytes()[..cut], &[1_000]), (0, None));
        fixture.restart();
        fixture.send(1, usize::MAX);
        assert_eq!(fixture.read(ONE.as_bytes(), &[1_000]), (1, None), "cut at {cut}");
    }
}

#[test]
fn what_is_no_reply_is_located() {
    expect_mismatch("SSH-2.0-OpenSSH\r\n", 0, 0, b'S', "the server said");
    expect_mismatch(&format!("{ONE}\r\n{ONE}"), 1, 0, b'\r', "the server said ''");
    expect_mismatch("HTTP/1.1 2x0 OK\r\n\r\n", 0, 10, b'x', "not HTTP/1.1");
    expect_mismatch("HTTP/1.1 101 Switching\r\n\r\n", 0, 9, b'1', "101 Switching");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect_mismatch(&format!("{chunked}5\r\nhello!\n"), 0, 55, b'!', "longer than its line");
    expect_mismatch(&format!("{chunked}5\r\nhello\rx"), 0, 56, b'x', "longer than its line");
    expect_mismatch(&format!("{chunked}5x\r\nhello"), 0, 48, b'x', "no length of a chunk");
    expect_mismatch(&format!("{chunked}\r\n"), 0, 47, b'\r', "no length of a chunk");
    expect_mismatch(&format!("{chunked}0\r\n\n"), 0, 50, b'\n', "no trailer");
    expect_mismatch(&format!("{chunked}0\r\n\rx"), 0, 51, b'x', "no trailer");
}

#[test]
fn a_head_without_end_is_given_up_at_its_bound() {
    let head = format!("HTTP/1.1 200 OK\r\nLong: {}", "x".repeat(70_000));
    let traffic = full();
    for pieces in [100_000, 60_000, 5_000] {
        let mut fixture = Fixture::new(&traffic, Protocol::Http, 9);
        fixture.send(1, usize::MAX);
        let (completed, mismatch) = fixture.read(head.as_bytes(), &[pieces]);
        let mismatch = mismatch.unwrap();
        assert_eq!((completed, mismatch.offset_bytes), (0, 65_535));
        assert!(mismatch.note.unwrap().contains("no end of a head within 65536 bytes"));
    }
}
