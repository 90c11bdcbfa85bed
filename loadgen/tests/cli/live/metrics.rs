//! The metrics of a run: the last scrape is the report, however many scrape.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::*;
use crate::servers::Server;

/// A run with metrics, and where they are.
struct ScrapedRun {
    child: Child,
    address: String,
    folder: TempDir,
}

impl ScrapedRun {
    /// Starts a run that answers scrapes at `listen` until a signal.
    fn start(target: &str, listen: &str, flags: &str) -> Self {
        let folder = test_needs::folder();
        let record = folder.path().join("record.json");
        let mut words = vec!["run", target, "--metrics", listen, "--metrics-linger", "1m"];
        words.extend(["--json", record.to_str().unwrap()].into_iter().chain(flags.split(' ')));
        let mut child = command(&words).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let said = lines.find_map(|line| {
            let line = line.unwrap();
            let rest = line.split_once("metrics at http://")?.1;
            Some(rest.strip_suffix("/metrics").unwrap().to_owned())
        });
        Self { child, address: said.unwrap(), folder }
    }

    fn scrape(&self) -> String {
        get(&self.address, "/metrics")
    }

    /// The text once it is final.
    fn last_scrape(&self) -> String {
        until(|| self.scrape().contains("\nloadgen_finished 1\n"));
        self.scrape()
    }

