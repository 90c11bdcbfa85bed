//! The plan of a measurement in the record.

use serde::{Deserialize, Serialize};

use super::{HttpArgsRecord, KeyValueArgsRecord, TextValue, TlsArgsRecord};
use crate::environment::CpuList;
use crate::options::{Agents, Options, Pacing, ServerSource};
use crate::schedule::{Mode, RateProfile};
use crate::slo::Slo;
use crate::units::counted;

/// The size of requests that have no payload.
const NO_PAYLOAD: &str = "none";

/// The requested plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArgsRecord {
    /// The server: HOST:PORT, also where it was given as a URL, or unix:/path.
    pub(crate) target: String,
    /// "closed": the next request waits for a reply. "open": requests follow the schedule.
    pub(crate) mode: Mode,
    /// The rate as given, such as "50k" or "10k..50k"; nothing in a closed loop.
    pub(crate) rate: Option<TextValue<RateProfile>>,
    /// "poisson" or "constant"; nothing in a closed loop.
    pub(crate) arrival: Option<String>,
    /// Requested connections.
    pub(crate) connections: u32,
    /// Threads used, at most one per connection. With agents, those of all.
    pub(crate) threads: u32,
    /// Number of agents that loaded the server; nothing if the loader was one process.
    #[serde(default)]
    pub(crate) agents: Option<u32>,
    /// Maximum number of requests outstanding per connection.
    pub(crate) pipeline: u32,
    /// How requests and replies look on the wire.
    pub(crate) protocol: String,
    /// TLS as requested; nothing in plain text.
    #[serde(default)]
    pub(crate) tls: Option<TlsArgsRecord>,
    /// Requests of HTTP, and what replies must be; nothing for other protocols.
    #[serde(default)]
    pub(crate) http: Option<HttpArgsRecord>,
    /// Path and query of HTTP requests, or of the upgrade to WebSocket; nothing for other
    /// protocols, and for requests of a file.
    #[serde(default)]
    pub(crate) http_path: Option<String>,
    /// Whether messages of WebSocket are text.
    #[serde(default)]
    pub(crate) ws_text: bool,
    /// Statuses of HTTP replies that are no errors, as given; nothing for other protocols.
    #[serde(default)]
    pub(crate) expect_status: Option<String>,
    /// Keys and commands; nothing for other protocols.
    #[serde(default)]
    pub(crate) key_value: Option<KeyValueArgsRecord>,
    /// What every key begins with; nothing for other protocols.
    #[serde(default)]
    pub(crate) key_prefix: Option<String>,
    /// Sizes of requests, as given; "none" where requests have no payload. With keys, sizes of the
    /// values that are written.
    pub(crate) size: String,
    /// Mean size of a request's payload in bytes, if it is known beforehand.
    pub(crate) size_mean_bytes: f64,
    /// The part of a reply that is compared: "full", "length", "none".
    pub(crate) verify: String,
    /// When connections are closed and replaced, as given.
    pub(crate) churn: Option<String>,
    /// Length of the measured window.
    pub(crate) duration_s: f64,
    /// Load before the window.
    pub(crate) warmup_s: f64,
    /// How long a connection with a reply outstanding may receive nothing.
    pub(crate) timeout_s: f64,
    /// Seed of schedule, sizes and payload of the first run. Each further run has the next one. In
    /// a merged result, it is that of the first loader.
    pub(crate) seed: u64,
    /// In a merged result, the seeds of all loaders; otherwise empty.
    pub(crate) merged_seeds: Vec<u64>,
    /// How the loader waited for the next request's time: "sleep", "hybrid", "spin".
    pub(crate) pacing: TextValue<Pacing>,
    /// The processors to which the threads are bound, as the kernel lists them; nothing without
    /// `--pin`.
    #[serde(default)]
    pub(crate) pin: Option<String>,
    /// Objectives, as given.
    pub(crate) slo: Vec<TextValue<Slo>>,
    /// Requested runs.
    pub(crate) runs: u32,
    /// The command that started the server for each run.
    pub(crate) server_command: Option<String>,
}

