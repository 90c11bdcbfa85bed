//! The metrics of a run for Prometheus (`--metrics`).
//!
//! The main thread makes the text when an interval has ended. Another thread answers with it, so
//! scrapes cost the loading threads nothing. Each request is counted once, in the interval in which
//! its reply or its failure was seen.
//!
//! ```text
//! exposition  the text format
//! responder   the thread that answers
//! ```

mod exposition;
mod responder;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use self::exposition::{Exposition, Kind};
use self::responder::Responder;
use crate::console;
use crate::engine::Interval;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::latency::{Distribution, Latencies};
use crate::options::Options;
use crate::record::{Counters, IntervalRecord, Record, Verdict};
use crate::schedule::Mode;

/// The endpoint of a measurement.
#[derive(Debug)]
pub(super) struct Metrics {
    responder: Responder,
    linger: Duration,
    totals: Totals,
}

/// What the metrics say.
#[derive(Debug)]
struct Totals {
    mode: Mode,
    /// Number of the run, from 1; 0 before the first.
    run: u32,
    /// Of all runs together.
    total: Counters,
    latencies: Latencies,
    stalled_s: f64,
    /// Of this run alone.
    of_run: Counters,
    latest: Option<IntervalRecord>,
    result: Option<(Verdict, Findings)>,
}

/// The codes and levels of reasons and labels, each once.
type Findings = BTreeSet<(String, Verdict)>;

/// Name, help, and number of a counter.
type Counter = (&'static str, &'static str, fn(&Counters) -> u64);

const COUNTERS: [Counter; 7] = [
    ("loadgen_requests_scheduled_total", "Requests that were taken out of the schedule.", |c| {
        c.scheduled
    }),
    ("loadgen_requests_sent_total", "Requests whose first byte was written.", |c| c.sent),
    (
        "loadgen_requests_answered_total",
        "Requests with a complete and correct reply, warm-up and drain included.",
        |c| c.completed,
    ),
    ("loadgen_connections_total", "Connections established.", |c| c.connects),
    ("loadgen_connections_churned_total", "Connections closed as planned.", |c| c.churned),
    ("loadgen_sent_bytes_total", "Bytes of requests.", |c| c.bytes_sent),
    ("loadgen_received_bytes_total", "Bytes of replies.", |c| c.bytes_received),
];

