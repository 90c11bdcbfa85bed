//! What the measurement cost: processor time of the loader, and of the server if it was watched.

use std::fmt::{self, Write as _};

use super::{WIDTH, wrap};
use crate::record::{Record, ServerRecord, ServerThread};
use crate::units::{grouped, percent, size};

/// Of more threads than this, only the number is shown.
const THREADS_SHOWN: usize = 16;

/// Loader and server, a paragraph each.
pub(super) fn write(out: &mut String, record: &Record) -> fmt::Result {
    let mut loader: Vec<String> = Vec::new();
    for run in &record.runs {
        let shares: Vec<String> = run
            .threads
            .iter()
            .take(THREADS_SHOWN)
            .map(|thread| percent(thread.cpu_share))
            .collect();
        let more = if run.threads.len() > THREADS_SHOWN { ", ..." } else { "" };
        loader.push(format!("{}{more}", shares.join(", ")));
    }
    loader.dedup();
    let text = format!("loader cpu per thread: {}", loader.join("; "));
    out.write_str(&wrap("  ", &text, WIDTH))?;
    match &record.server {
        Some(server) => write_server(out, server),
        None => Ok(()),
    }
}

fn write_server(out: &mut String, server: &ServerRecord) -> fmt::Result {
    let mut parts = Vec::new();
    if let Some(cost_us) = server.cpu_us_per_request {
        parts.push(format!("{cost_us:.2} µs of processor time per request"));
    }
    if server.wall_s > 0.0 {
        parts.push(format!("{:.2} processors busy", server.cpu_s / server.wall_s));
    }
    parts.push(format!(
        "{} voluntary and {} involuntary switches",
        grouped(server.voluntary_switches),
        grouped(server.involuntary_switches)
    ));
    if let Some(bytes) = server.rss_bytes {
        parts.push(format!("{} resident", size(bytes)));
    }
    if let Some(bytes) = server.pss_bytes {
        parts.push(format!("{} proportional", size(bytes)));
    }
    out.write_str(&wrap("  ", &format!("server: {}", parts.join(", ")), WIDTH))?;
    write_threads(out, &server.threads)
}

/// How evenly the server's threads of one kind share its work.
fn write_threads(out: &mut String, threads: &[ServerThread]) -> fmt::Result {
    let workers = workers(threads);
    let times = || workers.iter().map(|thread| thread.cpu_s);
    let (sum, largest) = (times().sum::<f64>(), times().fold(0.0, f64::max));
    if workers.len() < 2 || sum <= 0.0 {
        return Ok(());
    }
    let shares: Vec<String> = workers
        .iter()
        .take(THREADS_SHOWN)
        .map(|thread| format!("{} {}", thread.name, percent(thread.cpu_s / sum)))
        .collect();
    let more = if workers.len() > THREADS_SHOWN { ", ..." } else { "" };
    let balance = largest * workers.len() as f64 / sum;
    let text =
        format!("balance {balance:.2} (busiest thread by the mean): {}{more}", shares.join(", "));
    out.write_str(&wrap("    ", &text, WIDTH))
}

/// The threads that do the work: those whose names differ in a number only, and of these the kind
/// with the most processor time.
fn workers(threads: &[ServerThread]) -> Vec<&ServerThread> {
    let kind = |thread: &ServerThread| {
        thread.name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
    };
    let time_of = |wanted: &str| -> f64 {
        threads.iter().filter(|thread| kind(thread) == wanted).map(|thread| thread.cpu_s).sum()
    };
    let kinds = threads.iter().map(kind);
    let busiest = kinds.max_by(|a, b| time_of(a).total_cmp(&time_of(b)));
    threads.iter().filter(|thread| Some(kind(thread)) == busiest).collect()
}