impl ArgsRecord {
    /// The schedule in words; nothing for a closed loop.
    pub(crate) fn open_loop(&self) -> Option<String> {
        let (rate, arrival) = (self.rate.as_ref()?, self.arrival.as_ref()?);
        Some(match arrival.as_str() {
            "timed" => format!("open loop, the times of the requests' file, {rate} requests/s"),
            arrival => format!("open loop, {rate} requests/s, {arrival} arrivals"),
        })
    }

    /// Whether the loop is open: requests follow a schedule.
    pub(crate) fn is_open(&self) -> bool {
        self.mode == Mode::Open
    }

    /// The requests in words: "raw requests of 64 B", "http requests".
    pub(crate) fn requests(&self) -> String {
        let unit = if self.size.bytes().all(|byte| byte.is_ascii_digit()) { " B" } else { "" };
        if let Some(of) = &self.key_value {
            let KeyValueArgsRecord { keys, key_dist, mix, commands, .. } = of;
            let keys = counted(u64::from(*keys), "key");
            let what = match (mix, commands) {
                (Some(mix), _) => mix.clone(),
                (None, path) => format!("of {}", path.as_deref().unwrap_or_default()),
            };
            if !of.has_placeholders {
                return format!("{} requests {what}, as they are", self.protocol);
            }
            return format!(
                "{} requests {what} on {keys} ({key_dist}), values of {}{unit}",
                self.protocol, self.size
            );
        }
        if let Some(http) = &self.http {
            return http.requests(&self.protocol);
        }
        let text = if self.ws_text { " text" } else { "" };
        match self.size.as_str() {
            NO_PAYLOAD => format!("{} requests", self.protocol),
            size => format!("{}{text} requests of {size}{unit}", self.protocol),
        }
    }
}

impl From<&Options> for ArgsRecord {
    fn from(options: &Options) -> Self {
        let (open, traffic) = (options.load.open(), &options.traffic);
        let http = traffic.http.as_ref();
        let has_payload = traffic.protocol.has_request_payload();
        Self {
            target: options.target.to_string(),
            mode: options.load.mode(),
            rate: open.map(|open| TextValue::of(open.profile.clone())),
            arrival: open.map(|open| open.arrival.to_string()),
            connections: options.connections,
            threads: options.threads,
            agents: options.agents.as_ref().map(Agents::count),
            pipeline: options.pipeline,
            protocol: traffic.protocol.to_string(),
            tls: options.tls.as_ref().map(|tls| tls.settings().into()),
            http: HttpArgsRecord::of(options),
            http_path: traffic.path().map(str::to_owned),
            ws_text: traffic.is_text,
            expect_status: http.map(|http| http.statuses.to_string()),
            key_value: KeyValueArgsRecord::of(options),
            key_prefix: traffic.key_value.as_ref().map(|spec| spec.prefix.to_string()),
            size: if has_payload { traffic.sizes.to_string() } else { NO_PAYLOAD.to_owned() },
            size_mean_bytes: if has_payload { traffic.sizes.mean_bytes() } else { 0.0 },
            verify: traffic.verify.to_string(),
            churn: options.churn.describe(),
            duration_s: options.duration.as_secs_f64(),
            warmup_s: options.warmup.as_secs_f64(),
            timeout_s: options.timeout.as_secs_f64(),
            seed: options.seed,
            merged_seeds: Vec::new(),
            pacing: TextValue::of(options.pacing),
            pin: options.pinned().map(|cpus| cpus.collect::<CpuList>().to_string()),
            slo: options.slo.iter().cloned().map(TextValue::of).collect(),
            runs: options.runs,
            server_command: options.server.as_ref().and_then(ServerSource::command),
        }
    }
}