/// A kind of error, and how many there were.
type ErrorKind = (&'static str, fn(&Counters) -> u64);

/// With the answered and the outstanding ones, these are all requests that were due.
const REQUEST_ERRORS: [ErrorKind; 7] = [
    ("unexpected_status", |c| c.unexpected_status),
    ("changed_body", |c| c.changed_bodies),
    ("wrong_value", |c| c.wrong_values),
    ("connection_lost", |c| c.failed),
    ("timed_out", |c| c.timed_out),
    ("unanswered", |c| c.censored),
    ("unsent", |c| c.unsent),
];

/// Why a connection was lost.
const CONNECTION_ERRORS: [ErrorKind; 7] = [
    ("mismatch", |c| c.mismatches),
    ("closed_by_server", |c| c.closed_by_server),
    ("reset", |c| c.resets),
    ("timeout", |c| c.timeouts),
    ("truncated", |c| c.truncated),
    ("tls", |c| c.tls_errors),
    ("other", |c| c.other_errors),
];

const HISTOGRAMS: [(&str, &str, Distribution); 4] = [
    (
        "loadgen_response_seconds",
        "From when a measured request was due to its reply; open loop.",
        Distribution::Response,
    ),
    (
        "loadgen_service_seconds",
        "From the send of a measured request to its reply.",
        Distribution::Service,
    ),
    (
        "loadgen_lateness_seconds",
        "From when a measured request was due to its send; open loop.",
        Distribution::Lateness,
    ),
    (
        "loadgen_loader_late_seconds",
        "The loader's own part of the lateness; open loop.",
        Distribution::LoaderLate,
    ),
];

impl Metrics {
    /// Listens, if the options say so.
    pub(super) fn open(options: &Options) -> Result<Option<Self>, Error> {
        let Some(metrics) = &options.output.metrics else { return Ok(None) };
        let totals = Totals {
            mode: options.load.mode(),
            run: 0,
            total: Counters::default(),
            latencies: Latencies::new(),
            stalled_s: 0.0,
            of_run: Counters::default(),
            latest: None,
            result: None,
        };
        let address = &metrics.address;
        let responder = Responder::start(address, totals.text())
            .map_err(|source| Error::Metrics { address: address.clone(), source })?;
        if !options.output.quiet {
            console::say(&format!("metrics at http://{}/metrics", responder.address()));
        }
        Ok(Some(Self { responder, linger: metrics.linger, totals }))
    }

    /// Begins to count the connections of a run.
    pub(super) fn run_begins(&mut self, number: u32) {
        let totals = &mut self.totals;
        (totals.run, totals.of_run, totals.latest) = (number, Counters::default(), None);
        self.responder.publish(self.totals.text());
    }

    /// Adds an interval.
    pub(super) fn interval(&mut self, interval: &Interval<'_>) {
        let totals = &mut self.totals;
        totals.total.merge(interval.growth);
        totals.of_run.merge(interval.growth);
        totals.latencies.merge(interval.latencies);
        totals.stalled_s += interval.record.loader_stalled_s;
        totals.latest = Some(interval.record.clone());
        self.responder.publish(self.totals.text());
    }

    /// Adds the verdict. The connections are closed by now.
    pub(super) fn finish(&mut self, record: &Record) {
        let validity = &record.validity;
        let findings = validity.reasons.iter().chain(&validity.labels);
        let findings = findings.map(|finding| (finding.code.to_string(), finding.level));
        let totals = &mut self.totals;
        totals.result = Some((validity.verdict, findings.collect()));
        (totals.of_run, totals.latest) = (Counters::default(), None);
        self.responder.publish(self.totals.text());
    }

    /// Answers further scrapes for the time that was asked for, unless a signal ends it.
    pub(super) fn linger(&self, interrupt: &Interrupt) {
        let linger = self.linger;
        interrupt.or(move || thread::sleep(linger));
    }
}

impl Totals {
    fn text(&self) -> String {
        let mut text = Exposition::default();
        self.put_counts(&mut text);
        self.put_loader(&mut text);
        self.put_result(&mut text);
        text.into_text()
    }

    fn put_counts(&self, text: &mut Exposition) {
        for (name, help, count) in COUNTERS {
            text.family(name, Kind::Counter, help).sample("", count(&self.total));
        }
        let kinds = [
            ("loadgen_request_errors_total", "Requests that failed.", &REQUEST_ERRORS),
            ("loadgen_connection_errors_total", "Connections that were lost.", &CONNECTION_ERRORS),
        ];
        for (name, help, errors) in kinds {
            let family = text.family(name, Kind::Counter, help);
            for (kind, count) in errors {
                family.sample(&format!("kind=\"{kind}\""), count(&self.total));
            }
        }
        let help = "Attempts to connect that failed during the load.";
        text.family("loadgen_connect_failures_total", Kind::Counter, help)
            .sample("", self.total.connect_failures);
        let lost: u64 = CONNECTION_ERRORS.iter().map(|(_, count)| count(&self.of_run)).sum();
        let open = self.of_run.connects.saturating_sub(lost + self.of_run.churned);
        text.family("loadgen_connections_open", Kind::Gauge, "Connections that are open.")
            .sample("", open);
        let latest = self.latest.as_ref();
        let help = "Requests that were sent and are not answered.";
        text.family("loadgen_requests_outstanding", Kind::Gauge, help)
            .sample("", latest.map_or(0, |interval| interval.outstanding));
        let help = "Requests that are due and not sent.";
        text.family("loadgen_requests_backlog", Kind::Gauge, help)
            .sample("", latest.map_or(0, |interval| interval.backlog));
        for (name, help, distribution) in HISTOGRAMS {
            if self.mode == Mode::Open || distribution == Distribution::Service {
                text.family(name, Kind::Histogram, help).histogram(&self.latencies[distribution]);
            }
        }
    }

    /// What the loader knows of itself.
    fn put_loader(&self, text: &mut Exposition) {
        let latest = self.latest.as_ref();
        let help = "Share of a processor that the busiest thread of the loader uses.";
        text.family("loadgen_loader_cpu_ratio", Kind::Gauge, help)
            .sample("", latest.map_or(0.0, |interval| interval.loader_cpu));
        let help = "Time that a thread of the loader stood still, the longest in each interval.";
        text.family("loadgen_loader_stalled_seconds_total", Kind::Counter, help)
            .sample("", self.stalled_s);
        if let Some(run_delay) = latest.and_then(|interval| interval.loader_run_delay) {
            let help = "Share of the time that a thread of the loader waited for a processor.";
            text.family("loadgen_loader_run_delay_ratio", Kind::Gauge, help).sample("", run_delay);
        }
    }

    fn put_result(&self, text: &mut Exposition) {
        let help = "The version that runs; always 1.";
        text.family("loadgen_build_info", Kind::Gauge, help)
            .sample(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
        text.family("loadgen_run", Kind::Gauge, "Number of the run, from 1.").sample("", self.run);
        let help = "1 once the measurement has ended, and its counts are final.";
        text.family("loadgen_finished", Kind::Gauge, help)
            .sample("", u8::from(self.result.is_some()));
        let verdict = self.result.as_ref().map(|(verdict, _)| *verdict);
        let help = "1 for the verdict, once the measurement has ended.";
        let family = text.family("loadgen_verdict", Kind::Gauge, help);
        for possible in [Verdict::Valid, Verdict::Suspect, Verdict::Invalid] {
            let labels = format!("verdict=\"{possible}\"");
            family.sample(&labels, u8::from(verdict == Some(possible)));
        }
        let Some((_, findings)) = &self.result else { return };
        let help = "1 for each finding about the measurement.";
        let family = text.family("loadgen_finding", Kind::Gauge, help);
        for (code, level) in findings {
            family.sample(&format!("code=\"{code}\",level=\"{level}\""), 1);
        }
    }
}
