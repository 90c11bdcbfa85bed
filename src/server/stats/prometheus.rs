//! The metrics: a [`ServerStats`] for Prometheus.
//!
//! Names end in their unit, counters in `_total`. The label `shard` names a shard, the label
//! `acceptor` an accepting thread.

use super::prometheus_format::{Exposition, Kind, seconds};
use super::{AcceptorStats, ProcessStats, ServerStats, ShardStats, ShardTimings, Timing};

/// Name, help, and accessor. `S` is a shard or an acceptor.
type Metric<S> = (&'static str, &'static str, fn(&S) -> u64);

const SHARD_GAUGES: &[Metric<ShardStats>] = &[
    ("evshard_shard_answered", "1 if the shard answered in time.", |s| s.answered.into()),
    ("evshard_shard_connections_open", "Connections placed and not closed yet.", |s| s.open),
    ("evshard_shard_queued", "Sockets that wait to be adopted.", |s| s.queued),
    ("evshard_shard_queued_max", "Most sockets that ever waited to be adopted.", |s| s.queued_max),
    ("evshard_shard_event_capacity", "Current capacity of the event array.", |s| s.event_capacity),
];

const SHARD_COUNTERS: &[Metric<ShardStats>] = &[
    ("evshard_shard_connections_total", "Connections adopted.", |s| s.connections),
    (
        "evshard_shard_reads_delayed_total",
        "Times that reading from a connection waited for a byte rate.",
        |s| s.reads_delayed,
    ),
    (
        "evshard_shard_writes_delayed_total",
        "Times that sending to a connection waited for a byte rate.",
        |s| s.writes_delayed,
    ),
    ("evshard_shard_aged_total", "Connections that reached their maximum age.", |s| s.aged),
    (
        "evshard_shard_messages_total",
        "Messages of other shards and threads that the service got.",
        |s| s.messages,
    ),
    (
        "evshard_shard_messages_refused_total",
        "Times that the service could not post a message, because the queue was full.",
        |s| s.messages_refused,
    ),
    ("evshard_shard_dials_total", "Connections that the service dialed.", |s| s.dials),
    ("evshard_shard_dials_failed_total", "Dials that led to no connection.", |s| s.dials_failed),
    ("evshard_shard_tls_handshakes_total", "TLS handshakes that succeeded.", |s| s.handshakes.done),
    ("evshard_shard_tls_resumed_total", "TLS handshakes that resumed an earlier session.", |s| {
        s.handshakes.resumed
    }),
    (
        "evshard_shard_tls_deferred_total",
        "Times that a TLS handshake waited for the next turn of the event loop, because others had \
         used up the time that handshakes may take of one.",
        |s| s.handshakes.deferred,
    ),
    ("evshard_shard_reads_total", "Reads that returned data.", |s| s.reads),
    ("evshard_shard_read_bytes_total", "Bytes read.", |s| s.bytes_in),
    ("evshard_shard_written_bytes_total", "Bytes written.", |s| s.bytes_out),
    ("evshard_shard_waits_total", "Waits of the event base, one per turn.", |s| s.waits),
    (
        "evshard_shard_wait_errors_total",
        "Waits that failed for a transient reason, such as a lack of memory.",
        |s| s.wait_errors,
    ),
    ("evshard_shard_events_total", "Ready descriptors that waits reported.", |s| s.events),
    ("evshard_shard_changes_total", "Changes of interest passed to the kernel.", |s| s.changes),
    (
        "evshard_shard_changes_coalesced_total",
        "Changes merged into a pending one of the same descriptor.",
        |s| s.changes_coalesced,
    ),
    (
        "evshard_shard_changes_cancelled_total",
        "Pending changes that cancelled out before they were flushed.",
        |s| s.changes_cancelled,
    ),
    ("evshard_shard_slow_callbacks_total", "Callbacks of connections over the threshold.", |s| {
        s.slow_callbacks
    }),
    ("evshard_shard_switches_involuntary_total", "Times the kernel took the core away.", |s| {
        s.switches_involuntary
    }),
];

