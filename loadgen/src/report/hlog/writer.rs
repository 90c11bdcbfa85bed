//! Writing an interval log, line by line while the run lasts.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use super::{MAX_DIVISOR, header, stamp};
use crate::latency::{Latencies, Latency};

/// A log that is being written.
#[derive(Debug)]
pub(in crate::report) struct LogWriter<W> {
    out: W,
}

impl<W: Write> LogWriter<W> {
    /// Writes the header. `base_unix_s` is when the log's time begins, in seconds since 1970.
    pub(in crate::report) fn begin(mut out: W, base_unix_s: f64) -> io::Result<Self> {
        out.write_all(header(base_unix_s)?.as_bytes())?;
        Ok(Self { out })
    }

    /// Writes a line for every distribution that is not empty. An interval is one write, so every
    /// line is complete even if the loader dies.
    pub(in crate::report) fn interval(
        &mut self,
        start_s: f64,
        length_s: f64,
        latencies: &Latencies,
    ) -> io::Result<()> {
        let mut lines = String::new();
        for (distribution, latency) in latencies.recorded() {
            lines += &line(distribution.name(), start_s, length_s, latency)?;
        }
        self.out.write_all(lines.as_bytes())?;
        self.out.flush()
    }
}

fn line(tag: &str, start_s: f64, length_s: f64, latency: &Latency) -> io::Result<String> {
    let max = latency.max_ns().unwrap_or(0) as f64 / MAX_DIVISOR;
    let mut bytes = Vec::new();
    // Of the two forms of V2 this is the one that every reader takes.
    V2DeflateSerializer::new()
        .serialize(latency.histogram(), &mut bytes)
        .map_err(io::Error::other)?;
    let histogram = BASE64.encode(&bytes);
    let (start, length) = (stamp(start_s), stamp(length_s));
    Ok(format!("Tag={tag},{start},{length},{max:.3},{histogram}\n"))
}
