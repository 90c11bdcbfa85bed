//! Records for tests: one in which every value is known, and one with the fewest.

use serde_json::{Value, json};

use crate::record::*;

/// A record in which every value is known.
pub(crate) fn full() -> Record {
    let mut record = minimal_value();
    let latency = json!({
        "p50": 51_200, "p90": 90_000, "p99": 180_250, "p999": 400_000, "p9999": 800_000,
        "max": 912_345, "min": 20_001, "mean": 60_000, "count": 100_000, "censored": 3,
        "at_most": {"p9999": 850_000, "max": 990_000},
        "ci95": {"p50": [51_000, 51_400], "p99": [179_000, 182_000]},
        "effective_n": {"p50": 90_000, "p99": 40_000},
    });
    let distributions = "response service lateness loader_late blocked connect handshake stalled";
    let latencies: Value =
        distributions.split(' ').map(|name| (name.to_owned(), latency.clone())).collect();
    let reason =
        json!({"code": "loader-late", "level": "SUSPECT", "text": "late <by> 1 ms & more"});
    let label =
        json!({"code": "co-located", "level": "VALID", "text": "they share processors 0-1"});
    let validity = json!({
        "verdict": "SUSPECT", "reasons": [reason], "labels": [label],
        "percentiles": {"p999": {"verdict": "SUSPECT", "at_most_ns": 100_000}},
    });
    let rate = json!({
        "offered_per_s": 1_000.5, "achieved_per_s": 990.25, "sent_bytes_per_s": 63_376.0,
        "received_bytes_per_s": 63_370.5, "measured_s": 1.0,
    });
    let args = [
        ("mode", json!("open")),
        ("rate", json!("1k")),
        ("arrival", json!("poisson")),
        ("protocol", json!("http")),
        ("http", http_args()),
        ("http_path", json!("/a?b=c")),
        ("ws_text", json!(true)),
        ("expect_status", json!("2xx,404")),
        ("size", json!("none")),
        ("size_mean_bytes", json!(0.0)),
        ("churn", json!("after 100 requests")),
        ("tls", tls_args()),
        ("key_value", key_value_args()),
        ("key_prefix", json!("lg:")),
        ("pin", json!("2-3")),
        ("agents", json!(4)),
        ("slo", json!(["p99<1ms"])),
        ("server_command", json!("evshard serve --workers 2")),
    ];
    for (name, value) in args {
        record["args"][name] = value;
    }
    record["env"]["sharing"] = json!("shared processors");
    record["env"]["calibration"] = json!({
        "loadgen_version": "1", "loadgen_profile": "release", "kernel": "6.1", "cpu_model": "fast",
        "made_unix_s": 1_700_000_000, "ceiling_per_s": 200_000.5, "lateness_rate_per_s": 20_000.0,
        "lateness": {"sleep": {"p50_ns": 900, "p99_ns": 9_000, "p999_ns": 40_000}},
    });
    record["validity"] = validity;
    record["slo"] = json!([{
        "objective": "p99<1ms", "met": true, "decision": "passed", "found": "p99 is 180 µs",
    }]);
    record["rate"] = rate;
    record["latency_ns"] = latencies;
    record["statuses"] =
        json!({"codes": {"200": 1_989, "503": 11}, "latency_ns": {"5xx": latency}});
    record["tls"] = tls();
    record["key_value"] = key_value();
    record["server"] = server();
    record["server_metrics"] = server_metrics();
    record["runs"] = json!([run(&record)]);
    serde_json::from_value(record).unwrap()
}

fn server() -> Value {
    json!({
        "command": "evshard serve --workers 2", "pid": 4711, "wall_s": 2.0, "cpu_s": 0.5,
        "cpu_us_per_request": 5.5, "voluntary_switches": 10, "involuntary_switches": 2,
        "rss_bytes": 5_242_880, "pss_bytes": 4_194_304, "cpus_allowed": "0-1",
        "program_sha256": "00ff",
        "threads": [{
            "name": "worker-0", "tid": 4712, "cpu_s": 0.25, "voluntary_switches": 5,
            "involuntary_switches": 1,
        }],
    })
}