type Histogram = (&'static str, &'static str, fn(&ShardTimings) -> &Timing);

const SHARD_TIMINGS: &[Histogram] = &[
    (
        "evshard_shard_loop_lag_seconds",
        "From the return of a wait to the beginning of each callback it caused.",
        |t| &t.loop_lag,
    ),
    ("evshard_shard_callback_seconds", "How long callbacks took.", |t| &t.callback),
    (
        "evshard_shard_tls_handshake_seconds",
        "From the start of a TLS handshake to its end, of those that succeeded.",
        |t| &t.handshake,
    ),
    ("evshard_shard_handoff_seconds", "From accept to a connection's first callback.", |t| {
        &t.handoff
    }),
];

const ACCEPTOR_GAUGES: &[Metric<AcceptorStats>] = &[
    ("evshard_acceptor_answered", "1 if the acceptor's thread answered in time.", |g| {
        g.answered.into()
    }),
    ("evshard_acceptor_accepting", "1 if the acceptor accepts now.", |g| g.accepting.into()),
    ("evshard_acceptor_batch_max", "Most connections accepted in one batch.", |g| g.batch_max),
];

const ACCEPTOR_COUNTERS: &[Metric<AcceptorStats>] = &[
    ("evshard_acceptor_accepted_total", "Connections accepted.", |g| g.accepted),
    (
        "evshard_acceptor_accept_calls_total",
        "Calls of accept, including those that found the backlog empty.",
        |g| g.accept_calls,
    ),
    ("evshard_acceptor_batches_total", "Batches of accepts.", |g| g.batches),
    ("evshard_acceptor_shed_total", "Connections reset for lack of room.", |g| g.shed),
    (
        "evshard_acceptor_source_limit_total",
        "Connections reset because their source had as many as it may.",
        |g| g.source_limit,
    ),
    ("evshard_acceptor_aborted_total", "Accepts of connections that had ended already.", |g| {
        g.aborted
    }),
];

