//! How often comparisons are right: sides that are simulated queues, whose difference is known.
//!
//! A run is an M/M/1 queue by Lindley's recursion; its seed is that of its arrivals and services.
//! The machine adds noise of its own to each run, and disturbs some.

use std::collections::BTreeMap;

use super::*;
use crate::schedule::random;

/// Requests of a run.
const REQUESTS: usize = 4_000;

/// Relative noise of a run: of the server's speed, and of its processor time.
const NOISE: f64 = 0.02;

/// What is simulated.
#[derive(Debug, Clone)]
struct Study {
    /// The runs whose numbers are replaced by simulated ones.
    record: Record,
    /// Rate by capacity, of side A.
    load: f64,
    /// Share of the runs whose upper percentiles are disturbed by half.
    disturbed: f64,
    /// Whether both sides have the same seeds.
    same_seeds: bool,
}

impl Study {
    fn of(runs: u32, load: f64, same_seeds: bool) -> Self {
        let record = sample::several(&sample::open_args(), runs).record;
        Self { record, load, disturbed: 0.05, same_seeds }
    }
}

/// A number around one, almost normal.
fn noise(state: &mut u64) -> f64 {
    let sum: f64 = (0..12).map(|_| random::unit(random::split_mix(state))).sum();
    1.0 + NOISE * (sum - 6.0)
}

/// The response times of one schedule with a server that is so much slower, sorted.
fn queue(seed: u64, load: f64, slower: f64) -> Vec<f64> {
    let mut state = random::key(seed, 7);
    let mut exponential = || -(1.0 - random::unit(random::split_mix(&mut state))).ln();
    let mut wait = 0.0_f64;
    let mut times: Vec<f64> = (0..REQUESTS)
        .map(|_| {
            let response = wait + slower * exponential();
            wait = (response - exponential() / load).max(0.0);
            response
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// A side whose server is so much slower.
fn simulated(study: &Study, first_seed: u64, slower: f64, state: &mut u64) -> Side {
    let mut record = study.record.clone();
    for (run, seed) in record.runs.iter_mut().zip(first_seed..) {
        let times = queue(seed, study.load, slower * noise(state));
        let disturbed = random::unit(random::split_mix(state)) < study.disturbed;
        let factor = if disturbed { 1.5 } else { 1.0 };
        let at = |share: f64| times[((REQUESTS - 1) as f64 * share) as usize] * 1e6;
        run.seeds = vec![seed];
        let latency = &mut run.latency_ns.response;
        latency.p50 = Some(at(0.5) as u64);
        latency.p90 = Some((at(0.9) * factor) as u64);
        latency.p99 = Some((at(0.99) * factor) as u64);
        latency.p999 = Some((at(0.999) * factor) as u64);
        latency.max = Some((at(1.0) * factor) as u64);
        let cpu_us_per_request = Some(10.0 * slower * noise(state));
        run.server = Some(ServerRecord { cpu_us_per_request, ..ServerRecord::default() });
    }
    Side::of("simulated", vec![record])
}

/// How many of so many comparisons have which judgement, if B is so much slower.
fn judgements(study: &Study, slower: f64, times: u64) -> BTreeMap<String, u64> {
    let mut state = 17;
    let mut counts = BTreeMap::new();
    for time in 1..=times {
        let seed = time * 1_000;
        let a = simulated(study, seed, 1.0, &mut state);
        let other_seed = if study.same_seeds { seed } else { seed + 500 };
        let b = simulated(study, other_seed, slower, &mut state);
        let judgement = Comparison::of(&a, &b, 0.03).judgement;
        *counts.entry(format!("{judgement:?}")).or_default() += 1;
    }
    counts
}

fn count(counts: &BTreeMap<String, u64>, judgement: &str) -> u64 {
    counts.get(judgement).copied().unwrap_or(0)
}

#[test]
fn equal_sides_are_called_different_in_at_most_one_of_twenty_comparisons() {
    for same_seeds in [true, false] {
        let counts = judgements(&Study::of(10, 0.7, same_seeds), 1.0, 100);
        let alarms = count(&counts, "Faster") + count(&counts, "Slower");
        // 5 of 100 are expected at most; more than 10 would be one case in a hundred.
        assert!(alarms <= 10, "same seeds {same_seeds}: {counts:?}");
    }
}

#[test]
fn a_server_that_is_ten_percent_slower_is_found_by_ten_runs_of_the_same_seeds() {
    let counts = judgements(&Study::of(10, 0.7, true), 1.1, 40);
    assert!(count(&counts, "Slower") >= 38, "{counts:?}");
}

#[test]
#[ignore = "a study that prints a table; it takes minutes without optimisation"]
fn the_study_of_power() {
    println!("load, runs, seeds, B slower by: judgements of 300 comparisons");
    for load in [0.5, 0.8] {
        for runs in [5, 8, 10, 20] {
            for same_seeds in [true, false] {
                let study = Study::of(runs, load, same_seeds);
                for slower in [1.0, 1.05, 1.1, 1.2] {
                    let counts = judgements(&study, slower, 300);
                    let seeds = if same_seeds { "same" } else { "other" };
                    println!("{load} {runs:2} {seeds:5} {slower:.2}: {counts:?}");
                }
            }
        }
    }
}
