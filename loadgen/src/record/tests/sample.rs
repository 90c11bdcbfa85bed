//! Measurements without fault, which tests then change.

use std::iter;
use std::time::Duration;

use crate::environment::Environment;
use crate::environment::calibration::Calibration;
use crate::latency::{Batches, Distribution, Latencies, P50, P99, Samples};
use crate::measure::Measurement;
use crate::options::Pacing;
use crate::record::{
    ArgsRecord, Counters, IntervalRecord, LatenciesRecord, RateRecord, RunRecord, StatusesRecord,
    TextValue, ThreadRecord, Validity,
};
use crate::schedule::{Mode, Window, random};
use crate::slo::Slo;

/// 2,000 requests a second for 20 s, answered within 100 to 200 µs.
pub(crate) fn open() -> Measurement {
    several(&open_args(), 1)
}

/// 64 connections one request at a time for 10 s, 4,000 requests a second.
pub(crate) fn closed() -> Measurement {
    let args = ArgsRecord {
        mode: Mode::Closed,
        rate: None,
        arrival: None,
        duration_s: 10.0,
        pipeline: 1,
        ..open_args()
    };
    several(&args, 1)
}

/// The same plan, run several times.
pub(crate) fn several(args: &ArgsRecord, runs: u32) -> Measurement {
    let args = ArgsRecord { runs, ..args.clone() };
    let (one, batches) = latencies(&args);
    let mut latencies = Latencies::new();
    iter::repeat_n(&one, runs as usize).for_each(|run| latencies.merge(run));
    let batches: Vec<Batches> = iter::repeat_n(batches, runs as usize).collect();
    let of_run = Samples { mode: args.mode, latencies: &one, runs: &batches[..1] };
    let runs = (1..=runs).map(|number| run(number, &args, &of_run)).collect();
    let objectives: Vec<Slo> = args.slo.iter().filter_map(TextValue::value).cloned().collect();
    Measurement::of(args, environment(), runs, latencies, batches, &objectives)
}

/// The plan of [`open`].
pub(crate) fn open_args() -> ArgsRecord {
    ArgsRecord {
        target: "127.0.0.1:5555".to_owned(),
        mode: Mode::Open,
        rate: Some("2000".to_owned().into()),
        arrival: Some("poisson".to_owned()),
        connections: 64,
        threads: 1,
        pipeline: 1_024,
        protocol: "raw".to_owned(),
        tls: None,
        http: None,
        http_path: None,
        ws_text: false,
        expect_status: None,
        key_value: None,
        key_prefix: None,
        size: "64".to_owned(),
        size_mean_bytes: 64.0,
        verify: "full".to_owned(),
        churn: None,
        duration_s: 20.0,
        warmup_s: 1.0,
        timeout_s: 5.0,
        seed: 1,
        merged_seeds: Vec::new(),
        pacing: TextValue::of(Pacing::Sleep),
        pin: None,
        slo: Vec::new(),
        runs: 1,
        server_command: None,
        agents: None,
    }
}

/// What `loadgen calibrate` might have found.
pub(crate) fn calibration(ceiling_per_s: f64) -> Calibration {
    Calibration {
        loadgen_version: "2".to_owned(),
        loadgen_profile: "release".to_owned(),
        kernel: "6.1".to_owned(),
        cpu_model: None,
        made_unix_s: None,
        ceiling_per_s,
        lateness_rate_per_s: 20_000.0,
        lateness: [].into(),
    }
}

fn environment() -> Environment {
    Environment {
        loadgen_version: "2".to_owned(),
        loadgen_profile: "release".to_owned(),
        command: "loadgen run".to_owned(),
        kernel: "6.1".to_owned(),
        cpus: Some(8),
        ..Environment::default()
    }
}

/// 40,000 requests: service times of 100 to 200 µs, sends 1 to 9 µs late.
pub(crate) fn latencies(args: &ArgsRecord) -> (Latencies, Batches) {
    let mut latencies = Latencies::new();
    let window = Window::new(0, Duration::ZERO, Duration::from_nanos(40_000));
    let mut batches = Batches::new(window);
    for n in 0..40_000_u64 {
        let (service_ns, late_ns) = (100_000 + n * 5 / 2, 1_000 + n % 9 * 1_000);
        // In an order that has nothing to do with the values.
        let intended_ns = random::at(5, n) % 40_000;
        let mut record = |distribution: Distribution, value_ns: u64| {
            latencies[distribution].record(value_ns);
            batches.record(distribution, intended_ns, value_ns);
        };
        record(Distribution::Service, service_ns);
        if args.is_open() {
            record(Distribution::Response, service_ns + late_ns);
            record(Distribution::Lateness, late_ns);
            record(Distribution::LoaderLate, late_ns);
        }
    }
    (1..=64).for_each(|n| latencies[Distribution::Connect].record(n * 1_000));
    (latencies, batches)
}

fn run(number: u32, args: &ArgsRecord, samples: &Samples<'_>) -> RunRecord {
    let latencies = samples.latencies;
    let measured = latencies[Distribution::Service].count();
    let counters = Counters {
        scheduled: measured,
        sent: measured,
        completed: measured,
        in_window: measured,
        measured,
        answered_in_window: measured,
        bytes_sent_in_window: 64 * measured,
        bytes_received_in_window: 64 * measured,
        connects: 64,
        ..Counters::default()
    };
    let rate = RateRecord::new(&counters, args.mode, args.duration_s);
    let mean_s = latencies[Distribution::Service].mean_ns().unwrap_or(0) as f64 / 1e9;
    RunRecord {
        number,
        seeds: vec![args.seed + u64::from(number - 1)],
        started_unix_s: 1_700_000_000.0 + 60.0 * f64::from(number),
        validity: Validity::valid(),
        outstanding_mean: rate.achieved_per_s * mean_s,
        outstanding_by_service: rate.achieved_per_s * mean_s,
        latency_ns: LatenciesRecord::new(samples),
        statuses: StatusesRecord::default(),
        counters,
        tls: None,
        key_value: None,
        agents: Vec::new(),
        threads: vec![ThreadRecord {
            connections: 64,
            completed: measured,
            cpu_s: 9.0,
            wall_s: 20.0,
            cpu_share: 0.45,
            involuntary_switches: 0,
            major_faults: 0,
            stalls: 0,
            stalled_s: 0.0,
            longest_stall_s: 0.0,
            run_delay_s: Some(0.1),
        }],
        arrivals: None,
        intervals: intervals(args, &rate, latencies),
        rate,
        server: None,
        server_metrics: None,
        steal_share: None,
        first_mismatch: None,
        first_unexpected_reply: None,
        first_changed_body: None,
        first_other_error: None,
        ended_early_s: None,
        interrupted: false,
    }
}

/// One interval a second, all alike.
fn intervals(args: &ArgsRecord, rate: &RateRecord, latencies: &Latencies) -> Vec<IntervalRecord> {
    let per_interval = rate.achieved_per_s as u64;
    let interval = |second: u32| IntervalRecord {
        start_s: f64::from(second),
        length_s: 1.0,
        scheduled: per_interval,
        sent: per_interval,
        completed: per_interval,
        failed: 0,
        outstanding: 0,
        backlog: 0,
        p50_ns: latencies.headline(args.mode).percentile_ns(P50),
        p99_ns: latencies.headline(args.mode).percentile_ns(P99),
        max_ns: latencies.headline(args.mode).max_ns(),
        loader_cpu: 0.45,
        loader_stalled_s: 0.0,
        loader_run_delay: Some(0.005),
        server_cpu: None,
    };
    (0..args.duration_s as u32).map(interval).collect()
}
