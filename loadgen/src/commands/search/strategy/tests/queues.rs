//! Searches against simulated queues whose true limit is known.
//!
//! A probe simulates a server with one queue for as long as the probe would take (Lindley's
//! recursion). What it shows is decided as that of a measured one is. Some probes are disturbed,
//! and a search has the time that a real one would have.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::*;
use crate::commands::search::evidence::Part;
use crate::commands::search::neighbours::{Neighbours, RateParts};
use crate::commands::search::search_plan::SearchPlan;
use crate::commands::search::search_plan::tests::plan;
use crate::latency::{Batches, Distribution, Latencies, P99, Samples};
use crate::schedule::{Mode, Window, random};

/// Most that the machine's speed differs from probe to probe.
const NOISE: f64 = 0.01;

/// The seeds of the study, which are not those of the tests.
const STUDY_SEEDS: Range<u64> = 1_000..1_020;

/// How long a new server and new connections take.
const START_S: f64 = 0.15;

#[derive(Debug, Clone, Copy)]
enum Service {
    /// M/D/1.
    Constant,
    /// M/M/1.
    Exponential,
}

/// A server with one queue on a machine.
#[derive(Debug, Clone, Copy)]
struct Situation {
    service: Service,
    mean_s: f64,
    /// The objective: p99 of the response is less.
    limit_s: f64,
    /// What sockets and wake-ups add to a response, on average.
    sockets_s: f64,
    /// The share of probes that are disturbed, and of those that show nothing.
    disturbed: f64,
    invalid: f64,
    /// How much slower the server is in a disturbed probe, as a factor.
    slower: f64,
    max_time_s: f64,
}

/// A quiet machine on which every tenth probe is disturbed, and time enough.
const QUIET: Situation = Situation {
    service: Service::Constant,
    mean_s: 0.005,
    limit_s: 0.05,
    sockets_s: 0.0,
    disturbed: 0.1,
    invalid: 0.05,
    slower: 1.3,
    max_time_s: 3_600.0,
};

/// Eight searches beside each other, measured on two processors: a third of the probes is
/// disturbed.
const BESIDE_OTHERS: Situation = Situation {
    service: Service::Constant,
    mean_s: 0.002,
    limit_s: 0.01,
    sockets_s: 0.000_1,
    disturbed: 0.35,
    invalid: 0.02,
    slower: 1.0,
    max_time_s: 765.0,
};

/// All measurements of a group that were made under the same conditions.
#[derive(Debug)]
struct Measured {
    latencies: Latencies,
    runs: Vec<Batches>,
    measured_s: f64,
}

impl Situation {
    /// The largest rate that meets the objective: analytically for M/M/1, whose response times are
    /// exponential, and by the formula of Crommelin for M/D/1.
    fn true_limit_per_s(&self) -> f64 {
        match self.service {
            Service::Exponential => {
                1.0 / self.mean_s - (1.0 / (1.0 - P99.quantile)).ln() / self.limit_s
            }
            Service::Constant => {
                let (mut low, mut high) = (0.0, 1.0);
                for _ in 0..50 {
                    let load = f64::midpoint(low, high);
                    let share = waits_up_to(self.limit_s / self.mean_s - 1.0, load);
                    if share > P99.quantile { low = load } else { high = load }
                }
                low / self.mean_s
            }
        }
    }

    /// Its plan: probes of 2,000 services, as `scripts/loader_truth.sh` makes them.
    fn plan(&self) -> SearchPlan {
        let (probe_ms, max_ms) = (2e6 * self.mean_s, 1e3 * self.max_time_s);
        let limit_us = 1e6 * self.limit_s;
        plan(&format!(
            "--slo p99<{limit_us}us --duration {probe_ms}ms --warmup 500ms --max-time {max_ms}ms"
        ))
        .unwrap()
    }

    /// The answer of a search by the true limit, if it has one, and the time it took.
    fn answer(&self, seed: u64) -> (Option<f64>, f64) {
        let plan = self.plan();
        let mut machine = Machine::new(*self, &plan, seed);
        let mut strategy = Strategy::new(Bounds {
            from_per_s: 0.1 / self.mean_s,
            confirm_length: plan.confirm_length(),
            to_per_s: f64::MAX,
            ..bounds()
        });
        let found = loop {
            let probe = match strategy.next() {
                SearchStep::Try(probe) => probe,
                SearchStep::Found { rate_per_s, .. } => break Some(rate_per_s),
                SearchStep::NoneIsGood { .. } => break None,
            };
            let length = plan.open.warmup + plan.open.duration * probe.length;
            let until = Duration::from_secs_f64(machine.elapsed_s) + length;
            if until > plan.max_time - plan.confirm_time() && strategy.give_up() {
                continue;
            }
            if until > plan.max_time {
                break strategy.best_known_per_s();
            }
            let observed = machine.probe(probe);
            let time = plan.max_time - plan.confirm_time();
            strategy.time_passed(machine.elapsed_s / time.as_secs_f64());
            strategy.found(observed, machine.rates.findings());
        };
        (found.map(|rate_per_s| rate_per_s / self.true_limit_per_s()), machine.elapsed_s)
    }