impl ServerStats {
    /// The statistics in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn to_prometheus(&self, process: &ProcessStats) -> String {
        let mut text = Exposition::default();
        self.put_server(&mut text);
        self.put_shards(&mut text);
        self.put_acceptors(&mut text);
        self.put_balance(&mut text);
        put_process(&mut text, process);
        text.into_text()
    }

    fn put_server(&self, text: &mut Exposition) {
        text.family("evshard_build_info", Kind::Gauge, "The version that runs; always 1.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let help = "Time since the server started.";
        text.single("evshard_uptime_seconds", Kind::Gauge, help, self.uptime_s);
        let help = "1 while the server drains.";
        text.single("evshard_draining", Kind::Gauge, help, u8::from(self.draining));
        let help = "Memory of the buffers of all connections.";
        text.single("evshard_buffer_bytes", Kind::Gauge, help, self.buffer_bytes);
        let help = "The limit of evshard_buffer_bytes.";
        text.single("evshard_buffer_limit_bytes", Kind::Gauge, help, self.buffer_limit_bytes);
        let help = "Sources with open connections; 0 without a limit per source.";
        text.single("evshard_sources", Kind::Gauge, help, self.sources);
        let mut listeners =
            text.family("evshard_listener_info", Kind::Gauge, "An address listened on; always 1.");
        for address in &self.listeners {
            listeners.sample(&[("address", address)], 1);
        }
    }

    fn put_shards(&self, text: &mut Exposition) {
        put_each(text, "shard", Kind::Gauge, SHARD_GAUGES, numbered(&self.shards));
        let mut busy =
            text.family("evshard_shard_busy_ratio", Kind::Gauge, "Busy share of recent time.");
        numbered(&self.shards).for_each(|(shard, of)| busy.sample(&[("shard", &shard)], of.busy));
        // A shard that did not answer has no counters: zeros would look like a restart.
        let answered = || numbered(&self.shards).filter(|(_, shard)| shard.answered);
        put_each(text, "shard", Kind::Counter, SHARD_COUNTERS, answered());
        let help = "CPU time of the shard's thread.";
        let mut cpu = text.family("evshard_shard_cpu_seconds_total", Kind::Counter, help);
        answered().for_each(|(shard, of)| cpu.sample(&[("shard", &shard)], seconds(of.cpu_ns)));
        let help = "Connections that were closed early.";
        let mut errors = text.family("evshard_shard_errors_total", Kind::Counter, help);
        for (shard, of) in answered() {
            for (kind, count) in of.errors.by_kind() {
                errors.sample(&[("shard", &shard), ("kind", kind)], count);
            }
        }
        let help = "TLS handshakes that failed, by reason.";
        let mut failed =
            text.family("evshard_shard_tls_handshake_errors_total", Kind::Counter, help);
        for (shard, of) in answered() {
            for (kind, count) in of.handshakes.errors.by_kind() {
                failed.sample(&[("shard", &shard), ("kind", kind)], count);
            }
        }
        let help =
            "Wake-ups of the shard, by outcome: eventfd written, already awake, queue empty.";
        let mut wakes = text.family("evshard_shard_wakes_total", Kind::Counter, help);
        for (shard, of) in answered() {
            for (outcome, count) in wakes_of(of) {
                wakes.sample(&[("shard", &shard), ("outcome", outcome)], count);
            }
        }
        for &(name, help, timing) in SHARD_TIMINGS {
            let mut family = text.family(name, Kind::Histogram, help);
            for (shard, of) in answered() {
                family.histogram(&[("shard", &shard)], timing(&of.timings));
            }
        }
    }

    fn put_acceptors(&self, text: &mut Exposition) {
        put_each(text, "acceptor", Kind::Gauge, ACCEPTOR_GAUGES, numbered(&self.acceptors));
        let answered = || numbered(&self.acceptors).filter(|(_, acceptor)| acceptor.answered);
        put_each(text, "acceptor", Kind::Counter, ACCEPTOR_COUNTERS, answered());
        let help = "Times accepting paused, by reason: all queues full, connection limit, \
                    memory limit, no descriptor or memory of the system, accept failing.";
        let mut pauses = text.family("evshard_acceptor_pauses_total", Kind::Counter, help);
        for (acceptor, of) in answered() {
            for (reason, count) in pauses_of(of) {
                pauses.sample(&[("acceptor", &acceptor), ("reason", reason)], count);
            }
        }
    }

    fn put_balance(&self, text: &mut Exposition) {
        let balance = self.balance().by_name();
        let help = "Jain's fairness index over the shards: 1 is even, 1/n is one with everything.";
        let mut jain = text.family("evshard_balance_jain_ratio", Kind::Gauge, help);
        balance.iter().for_each(|(of, found)| jain.sample(&[("of", of)], found.jain));
        let help = "The largest share over the mean of the shards: 1 is even.";
        let mut worst = text.family("evshard_balance_max_over_mean_ratio", Kind::Gauge, help);
        balance.iter().for_each(|(of, found)| worst.sample(&[("of", of)], found.max_over_mean));
    }
}

/// Shards or acceptors, each with its index as a label value.
fn numbered<S>(things: &[S]) -> impl Iterator<Item = (String, &S)> + Clone {
    things.iter().enumerate().map(|(number, thing)| (number.to_string(), thing))
}

