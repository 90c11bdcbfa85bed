//! Requests of a file, with values of data: which come, with which bytes, and what is compared of
//! their replies.

use std::collections::BTreeMap;
use std::fs;

use super::fixture::{get, http_traffic};
use crate::wire::http::{DataFile, HttpOptions, RequestFile, Requests};
use crate::wire::{Exchange, Reply, SLICE_BYTES_MAX, Traffic, Verify};

/// Options with the requests and the data of these texts, if there is any.
fn options(requests: &str, data: &str) -> HttpOptions {
    let folder = test_needs::folder();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let requests = RequestFile::read_shared(&file("requests", requests)).unwrap();
    let data = (!data.is_empty()).then(|| DataFile::read_shared(&file("data.csv", data)).unwrap());
    HttpOptions { requests: Requests::File(requests), data, headers: Vec::new(), ..get() }
}

/// The next `count` requests of a connection, as text; all of them are then sent.
fn next(traffic: &Traffic, exchange: &mut Exchange, count: usize) -> Vec<String> {
    let mut scratch = Vec::new();
    let one = |_| {
        let bytes = exchange.outgoing(traffic, 1, &mut scratch).to_vec();
        assert_eq!(exchange.advance_sent(traffic, bytes.len()), 1);
        String::from_utf8(bytes).unwrap()
    };
    (0..count).map(one).collect()
}

/// What is found of these replies.
fn replies(traffic: &Traffic, exchange: &mut Exchange, came: &str) -> Vec<String> {
    let mut found = Vec::new();
    let result = exchange.verify_received(traffic, came.as_bytes(), 0, |reply| {
        found.push(match reply {
            Reply::Right { .. } => "right".to_owned(),
            Reply::BodyChanged { change, .. } => change.note.unwrap(),
            other => format!("{other:?}"),
        });
    });
    result.unwrap();
    found
}

fn with_body(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The path of a request.
fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

#[test]
fn a_request_depends_on_seed_connection_and_number_alone() {
    for order in ["sequential", "random", "zipf:1"] {
        let mut options = options("/a\n/b/{id}\n/c\n", "id\n1\n2\n3\n");
        options.order = Some(order.parse().unwrap());
        (options.data_order, options.connections) = ("random".parse().unwrap(), 3);
        let traffic = http_traffic(options);
        let of = |connection| next(&traffic, &mut Exchange::new(&traffic, connection), 50);
        let alone = of(2);
        // Other connections, and another division into writes.
        assert!(of(1) != alone && of(0) != of(1), "{order}");
        let mut exchange = Exchange::new(&traffic, 2);
        let mut scratch = Vec::new();
        let bytes = exchange.outgoing(&traffic, 50, &mut scratch).to_vec();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), alone.concat(), "{order}");
        assert_eq!(exchange.advance_sent(&traffic, 7), 1);
        assert_eq!(exchange.outgoing(&traffic, 0, &mut scratch), &alone[0].as_bytes()[7..]);
        // A request that was begun is not sent again on a new connection.
        exchange.restart();
        assert_eq!(next(&traffic, &mut exchange, 3), alone[1..4], "{order}");
    }
}