    /// The answers by seed, rising, and their mean time. A search without an answer is 0.
    fn answers(&self, seeds: Range<u64>) -> (Vec<f64>, f64) {
        let (found, times): (Vec<_>, Vec<_>) = seeds.map(|seed| self.answer(seed)).unzip();
        let mut found: Vec<f64> = found.into_iter().map(|answer| answer.unwrap_or(0.0)).collect();
        found.sort_by(f64::total_cmp);
        (found, times.iter().sum::<f64>() / times.len() as f64)
    }
}

/// A simulated machine, and all that was measured on it.
#[derive(Debug)]
struct Machine {
    situation: Situation,
    state: u64,
    warmup_s: f64,
    probe_s: f64,
    elapsed_s: f64,
    /// By group: probes that were not disturbed, and those that were.
    measured: HashMap<u32, [Option<Measured>; 2]>,
    rates: Neighbours,
}

impl Machine {
    fn new(situation: Situation, plan: &SearchPlan, seed: u64) -> Self {
        let probe_s = plan.open.duration.as_secs_f64();
        let warmup_s = plan.open.warmup.as_secs_f64();
        Self {
            situation,
            state: random::key(seed, 1),
            warmup_s,
            probe_s,
            // The closed loop.
            elapsed_s: warmup_s + probe_s + START_S,
            measured: HashMap::new(),
            rates: Neighbours::new(&plan.open.slo, probe_s),
        }
    }

