//! Replies that are complete, but not the wanted ones: they are failed requests, the connection
//! goes on, and their times are those of their class.

use super::simulation::{SimulatedReply, SimulatedServer, Simulation};
use super::{MS, SimulationResult, simulate};
use crate::latency::Distribution;

/// Sends these replies in turn, each a millisecond after its request.
struct InTurn {
    replies: Vec<String>,
    seen: usize,
}

impl SimulatedServer for InTurn {
    fn received(&mut self, now_ns: u64, _: &[u8]) -> Vec<SimulatedReply> {
        let reply = self.replies[self.seen % self.replies.len()].clone();
        self.seen += 1;
        vec![SimulatedReply::Bytes { at_ns: now_ns + MS, bytes: reply.into_bytes() }]
    }
}

fn with_status(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a second of load on one connection finds.
fn answered_by(target: &str, flags: &str, replies: &[String]) -> SimulationResult {
    let flags = format!("{target} {flags} --warmup 0s --duration 1s -c 1 --pipeline 1");
    simulate(&flags, Simulation::new(InTurn { replies: replies.to_vec(), seen: 0 }))
}

const OPEN: &str = "--rate 500 --arrival constant";

fn classes(found: &SimulationResult) -> Vec<(&'static str, u64, Option<u64>)> {
    let classes = found.latencies.of_classes();
    classes.map(|(name, latency)| (name, latency.count(), latency.max_ns())).collect()
}

#[test]
fn an_unexpected_status_is_a_lower_bound_of_the_response_and_a_time_of_its_class() {
    let mut replies = vec![with_status(200, "page"); 9];
    replies.push(with_status(503, "busy"));
    let found = answered_by("http://a", OPEN, &replies);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.unexpected_status), (450, 50));
    assert_eq!((counters.connects, counters.failed, counters.mismatches), (1, 0, 0));
    assert!(counters.has_errors());
    let count = |distribution: Distribution| found.latencies[distribution].count();
    assert_eq!((count(Distribution::Response), count(Distribution::Service)), (450, 450));
    assert_eq!(count(Distribution::Unanswered), 50);
    assert_eq!(found.latencies[Distribution::Unanswered].min_ns(), Some(MS));
    assert_eq!(classes(&found), [("2xx", 450, Some(MS)), ("5xx", 50, Some(MS))]);
    let codes: Vec<(u16, u64)> = found.recorded.statuses.iter().collect();
    assert_eq!(codes, [(200, 450), (503, 50)]);
    let failed: u64 = found.intervals.iter().map(|interval| interval.failed).sum();
    assert_eq!(failed, 50);
    let quote = found.recorded.first_unexpected_reply.unwrap();
    assert_eq!((&*quote.first_line, quote.request), ("HTTP/1.1 503 X", 9));
}

#[test]
fn an_expected_status_is_a_right_reply_whatever_its_class() {
    let replies = [with_status(404, "none")];
    let found = answered_by("http://a", &format!("{OPEN} --expect-status 404"), &replies);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.has_errors()), (500, false));
    assert_eq!(found.latencies[Distribution::Response].count(), 500);
    assert_eq!(classes(&found), [("4xx", 500, Some(MS))]);
}

#[test]
fn a_body_that_changes_fails_its_request_alone() {
    let replies = ["page", "PAGE"].map(|body| with_status(200, body));
    let found = answered_by("http://a", OPEN, &replies);
    let counters = &found.recorded.counters;
    assert_eq!((counters.completed, counters.changed_bodies, counters.connects), (250, 250, 1));
    let change = found.recorded.first_changed_body.unwrap();
    assert_eq!((change.request, change.expected, change.got), (1, Some(b'p'), b'P'));
    assert!(change.note.unwrap().contains("use --verify length"));
    let found = answered_by("http://a", &format!("{OPEN} --verify length"), &replies);
    assert!(!found.recorded.counters.has_errors());
}

#[test]
fn a_closed_loop_goes_on_after_an_error_line_without_a_pause() {
    let replies = ["-LOADING wait\r\n", "+PONG\r\n"].map(str::to_owned);
    let found = answered_by("redis://a", "", &replies);
    let counters = &found.recorded.counters;
    // A thousand requests in the window, and one that begins as it ends.
    assert_eq!((counters.unexpected_status, counters.completed), (501, 500));
    assert_eq!(counters.connects, 1);
    assert_eq!(found.latencies[Distribution::Service].count(), 500);
    assert_eq!(classes(&found), [("error_line", 500, Some(MS))]);
}