#[test]
fn a_sequence_of_requests_meets_each_row_with_each_request() {
    let mut options = options("/a/{id}\n/b/{id}\n", "id\n1\n2\n");
    options.connections = 2;
    let traffic = http_traffic(options);
    let requests = [0, 1].map(|connection| {
        let requests = next(&traffic, &mut Exchange::new(&traffic, connection), 3);
        requests.iter().map(|request| path(request).to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(requests, [["/a/1", "/a/2", "/a/1"], ["/b/1", "/b/2", "/b/1"]]);
}

#[test]
fn weights_and_rows_are_drawn_apart_from_each_other() {
    let mut options = options("{\"path\":\"/a/{id}\",\"weight\":3}\n/b/{id}\n", "id\n1\n2\n");
    options.data_order = "random".parse().unwrap();
    let traffic = http_traffic(options);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for request in next(&traffic, &mut Exchange::new(&traffic, 0), 8_000) {
        *counts.entry(path(&request).to_owned()).or_default() += 1;
    }
    let counts: Vec<u64> = counts.into_values().collect();
    let shares = [3.0, 3.0, 1.0, 1.0];
    crate::wire::key_value::tests::chi_square::expect(&counts, &shares, "both");
}

#[test]
fn a_body_is_compared_with_the_first_of_its_request() {
    let requests = "/a\n{\"path\":\"/b\",\"expect_body\":\"length:2\"}\n/c\n";
    let traffic = http_traffic(options(requests, ""));
    let mut exchange = Exchange::new(&traffic, 0);
    next(&traffic, &mut exchange, 9);
    let came = ["one", "xx", "uno", "one", "yyy", "uno", "two", "zz", "due"].map(with_body);
    let found = replies(&traffic, &mut exchange, &came.concat());
    let wrong: Vec<usize> = (0..found.len()).filter(|&at| found[at] != "right").collect();
    assert_eq!((found.len(), &wrong[..]), (9, &[4, 6, 8][..]), "{found:?}");
    assert_eq!(found[4], "the body has 3 bytes, expected is length:2; it begins 'yyy'");
    assert!(found[6].contains("differs from that of the run's first reply"), "{found:?}");
}

#[test]
fn replies_to_requests_with_values_are_compared_only_if_that_is_requested() {
    for (verify, is_right) in [(None, true), (Some(Verify::Full), false)] {
        let mut options = options("/{id}\n", "id\n1\n2\n");
        options.verify = verify;
        let traffic = http_traffic(options);
        let mut exchange = Exchange::new(&traffic, 0);
        next(&traffic, &mut exchange, 2);
        let found = replies(&traffic, &mut exchange, &(with_body("one") + &with_body("two")));
        assert_eq!((&*found[0], found[1] == "right"), ("right", is_right));
    }
}

#[test]
fn a_body_that_does_not_fit_the_socket_is_sent_in_slices() {
    let body = "x".repeat(300_000);
    let text = format!("{{\"path\":\"/a\",\"method\":\"POST\",\"body\":\"{body}\"}}\n/b\n");
    let traffic = http_traffic(options(&text, ""));
    let mut exchange = Exchange::new(&traffic, 0);
    let (mut sent, mut scratch, mut begun) = (Vec::new(), Vec::new(), 0);
    while begun < 2 || exchange.is_mid_request() {
        let bytes = exchange.outgoing(&traffic, 2 - begun, &mut scratch);
        assert!(bytes.len() <= SLICE_BYTES_MAX);
        let taken = bytes.len().min(50_001);
        sent.extend_from_slice(&bytes[..taken]);
        begun += exchange.advance_sent(&traffic, taken);
    }
    let text = String::from_utf8(sent).unwrap();
    let (first, second) = text.split_once("\r\n\r\n").unwrap();
    assert!(first.ends_with("Content-Length: 300000"), "{first}");
    assert_eq!(second, format!("{body}GET /b HTTP/1.1\r\nHost: example:80\r\n\r\n"));
}

#[test]
fn making_requests_and_reading_replies_allocates_nothing_after_a_while() {
    let text = "/a/{id}\n\
                {\"path\":\"/b\",\"method\":\"POST\",\"body\":\"<{id}>\",\"chunked\":true}\n\
                {\"path\":\"/c\",\"expect_body\":\"substring:body\"}\n";
    for (order, expect) in [("random", "length:4"), ("sequential", "none"), ("zipf:1", "")] {
        let mut options = options(text, "id\n1\n22\n333\n");
        options.order = Some(order.parse().unwrap());
        options.expect_body = (!expect.is_empty()).then(|| expect.parse().unwrap());
        let traffic = http_traffic(options);
        let mut exchange = Exchange::new(&traffic, 0);
        let mut scratch = Vec::with_capacity(SLICE_BYTES_MAX);
        let mut allocations = 0;
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
        for turn in 0..300 {
            let came = (with_body("body") + chunked).repeat(10);
            let made = allocation_counter::measure(|| {
                let bytes = exchange.outgoing(&traffic, 20, &mut scratch).len();
                assert_eq!(exchange.advance_sent(&traffic, bytes), 20);
            });
            let received = allocation_counter::measure(|| {
                let mut right = 0;
                let count = |reply| right += usize::from(matches!(reply, Reply::Right { .. }));
                exchange.verify_received(&traffic, came.as_bytes(), 20, count).unwrap();
                assert_eq!(right, 20);
            });
            if turn >= 100 {
                allocations += made.count_total + received.count_total;
            }
        }
        assert_eq!(allocations, 0, "{order}");
    }
}