    /// Ends the run; its record.
    fn finish(self) -> Value {
        let path = self.folder.path().join("record.json");
        // The record is written before the metrics end.
        until(|| path.exists());
        signal(&self.child, "INT");
        let finished = wait(self.child);
        assert!(matches!(finished.code, Some(0 | 1 | 3)), "{finished:?}");
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// The body of a response with status 200.
fn get(address: &str, path: &str) -> String {
    let (head, body) = response(address, path);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body
}

/// Head and body of a response.
fn response(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The samples by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut samples = BTreeMap::new();
    for line in lines {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let before = samples.insert(name.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{name} is there twice");
    }
    samples
}

/// Each count of the record that the metrics have: its value there, and the metric.
fn expected(record: &Value) -> Vec<(u64, String)> {
    let plain = [
        ("scheduled", "loadgen_requests_scheduled_total"),
        ("sent", "loadgen_requests_sent_total"),
        ("completed", "loadgen_requests_answered_total"),
        ("connects", "loadgen_connections_total"),
        ("bytes_sent", "loadgen_sent_bytes_total"),
        ("bytes_received", "loadgen_received_bytes_total"),
        ("measured", "loadgen_service_seconds_count"),
    ];
    let plain = plain.map(|(field, metric)| (count(record, field), metric.to_owned()));
    let errors = [
        ("unexpected_status", "request_errors", "unexpected_status"),
        ("failed", "request_errors", "connection_lost"),
        ("timed_out", "request_errors", "timed_out"),
        ("censored", "request_errors", "unanswered"),
        ("unsent", "request_errors", "unsent"),
        ("closed_by_server", "connection_errors", "closed_by_server"),
        ("resets", "connection_errors", "reset"),
    ];
    let errors = errors.map(|(field, metric, kind)| {
        (count(record, field), format!("loadgen_{metric}_total{{kind=\"{kind}\"}}"))
    });
    let lateness = record["latency_ns"]["lateness"]["count"].as_u64().unwrap();
    let lateness = (lateness, "loadgen_lateness_seconds_count".to_owned());
    plain.into_iter().chain(errors).chain([lateness]).collect()
}

#[test]
fn the_last_scrape_is_the_report_of_several_runs_with_errors() {
    let server = Server::start(|mut client| {
        for _ in 0..40 {
            if client.echo_some(64) == 0 {
                return;
            }
        }
    });
    let flags = "--rate 3000 -c 4 -t 2 --duration 300ms --warmup 100ms --interval 50ms --runs 2";
    let run = ScrapedRun::start(&server.address(), "127.0.0.1:0", flags);
    let found = samples(&run.last_scrape());
    let record = run.finish();
    for (count, metric) in expected(&record) {
        assert_eq!(found[&metric], count as f64, "{metric}");
    }
    assert!(count(&record, "failed") > 0, "{record}");
    let verdict = record["validity"]["verdict"].as_str().unwrap();
    for possible in ["VALID", "SUSPECT", "INVALID"] {
        let gauge = found[&format!("loadgen_verdict{{verdict=\"{possible}\"}}")];
        assert_eq!(gauge, f64::from(u8::from(possible == verdict)), "{possible}");
    }
    assert_eq!(found["loadgen_run"], 2.0);
    let buckets = found.iter().filter(|(name, _)| name.starts_with("loadgen_service_seconds_b"));
    let most = buckets.map(|(_, count)| *count).fold(0.0, f64::max);
    assert_eq!(most, count(&record, "measured") as f64);
}

#[test]
fn the_counts_grow_while_the_run_lasts_and_the_open_connections_are_those_of_the_run() {
    let server = Server::echo();
    let flags = "-c 5 --duration 1m --warmup 0s --interval 20ms --churn 50";
    let run = ScrapedRun::start(&server.address(), "127.0.0.1:0", flags);
    until(|| samples(&run.scrape())["loadgen_requests_answered_total"] > 500.0);
    let found = samples(&run.scrape());
    // One may be closed and not yet replaced.
    assert!((4.0..=5.0).contains(&found["loadgen_connections_open"]), "{found:?}");
    assert!(found["loadgen_connections_churned_total"] >= 1.0);
    assert_eq!(found["loadgen_finished"], 0.0);
    assert!(!found.contains_key("loadgen_response_seconds_count"), "this is a closed loop");
    signal(&run.child, "INT");
    wait(run.child);
}

#[test]
fn promtool_accepts_the_metrics() {
    let Some(promtool) = test_needs::program("promtool") else { return };
    let server = Server::echo();
    let flags = "--rate 500 -c 2 --duration 100ms --warmup 0s --interval 50ms";
    let run = ScrapedRun::start(&server.address(), "127.0.0.1:0", flags);
    let text = run.last_scrape();
    let mut promtool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    run.finish();
}

/// Prometheus, scraping one address, stopped with the test.
struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Prometheus {
    fn start(scraped: &str) -> Option<Self> {
        let program = test_needs::program("prometheus")?;
        let (folder, address) = (test_needs::folder(), unused_address());
        let configuration = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
             scrape_configs:\n\
             - job_name: loadgen\n  static_configs: [{{targets: ['{scraped}']}}]\n"
        );
        fs::write(&configuration, text).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _folder: folder };
        until(|| TcpStream::connect(&prometheus.address).is_ok());
        until(|| response(&prometheus.address, "/-/ready").0.starts_with("HTTP/1.1 200 "));
        Some(prometheus)
    }

    /// The latest value of a metric, if it has one.
    fn value(&self, metric: &str) -> Option<f64> {
        let query = metric.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let body = get(&self.address, &format!("/api/v1/query?query={query}"));
        // The body may be in chunks: the object is between the outer braces.
        let object = &body[body.find('{')?..=body.rfind('}')?];
        let found: Value = serde_json::from_str(object).unwrap();
        found["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_itself_has_the_counts_of_the_report() {
    let listen = unused_address();
    let Some(prometheus) = Prometheus::start(&listen) else { return };
    let server = Server::echo();
    let flags = "--rate 2000 -c 4 --duration 700ms --warmup 100ms --interval 100ms";
    let run = ScrapedRun::start(&server.address(), &listen, flags);
    until(|| prometheus.value("loadgen_finished") == Some(1.0));
    let found = |metric: &str| prometheus.value(metric).unwrap_or_else(|| panic!("no {metric}"));
    let values: BTreeMap<String, f64> = samples(&run.last_scrape())
        .into_keys()
        .filter(|name| !name.contains("_bucket"))
        .map(|name| (name.clone(), found(&name)))
        .collect();
    let record = run.finish();
    for (count, metric) in expected(&record) {
        assert_eq!(values[&metric], count as f64, "{metric}");
    }
    assert!(count(&record, "measured") > 1_000);
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named_before_the_run() {
    let taken = Server::echo();
    let address = taken.address();
    let refused = loadgen(&["run", &address, "--metrics", &address]);
    expect_one_line(&refused, 1, "with a free port, such as 127.0.0.1:9300 (--metrics)");
    assert_eq!(taken.accepted(), 0);
    let refused = loadgen(&["run", "--metrics-linger", "1s"]);
    expect_one_line(&refused, 64, "--metrics");
}
