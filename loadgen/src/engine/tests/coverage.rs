//! How often the confidence interval of a percentile contains the true value: queues whose response
//! times are theorems, measured again and again with other seeds.

use super::simulation::{Queue, Simulation};
use super::{S, simulate};
use crate::latency::{P50, P90, P99, Percentile, Samples};
use crate::record::LatenciesRecord;
use crate::schedule::{Mode, random};

/// A server with one place, Poisson arrivals, and one of two kinds of service.
#[derive(Debug, Clone, Copy)]
enum Service {
    /// M/M/1: the response time is exponential with the rate of service less that of arrivals.
    Exponential,
    /// M/D/1: waits have the distribution that Erlang found in 1909.
    Constant,
}

/// One queue and how long it is measured.
#[derive(Debug, Clone, Copy)]
struct Study {
    service: Service,
    utilisation: f64,
    rate_per_s: u32,
    duration_s: u32,
}

/// How many runs gave an interval, and how many intervals contain the true value.
#[derive(Debug, Clone, Copy, Default)]
struct Coverage {
    runs: u32,
    intervals: u32,
    hits: u32,
}

impl Coverage {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.intervals += other.intervals;
        self.hits += other.hits;
    }

    fn share(self) -> f64 {
        f64::from(self.hits) / f64::from(self.intervals)
    }
}

impl Study {
    /// The true percentile in nanoseconds.
    fn truth(self, percentile: Percentile) -> f64 {
        let service_s = self.utilisation / f64::from(self.rate_per_s);
        let s = match self.service {
            Service::Exponential => {
                let mean_s = service_s / (1.0 - self.utilisation);
                -(1.0 - percentile.quantile).ln() * mean_s
            }
            Service::Constant => {
                let wait = |s: f64| waits_at_most(s / service_s, self.utilisation);
                let (mut low, mut high) = (0.0, 40.0 * service_s);
                for _ in 0..60 {
                    let middle = f64::midpoint(low, high);
                    let is_below = wait(middle) < percentile.quantile;
                    *(if is_below { &mut low } else { &mut high }) = middle;
                }
                high + service_s
            }
        };
        s * 1e9
    }

    /// Measures with this seed.
    fn run(self, seed: u64) -> LatenciesRecord {
        let mean_ns = self.utilisation * S as f64 / f64::from(self.rate_per_s);
        let kind = self.service;
        let service_ns = move |k: u64| match kind {
            Service::Constant => mean_ns,
            Service::Exponential => {
                -(1.0 - random::unit(random::at(random::key(seed, 77), k))).ln() * mean_ns
            }
        };
        let ends = move |k, begins_ns| begins_ns + service_ns(k).round() as u64;
        let world = Simulation::new(Queue::new(64, ends));
        let flags = format!(
            "--rate {} --warmup 2s --duration {}s -c 4 --timeout 60s --seed {seed} --verify none",
            self.rate_per_s, self.duration_s
        );
        let found = simulate(&flags, world);
        let batches = found.recorded.batches.unwrap();
        let runs = std::slice::from_ref(&batches);
        LatenciesRecord::new(&Samples { mode: Mode::Open, latencies: &found.latencies, runs })
    }

    fn coverage(self, runs: u64) -> [Coverage; 3] {
        let mut coverage = [Coverage::default(); 3];
        for seed in 1..=runs {
            let response = self.run(seed).response;
            for (found, percentile) in coverage.iter_mut().zip([P50, P90, P99]) {
                found.runs += 1;
                let Some((low_ns, high_ns)) = response.ci95_at(percentile) else { continue };
                let true_ns = self.truth(percentile);
                let is_inside = low_ns as f64 <= true_ns
                    && high_ns.is_none_or(|high_ns| true_ns <= high_ns as f64);
                found.intervals += 1;
                found.hits += u32::from(is_inside);
            }
        }
        coverage
    }
}

/// The probability that a request of M/D/1 waits for at most `services` services.
fn waits_at_most(services: f64, utilisation: f64) -> f64 {
    let terms = (0..=services.floor() as u32).map(|k| {
        let x = utilisation * (f64::from(k) - services);
        let factorial: f64 = (1..=k).map(f64::from).product();
        x.powi(k as i32) / factorial * (-x).exp()
    });
    (1.0 - utilisation) * terms.sum::<f64>()
}

#[test]
fn the_true_percentiles_are_those_of_the_theorems() {
    let of = |service, percentile| {
        Study { service, utilisation: 0.8, rate_per_s: 80, duration_s: 1 }.truth(percentile) / 1e6
    };
    // A service of 10 ms: means 50 ms, ln 2 and ln 100 times.
    assert!((of(Service::Exponential, P50) - 34.66).abs() < 0.01);
    assert!((of(Service::Exponential, P99) - 230.26).abs() < 0.01);
    // Waits of M/D/1 beyond 0 are 80 %: those at most 1 service have 0.2 (e^0.8 - 0 terms).
    assert!((waits_at_most(0.0, 0.8) - 0.2).abs() < 1e-12);
    assert!((waits_at_most(0.999_999, 0.8) - 0.2 * 0.8_f64.exp()).abs() < 1e-5);
}

#[test]
fn intervals_contain_the_true_percentile_in_queues_that_are_nearly_full() {
    let mut all = Coverage::default();
    for (service, utilisation, rate_per_s, duration_s) in [
        (Service::Exponential, 0.5, 80, 12),
        (Service::Exponential, 0.8, 80, 12),
        (Service::Exponential, 0.9, 1_000, 4),
        (Service::Constant, 0.8, 80, 60),
        (Service::Constant, 0.9, 1_000, 4),
    ] {
        let study = Study { service, utilisation, rate_per_s, duration_s };
        let [p50, p90, p99] = study.coverage(40);
        assert!(p50.intervals >= 25, "{study:?} p50: {p50:?}");
        assert!(p50.share() >= 0.85, "{study:?} p50: {p50:?}");
        [p50, p90, p99].into_iter().for_each(|found| all.add(found));
    }
    assert!(all.share() >= 0.92, "{all:?}");
}

#[test]
fn a_percentile_with_too_few_independent_samples_has_no_interval() {
    // 960 requests, and a hundred of them count as one.
    let study =
        Study { service: Service::Exponential, utilisation: 0.9, rate_per_s: 80, duration_s: 12 };
    let [_, p90, p99] = study.coverage(20);
    assert!(p90.intervals <= 2 && p99.intervals == 0, "{p90:?} {p99:?}");
}

/// The whole study; a table for `results/`.
#[test]
#[ignore = "takes many minutes; prints a table"]
fn the_coverage_of_all_queues() {
    println!("service,utilisation,rate_per_s,duration_s,percentile,runs,intervals,hits");
    for service in [Service::Exponential, Service::Constant] {
        for utilisation in [0.5, 0.8, 0.9] {
            for (rate_per_s, duration_s) in
                [(80, 4), (80, 12), (80, 60), (1_000, 4), (1_000, 12), (1_000, 60), (10_000, 4)]
            {
                let study = Study { service, utilisation, rate_per_s, duration_s };
                for (found, percentile) in study.coverage(100).iter().zip([P50, P90, P99]) {
                    println!(
                        "{service:?},{utilisation},{rate_per_s},{duration_s},{},{},{},{}",
                        percentile.label, found.runs, found.intervals, found.hits
                    );
                }
            }
        }
    }
}
