//! Replies over HTTP, which say themselves what they are.

use super::fixture::{Fixture, traffic};
use super::peer::{body, http};
use crate::wire::{Mismatch, Protocol, Traffic, Verify};

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
    expect_mismatch(&longer, 1, 43, b'!', "longer than the 5 bytes of the first reply");
    let shorter = format!("{ONE}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell");
    expect_mismatch(&shorter, 1, 41, b'l', "has 4 bytes, that of the first reply 5");
    let empty = format!("{ONE}HTTP/1.1 204 No\r\n\r\n");
    expect_mismatch(&empty, 1, 18, b'\n', "has 0 bytes, that of the first reply 5");
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
    let failure = ONE.replace("200", "404");
    assert!(read(&traffic, &failure).1.is_some());
}

#[test]
fn nothing_but_the_framing_is_compared_where_no_check_is_requested() {
    let traffic = traffic(Protocol::Http, "1", Verify::None);
    let failure = ONE.replace("200", "500").replace('5', "3").replace("hello", "bad");
    let failure = failure.replace("300", "500");
    assert_eq!(read(&traffic, &format!("{ONE}{failure}")), (2, None));
    assert!(read(&traffic, "HTTP/1.1 200 OK\r\n\r\n").1.is_some());
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
fn a_reply_that_only_the_end_of_the_connection_ends_is_refused_with_the_reason() {
    let endless = "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello";
    expect_mismatch(endless, 0, 29, b'\n', "neither a Content-Length nor chunks");
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
