//! Agents far from the coordinator, and an agent far from the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::dial_in::{Site, agent_of};
use super::relay::{self, Delays};
use super::ssh::load_with_script;
use super::{agents_in, codes};
use crate::program::*;
use crate::servers::Server;

const PLAN: &[u8] = b"{\"plan\"";

/// A coordinator makes two runs with an agent, without an agent nearby. In the first run, what
/// passes between them takes these times, each way, and at most so much more. In the second one it
/// takes no time.
fn two_runs(to_agent_ms: u64, to_coordinator_ms: u64, jitter_ms: u64) -> Finished {
    let site = Site::new("tcp");
    let runs = Arc::new(AtomicU32::new(0));
    let in_run = |ms: u64| {
        let runs = Arc::clone(&runs);
        // Numbers that look random enough: of a linear congruential generator.
        let mut number = ms;
        move |piece: &[u8]| {
            // Each run begins with a plan, which only a coordinator sends.
            if piece.windows(PLAN.len()).any(|bytes| bytes == PLAN) {
                runs.fetch_add(1, Ordering::SeqCst);
            }
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let more_us = (number >> 33) % (jitter_ms * 1_000 + 1);
            let delay = Duration::from_millis(ms) + Duration::from_micros(more_us);
            if runs.load(Ordering::SeqCst) < 2 { delay } else { Duration::ZERO }
        }
    };
    let delays = Delays { there: in_run(to_coordinator_ms), back: in_run(to_agent_ms) };
    let relay = relay::start(&site.address, delays);
    let coordinator = site.coordinator(1, "--rate=500 --arrival=constant --runs=2");
    let agent = agent_of(&relay, &site.token, "");
    let finished = wait(coordinator);
    assert_eq!(wait(agent).code, Some(0));
    finished
}

/// Offset and error of the agent's clock in a run, in nanoseconds.
fn clock(record: &Value, run: usize) -> (i64, i64) {
    let agent = &record["runs"][run]["agents"][0];
    (agent["clock_offset_ns"].as_i64().unwrap(), agent["clock_error_ns"].as_i64().unwrap())
}

/// The offset that was found over the delays is wrong by `wrong_ms`, as that without them shows,
/// and this is within the bound, half of the shortest round trip, which is printed.
#[track_caller]
fn expect_offset_within_bound(delays_ms: (u64, u64, u64), wrong_ms: i64) {
    let (to_agent_ms, to_coordinator_ms, jitter_ms) = delays_ms;
    let finished = two_runs(to_agent_ms, to_coordinator_ms, jitter_ms);
    expect_no_errors(&finished);
    let record = finished.json();
    let ((far_ns, bound_ns), (near_ns, near_bound_ns)) = (clock(&record, 0), clock(&record, 1));
    let (least_ms, most_ms) = (to_agent_ms + to_coordinator_ms, 2 * jitter_ms);
    assert!(bound_ns >= 500_000 * i64::try_from(least_ms).unwrap(), "{bound_ns} ns");
    let found_wrong_ns = far_ns - near_ns;
    assert!(found_wrong_ns.abs() <= bound_ns + near_bound_ns, "{found_wrong_ns} ± {bound_ns} ns");
    // The shortest of 32 round trips had little more than the delays.
    let about_ns = 500_000 * i64::try_from(most_ms).unwrap() + near_bound_ns + 2_000_000;
    assert!((found_wrong_ns - wrong_ms * 1_000_000).abs() <= about_ns, "{found_wrong_ns} ns");
    let printed = finished.stderr.lines().find_map(|line| line.split_once("known to ± "));
    let printed = printed.unwrap_or_else(|| panic!("{finished:?}")).1.replace(' ', "");
    let printed: Duration = humantime::parse_duration(&whole_us(&printed)).unwrap();
    let difference_ns = i64::try_from(printed.as_nanos()).unwrap() - bound_ns;
    assert!(difference_ns.abs() <= bound_ns / 50, "{printed:?} for {bound_ns} ns");
    // More than a hundredth of an interval.
    assert!(codes(&record).contains(&"start-skew"), "{record}");
}

/// A time as loadgen prints it, in whole microseconds.
fn whole_us(printed: &str) -> String {
    let (ms, _) = printed.split_once("ms").unwrap_or_else(|| panic!("{printed}"));
    format!("{:.0}us", ms.parse::<f64>().unwrap() * 1_000.0)
}

#[test]
fn a_delay_with_jitter_is_within_the_bound_of_the_clock() {
    expect_offset_within_bound((20, 20, 10), 0);
}

#[test]
fn a_way_that_is_longer_to_the_agent_is_within_the_bound_of_the_clock() {
    expect_offset_within_bound((30, 2, 0), 14);
}

#[test]
fn a_way_that_is_longer_to_the_coordinator_is_within_the_bound_of_the_clock() {
    expect_offset_within_bound((2, 30, 0), -14);
}

#[test]
fn an_agent_with_a_longer_way_to_the_server_differs() {
    let server = Server::echo();
    let delay = |_: &[u8]| Duration::from_millis(3);
    let relay = relay::start(&server.address(), Delays { there: delay, back: delay });
    // On the host two, the address of the server leads to the relay.
    let there = format!("sed -u 's/{}/{relay}/'", server.address());
    let script = format!(
        "for last; do :; done; case \"$*\" in *two*) {there} | sh -c \"$last\" ;; \
         *) exec sh -c \"$last\" ;; esac"
    );
    let flags = "-c 8 --rate 600 --duration 1s --agents ssh://one,two,three,four";
    let (finished, _) = load_with_script(&server, &script, flags);
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    let median = |rank: usize| agents_in(&record)[rank]["service_p50_ns"].as_u64().unwrap();
    assert!(median(1) >= 6_000_000, "{record}");
    let reasons = record["validity"]["reasons"].as_array().unwrap();
    let text = reasons.iter().find(|reason| reason["code"] == "agents-differ").unwrap();
    let text = text["text"].as_str().unwrap();
    assert!(text.starts_with("agent 1 (two) measured a median service time of"), "{text}");
}