fn server_metrics() -> Value {
    let timing = json!({
        "count": 4_000, "p50_at_most_ns": 2_000, "p99_at_most_ns": 20_000,
        "p999_at_most_ns": 50_000, "buckets": [[2_000, 3_000], [50_000, 1_000]],
    });
    json!({
        "address": "unix:/run/<admin>", "reads": 3, "failed_reads": 1,
        "first_failure": "no complete response within 2s", "wall_s": 2.0, "restarted": true,
        "timings": {"loop_lag": timing}, "counters": {"a_total{b=\"<c>\"}": 12.5},
        "counters_left_out": 3,
        "intervals": [{
            "unix_s": 1_700_000_001.5, "length_s": 1.0, "cpu_s": 0.25,
            "p99_at_most_ns": {"loop_lag": 20_000},
        }],
    })
}

fn tls_args() -> Value {
    json!({
        "server_name": "a.example", "ca": "ca.pem", "client_certificate": "client.pem",
        "alpn": ["http/1.1"], "verified": true, "resumption": "0.5", "min_version": "1.2",
    })
}

fn tls() -> Value {
    json!({
        "full_handshakes": 64, "resumed_handshakes": 12,
        "negotiated": [{
            "version": "1.3", "cipher_suite": "TLS_AES_128_GCM_SHA256", "alpn": "http/1.1",
            "handshakes": 76,
        }],
        "failures": [{
            "cause": "alert", "handshakes": 2, "first": "received fatal alert: <UnknownCA>",
        }],
    })
}

fn http_args() -> Value {
    json!({
        "method": "POST", "body_bytes": 5, "chunked": true, "file": "requests.jsonl",
        "requests": 3, "order": "zipf:0.99", "data": "users.csv", "data_rows": 100,
        "data_order": "random", "expect_body": "length:5",
    })
}

fn key_value_args() -> Value {
    json!({"keys": 1_000_000, "key_dist": "zipf:0.99", "mix": "get:9,set:1", "commands": "c.txt",
        "order": "timed", "preload": true, "has_placeholders": true,
    })
}

fn key_value() -> Value {
    json!({
        "preloaded": 1_000_000, "commands": {"get": 1_800, "set": 200}, "hits": 1_500,
        "verified_hits": 1_400,
        "misses": 290, "misses_of_written": 4, "hit_rate": 0.84,
        "wrong_values": {"foreign": 1, "old": 2, "torn": 3},
        "first_wrong_value": {
            "connection": 3, "request": 7, "key": "lg:000000000009", "kind": "old",
            "words": "it is version 3, and version 4 or a later one had replaced it",
        },
        "errors": [{"kind": "OOM", "count": 4, "words": "-OOM command <not> allowed"}],
    })
}

