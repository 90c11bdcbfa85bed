//! The plan in the record, made from the options.

use super::{ArgsRecord, Stated};
use crate::options::{Options, ServerSource};

impl From<&Options> for ArgsRecord {
    fn from(options: &Options) -> Self {
        let open = options.load.open();
        Self {
            target: options.target.to_string(),
            mode: options.load.mode(),
            rate: open.map(|open| Stated::of(open.profile.clone())),
            arrival: open.map(|open| open.arrival.to_string()),
            connections: options.connections,
            threads: options.threads,
            pipeline: options.pipeline,
            protocol: options.traffic.protocol.to_string(),
            size: options.traffic.sizes.to_string(),
            size_mean_bytes: options.traffic.sizes.mean_bytes(),
            verify: options.traffic.verify.to_string(),
            churn: options.churn.describe(),
            duration_s: options.duration.as_secs_f64(),
            warmup_s: options.warmup.as_secs_f64(),
            timeout_s: options.timeout.as_secs_f64(),
            seed: options.seed,
            pacing: Stated::of(options.pacing),
            slo: options.slo.iter().cloned().map(Stated::of).collect(),
            runs: options.runs,
            server_command: options.server.as_ref().and_then(ServerSource::command),
        }
    }
}