/// Writes the metrics of each shard or acceptor.
fn put_each<'a, S: 'a>(
    text: &mut Exposition,
    label: &str,
    kind: Kind,
    metrics: &[Metric<S>],
    things: impl Iterator<Item = (String, &'a S)> + Clone,
) {
    for &(name, help, number) in metrics {
        let mut family = text.family(name, kind, help);
        things.clone().for_each(|(which, of)| family.sample(&[(label, &which)], number(of)));
    }
}

/// Uses the names of Prometheus' own client libraries, where they have one.
fn put_process(text: &mut Exposition, process: &ProcessStats) {
    let help = "CPU time of the process.";
    let cpu_s = seconds(process.cpu_ns);
    text.single("process_cpu_seconds_total", Kind::Counter, help, cpu_s);
    for (name, help, number) in [
        ("process_open_fds", "Open descriptors.", process.open_fds),
        ("process_max_fds", "Most descriptors that may be open.", process.max_fds),
        ("process_resident_memory_bytes", "Memory in use.", process.resident_bytes),
    ] {
        if let Some(number) = number {
            text.single(name, Kind::Gauge, help, number);
        }
    }
    let help = "Log lines dropped, because their reader was too slow or a write failed.";
    text.single("evshard_log_dropped_total", Kind::Counter, help, process.log_dropped);
}

fn wakes_of(shard: &ShardStats) -> [(&'static str, u64); 3] {
    [
        ("sent", shard.wakes_sent),
        ("suppressed", shard.wakes_suppressed),
        ("spurious", shard.wakes_spurious),
    ]
}

fn pauses_of(acceptor: &AcceptorStats) -> [(&'static str, u64); 6] {
    [
        ("full", acceptor.pauses_full),
        ("limit", acceptor.pauses_at_limit),
        ("rate", acceptor.pauses_at_rate),
        ("memory", acceptor.pauses_memory),
        ("exhausted", acceptor.pauses_exhausted),
        ("failing", acceptor.pauses_failing),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn text() -> String {
        let mut shard = ShardStats { answered: true, open: 3, busy: 0.25, ..Default::default() };
        shard.errors.idle = 2;
        shard.timings.handoff.record(15_000);
        let silent = ShardStats { shard: 1, open: 0, ..Default::default() };
        let acceptor = AcceptorStats {
            answered: true,
            accepted: 4,
            pauses_exhausted: 1,
            ..Default::default()
        };
        let stats = ServerStats {
            uptime_s: 1.5,
            listeners: vec!["127.0.0.1:5555".into(), "unix:/a \"b\\\nc".into()],
            shards: vec![shard, silent],
            acceptors: vec![acceptor, AcceptorStats::default()],
            ..Default::default()
        };
        stats.to_prometheus(&ProcessStats::read())
    }

    #[test]
    fn promtool_accepts_the_metrics() {
        let Some(promtool) = test_needs::program("promtool") else { return };
        let mut promtool = Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text().as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let output_text = [output.stdout, output.stderr].concat();
        let output_text = String::from_utf8_lossy(&output_text);
        assert!(output.status.success() && output_text.is_empty(), "{output_text}");
    }

    #[test]
    fn shards_and_acceptors_have_labels() {
        let text = text();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        has(r#"evshard_shard_connections_open{shard="0"} 3"#);
        has(r#"evshard_shard_errors_total{shard="0",kind="idle"} 2"#);
        has(r#"evshard_shard_handoff_seconds_count{shard="0"} 1"#);
        has(r#"evshard_acceptor_pauses_total{acceptor="0",reason="exhausted"} 1"#);
        has(r#"evshard_balance_jain_ratio{of="open"} 0.5"#);
        has(r#"evshard_listener_info{address="unix:/a \"b\\\nc"} 1"#);
    }

    #[test]
    fn a_thread_without_an_answer_has_no_counters_that_look_like_a_restart() {
        let text = text();
        let is_silent =
            |line: &&str| line.contains("shard=\"1\"") || line.contains("acceptor=\"1\"");
        let of_silent = text.lines().filter(is_silent);
        let names: Vec<_> = of_silent.map(|line| line.split('{').next().unwrap()).collect();
        assert!(names.contains(&"evshard_acceptor_answered"), "{names:?}");
        assert!(names.contains(&"evshard_shard_answered"), "{names:?}");
        assert!(names.contains(&"evshard_shard_connections_open"), "{names:?}");
        assert!(!names.iter().any(|name| name.ends_with("_total")), "{names:?}");
        assert!(!names.iter().any(|name| name.ends_with("_bucket")), "{names:?}");
    }

    #[test]
    fn every_sample_is_there_once() {
        let text = text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let mut seen = HashSet::new();
        for sample in samples.map(|line| line.rsplit_once(' ').unwrap().0) {
            assert!(seen.insert(sample), "{sample} twice");
        }
    }
}