/// A run with all that the measurement has.
fn run(record: &Value) -> Value {
    json!({
        "number": 1, "seeds": [1], "started_unix_s": 1_700_000_000.25,
        "validity": record["validity"], "rate": record["rate"],
        "latency_ns": record["latency_ns"], "counters": record["counters"], "outstanding_mean": 1.5,
        "statuses": record["statuses"], "tls": record["tls"],
        "key_value": record["key_value"], "outstanding_by_service": 1.5,
        "agents": [agent(&record["counters"])],
        "threads": [{
            "connections": 64, "completed": 1_989, "cpu_s": 0.5, "wall_s": 2.0, "cpu_share": 0.25,
            "involuntary_switches": 3, "major_faults": 1, "stalls": 2, "stalled_s": 0.25,
            "longest_stall_s": 0.2, "run_delay_s": 0.01,
        }],
        "arrivals": {
            "gaps": 4_096, "intended_mean_ns": 1e6, "actual_mean_ns": 1.001e6, "distance": 0.01,
            "distance_by_chance": 0.03,
        },
        "intervals": [
            interval(-1.0, [1_000, 1_000, 999, 0, 1, 0], [None; 3], 0.25, Some(0.5)),
            interval(
                0.0,
                [1_002, 1_001, 990, 2, 9, 1],
                [Some(51_200), Some(180_250), Some(912_345)],
                0.31,
                None
            ),
        ],
        "server": record["server"], "server_metrics": record["server_metrics"],
        "steal_share": 0.01, "ended_early_s": 1.9, "interrupted": false,
        "first_mismatch": {
            "connection": 3, "request": 7, "offset_bytes": 12, "expected": 65, "got": 66,
            "note": "-ERR unknown command",
        },
        "first_unexpected_reply": {
            "connection": 4, "request": 9, "first_line": "HTTP/1.1 503 Busy",
            "body_line": "try <again> later",
        },
        "first_changed_body": {
            "connection": 3, "request": 7, "offset_bytes": 52, "expected": 65, "got": 66,
            "note": "the body differs",
        },
        "first_other_error": "read: connection aborted",
    })
}

fn agent(counters: &Value) -> Value {
    json!({
        "rank": 0, "name": "a.example", "host": "a", "boot_id": "00ff", "version": "1",
        "profile": "release", "cpus": 8, "sharing": "separate machines", "pacing": "hybrid",
        "connections": 64, "threads": 1, "clock_offset_ns": -5_000_000_000_i64,
        "clock_error_ns": 40_000, "clock_drift_ns": -1_000, "start_late_ns": 9_000,
        "steal_share": 0.01, "counters": counters, "measured": 900, "p50_ns": 51_200,
        "p99_ns": 180_250, "service_p50_ns": 50_000, "loader_late_p99_ns": 9_000,
        "lost": "its <stream> has ended",
    })
}

/// A record in which every value that may be unknown is unknown.
pub(crate) fn minimal() -> Record {
    serde_json::from_value(minimal_value()).unwrap()
}

fn minimal_value() -> Value {
    let latencies = LatenciesRecord::from(&crate::latency::Latencies::new());
    json!({
        "schema": SCHEMA,
        "args": {
            "target": "127.0.0.1:5555", "mode": "closed", "rate": null, "arrival": null,
            "connections": 64, "threads": 1, "agents": null, "pipeline": 1,
            "protocol": "raw", "size": "64",
            "tls": null, "http_path": null, "ws_text": false, "expect_status": null,
            "size_mean_bytes": 64.0, "verify": "full", "churn": null, "duration_s": 1.0,
            "warmup_s": 1.0, "timeout_s": 5.0, "seed": 1, "merged_seeds": [],
            "pacing": "sleep", "slo": [], "runs": 1, "server_command": null,
        },
        "env": Environment::of_machine(),
        "validity": Validity::valid(),
        "slo": [],
        "rate": RateRecord::new(&Counters::default(), crate::schedule::Mode::Closed, 0.0),
        "latency_ns": latencies,
        "counters": Counters::default(),
        "statuses": StatusesRecord::default(),
        "runs": [],
        "server": null,
        "interrupted": false,
    })
}

fn interval(
    start_s: f64,
    [scheduled, sent, completed, failed, outstanding, backlog]: [u64; 6],
    [p50_ns, p99_ns, max_ns]: [Option<u64>; 3],
    loader_cpu: f64,
    server_cpu: Option<f64>,
) -> IntervalRecord {
    IntervalRecord {
        start_s,
        length_s: 1.0,
        scheduled,
        sent,
        completed,
        failed,
        outstanding,
        backlog,
        p50_ns,
        p99_ns,
        max_ns,
        loader_cpu,
        loader_stalled_s: 0.25,
        loader_run_delay: server_cpu.map(|_| 0.01),
        server_cpu,
    }
}