    fn unit(&mut self) -> f64 {
        random::unit(random::split_mix(&mut self.state))
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Adds the response times of a probe.
    fn measure(&mut self, probe: Probe, slower: f64, measured: &mut Measured) {
        let Situation { service, mean_s, sockets_s, .. } = self.situation;
        let mean_s = mean_s * slower * (1.0 + NOISE * (2.0 * self.unit() - 1.0));
        let length_s = self.probe_s * f64::from(probe.length);
        let window = Window::new(0, Duration::ZERO, Duration::from_secs_f64(length_s));
        let mut batches = Batches::new(window);
        let (mut at_s, mut wait_s) = (-self.warmup_s, 0.0_f64);
        while at_s < length_s {
            let gap_s = self.exponential() / probe.rate_per_s;
            at_s += gap_s;
            wait_s = (wait_s - gap_s).max(0.0);
            wait_s += match service {
                Service::Constant => mean_s,
                Service::Exponential => mean_s * self.exponential(),
            };
            if (0.0..length_s).contains(&at_s) {
                let sockets_s = sockets_s * (0.5 + self.exponential() / 2.0);
                let response_ns = ((wait_s + sockets_s) * 1e9) as u64;
                measured.latencies[Distribution::Response].record(response_ns);
                batches.record(Distribution::Response, (at_s * 1e9) as u64, response_ns);
            }
        }
        measured.runs.push(batches);
        measured.measured_s += length_s;
    }

    /// Carries out a probe.
    fn probe(&mut self, probe: Probe) -> Observation {
        self.elapsed_s += self.warmup_s + self.probe_s * f64::from(probe.length) + START_S;
        let chance = self.unit();
        let disturbed = chance < self.situation.disturbed;
        let mut all = self.measured.remove(&probe.group).unwrap_or_default();
        if chance >= self.situation.invalid {
            let new =
                || Measured { latencies: Latencies::new(), runs: Vec::new(), measured_s: 0.0 };
            let kind = usize::from(disturbed);
            let slower = if disturbed { self.situation.slower } else { 1.0 };
            self.measure(probe, slower, all[kind].get_or_insert_with(new));
        }
        let limit_ns = (1e9 * self.situation.limit_s) as u64;
        let part = |measured: &Measured| {
            let Measured { latencies, runs, measured_s } = measured;
            let samples = Samples { mode: Mode::Open, latencies, runs };
            let limit_counts =
                samples.limit_counts(Distribution::Response, P99.quantile, &|ns| ns < limit_ns);
            Part::counted(limit_counts.unwrap(), *measured_s)
        };
        let [usable, doubtful] = all.each_ref().map(|measured| measured.as_ref().map(part));
        self.measured.insert(probe.group, all);
        let finding = usable.as_ref().or(doubtful.as_ref());
        let finding = finding.map_or(ProbeFinding::LoaderLimited, Part::finding);
        let Probe { group, rate_per_s, .. } = probe;
        let parts = RateParts { group, rate_per_s, finding, usable, doubtful };
        Observation { finding: self.rates.update(parts), disturbed }
    }
}

/// The share of the requests of an M/D/1 queue that wait at most `time` service times.
fn waits_up_to(time: f64, load: f64) -> f64 {
    let terms = (0..=time as u32).map(|k| {
        let x = load * (f64::from(k) - time);
        let power: f64 = (1..=k).map(|n| x / f64::from(n)).product();
        power * (-x).exp()
    });
    (1.0 - load) * terms.sum::<f64>()
}

#[test]
fn the_formula_for_constant_service_agrees_with_the_simulation() {
    let situation = Situation { mean_s: 0.001, limit_s: 0.01, ..QUIET };
    let mut machine = Machine::new(situation, &situation.plan(), 3);
    let rate_per_s = situation.true_limit_per_s();
    let probe = Probe { number: 1, group: 1, stage: Stage::Rise, rate_per_s, length: 100 };
    let mut measured = Measured { latencies: Latencies::new(), runs: Vec::new(), measured_s: 0.0 };
    machine.measure(probe, 1.0, &mut measured);
    let response = &measured.latencies[Distribution::Response];
    let slow = response.buckets().filter(|&(ns, _)| ns > 10_000_000).map(|(_, n)| n).sum::<u64>();
    let share = slow as f64 / response.count() as f64;
    assert!((share - 0.01).abs() < 0.003, "{share}");
}

/// Expects the median of the answers to be at least this share of the truth, so many of them within
/// 5 % of it, none far below it, and none above it by more than 2 %.
#[track_caller]
fn expect_repeatable(situation: Situation, searches: u64, least: f64, near_at_least: usize) {
    let (found, _) = situation.answers(1..1 + searches);
    let median = found[found.len() / 2];
    assert!((least..=1.0).contains(&median), "{found:?}");
    assert!(found[0] > 0.85 && found[found.len() - 1] < 1.02, "{found:?}");
    let near = found.iter().filter(|answer| (0.95..=1.02).contains(*answer)).count();
    assert!(near >= near_at_least, "{found:?}");
}

#[test]
fn searches_of_a_queue_with_constant_service_agree_with_theory_although_probes_are_disturbed() {
    expect_repeatable(QUIET, 6, 0.95, 5);
}

#[test]
fn searches_of_a_queue_with_exponential_service_agree_with_theory_although_probes_are_disturbed() {
    let service = Service::Exponential;
    expect_repeatable(Situation { service, mean_s: 0.004, limit_s: 0.08, ..QUIET }, 6, 0.92, 2);
}

/// Probes slightly below the limit stayed undecided until the time was over, and the answers were 7
/// to 10 % too low.
#[test]
fn most_searches_beside_each_other_on_real_sockets_end_within_5_percent_in_20_minutes() {
    expect_repeatable(Situation { max_time_s: 1_185.0, ..BESIDE_OTHERS }, 15, 0.95, 11);
}

#[test]
#[ignore = "a study that prints a table; it takes minutes without optimisation"]
fn the_study_of_answers() {
    println!("situation: answer by truth at 0, 5, 25, 50, 75, 95, 100 %; within 5 %; seconds");
    let base = BESIDE_OTHERS;
    for (name, situation) in [
        ("2ms 13min", base),
        ("2ms 20min", Situation { max_time_s: 1_185.0, ..base }),
        ("2ms 20min, quiet", Situation { max_time_s: 1_185.0, disturbed: 0.05, ..base }),
        ("1ms 13min", Situation { mean_s: 0.001, limit_s: 0.005, ..base }),
        ("500us 2.5min", Situation { mean_s: 0.0005, limit_s: 0.0025, max_time_s: 135.0, ..base }),
        ("10ms 14min", Situation { mean_s: 0.01, limit_s: 0.05, max_time_s: 825.0, ..base }),
        ("quiet 1ms", Situation { mean_s: 0.001, limit_s: 0.01, max_time_s: 600.0, ..QUIET }),
        ("quiet 5ms", QUIET),
        ("M/M/1", Situation { service: Service::Exponential, limit_s: 0.1, ..QUIET }),
    ] {
        let begun = Instant::now();
        let (found, time_s) = situation.answers(STUDY_SEEDS);
        let computed_s = begun.elapsed().as_secs();
        let at = |share: f64| found[((found.len() - 1) as f64 * share) as usize];
        let shown =
            [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0].map(|share| format!("{:.3}", at(share)));
        let near = found.iter().filter(|answer| (0.95..=1.05).contains(*answer)).count();
        let high = found.iter().filter(|answer| **answer > 1.0).count();
        println!(
            "{name}: {} near {near} high {high} {time_s:.0} s, {computed_s} s",
            shown.join(" ")
        );
    }
}
