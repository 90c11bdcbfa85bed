//! The report on the terminal, to be read from top to bottom. First comes the verdict, then the
//! measurement, and at the end the processor time of loader and server.
//!
//! ```text
//! latency   percentiles with their confidence intervals, the loader's own lateness, the shape
//! statuses  the replies by status
//! key_value what reads found, and the errors by kind
//! server_metrics  where the server's share of the tail may lie
//! tls       what the handshakes agreed on, and why they failed
//! runs      each run by itself, median and range
//! agents    what each agent has done
//! layout    aligned columns, wrapped sentences, colours
//! ```

mod agents;
mod key_value;
mod latency;
mod layout;
mod runs;
mod server_metrics;
mod statuses;
mod tls;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

pub(crate) use self::layout::{Columns, Style, wrap};
pub(super) use self::server_metrics::{conclusion, rows};
use crate::latency::{Distribution, Latencies};
use crate::options::Pacing;
use crate::record::{
    ArgsRecord, Code, Counters, Reason, Record, ServerRecord, ServerThread, SloRecord, Verdict,
};
use crate::stats;
use crate::units::{counted, grouped, numbers, percent, rate, size, throughput};
use crate::wire::{Mismatch, UnexpectedReply};

/// Most columns of a line.
pub(crate) const WIDTH: usize = 100;

/// The report as text.
pub(crate) fn render(record: &Record, latencies: &Latencies, style: Style) -> String {
    let mut text = String::new();
    write_report(&mut text, record, latencies, style).expect("writing to a string cannot fail");
    text
}

fn write_report(
    out: &mut String,
    record: &Record,
    latencies: &Latencies,
    style: Style,
) -> fmt::Result {
    write_verdict(out, record, style)?;
    write_title(out, record)?;
    latency::write_table(out, record)?;
    let headline = Distribution::headline(record.args.mode);
    latency::write_histogram(out, headline.name(), &latencies[headline])?;
    statuses::write_statuses(out, record)?;
    key_value::write_commands(out, record)?;
    runs::write_runs(out, record, style)?;
    agents::write_agents(out, record)?;
    write_errors(out, record)?;
    write_cost(out, record)?;
    server_metrics::write_server_metrics(out, record)
}

/// Verdict, reasons, labels, objectives.
fn write_verdict(out: &mut String, record: &Record, style: Style) -> fmt::Result {
    let validity = &record.validity;
    let comment = if record.interrupted { "  INTERRUPTED: these are partial results" } else { "" };
    writeln!(out, "{}{comment}", style.judged(validity.verdict, validity.verdict))?;
    for reason in &validity.reasons {
        write_finding(out, reason)?;
    }
    for label in validity.labels.iter().filter(|label| !is_said_elsewhere(&label.code)) {
        write_finding(out, label)?;
    }
    for slo in &record.slo {
        write_objective(out, slo, style)?;
    }
    writeln!(out)
}

/// Whether a note has a place of its own: above the table, and below it.
fn is_said_elsewhere(code: &Code) -> bool {
    matches!(code, Code::CoLocated | Code::FewSamples)
}

fn write_finding(out: &mut String, finding: &Reason) -> fmt::Result {
    let sign = if finding.level == Verdict::Valid { "note " } else { "" };
    out.write_str(&wrap("  - ", &format!("{sign}{}: {}", finding.code, finding.text), WIDTH))
}

fn write_objective(out: &mut String, slo: &SloRecord, style: Style) -> fmt::Result {
    let came_to = match slo.met {
        Some(true) => style.judged(Verdict::Valid, "met"),
        Some(false) => style.judged(Verdict::Invalid, "MISSED"),
        None => style.judged(Verdict::Suspect, "not known"),
    };
    writeln!(out, "  slo {}  {came_to}: {}", slo.objective, slo.found)
}

/// Share of the window's requests answered after it from which the report mentions them. A few are
/// always outstanding at its end.
const LATE_SHARE_MIN: f64 = 0.01;

/// Why the loader sleeps although it may have processors of its own.
const UNKNOWN_SHARING: &str = "whether the server has other processors is not known: with \
                               --server-pid PID, pacing auto spins if it has";

/// How much more than offered must be achieved before the report says why.
const MORE_MIN: f64 = 1.005;

/// Target, kind of loop, plan, rate.
fn write_title(out: &mut String, record: &Record) -> fmt::Result {
    let args = &record.args;
    writeln!(out, "loadgen {}  {}", args.target, loop_of(args))?;
    out.write_str(&wrap("  ", &plan(record), WIDTH))?;
    tls::write_tls(out, record)?;
    // What `auto` chooses then may be less precise than it could be.
    let is_sleep = args.pacing.value() == Some(&Pacing::Sleep);
    if args.is_open() && is_sleep && record.env.sharing.is_none() {
        out.write_str(&wrap("  ", UNKNOWN_SHARING, WIDTH))?;
    }
    let found = &record.rate;
    let offered = match found.offered_per_s {
        Some(offered) if offered > 0.0 => format!(
            " of {} offered ({:.1} %)",
            rate(offered),
            100.0 * found.achieved_per_s / offered
        ),
        _ => String::new(),
    };
    writeln!(
        out,
        "\n  rate    {} requests/s{offered}   sent {}, received {}",
        rate(found.achieved_per_s),
        throughput(found.sent_bytes_per_s),
        throughput(found.received_bytes_per_s)
    )?;
    let counters = &record.counters;
    let more = found.offered_per_s.is_some_and(|offered| found.achieved_per_s > MORE_MIN * offered);
    if more && counters.backlog_at_window > 0 {
        let waiting = counted(counters.backlog_at_window, "request");
        let text = format!(
            "more than offered: replies count when they come, also those to the {waiting} that \
             waited when the window opened"
        );
        out.write_str(&wrap("          ", &text, WIDTH))?;
    }
    if counters.answered_after_window as f64 > LATE_SHARE_MIN * counters.in_window as f64 {
        let late = grouped(counters.answered_after_window);
        writeln!(out, "          {late} more requests of the window were answered after it")?;
    }
    writeln!(out)
}

/// Which loop: what the numbers mean depends on it.
fn loop_of(args: &ArgsRecord) -> String {
    args.open_loop().unwrap_or_else(|| "closed loop, service time".to_owned())
}

fn plan(record: &Record) -> String {
    let args = &record.args;
    let churn = args.churn.as_ref().map(|churn| format!("replaced {churn}, "));
    let path = args.http_path.as_ref().map(|path| format!(" for {path}")).unwrap_or_default();
    let runs = counted(args.runs.into(), "run");
    let runs = if args.runs > 1 { format!("{runs} of ") } else { String::new() };
    let agents = args.agents.map(|agents| format!(" of {}", counted(agents.into(), "agent")));
    let agents = agents.unwrap_or_default();
    format!(
        "{}, {}{}{agents}, {}{path}, pipeline {}, {runs}{} s after {} s warm-up, {}, pacing {}",
        counted(u64::from(args.connections), "connection"),
        churn.unwrap_or_default(),
        counted(u64::from(args.threads), "thread"),
        args.requests(),
        args.pipeline,
        args.duration_s,
        args.warmup_s,
        seeds(record),
        args.pacing
    )
}

/// The seeds of all runs: "seed 1" or "seeds 1 to 10".
fn seeds(record: &Record) -> String {
    let runs = record.runs.iter().flat_map(|run| record.seeds_of(run));
    let all = runs.chain([&record.args.seed]).chain(&record.args.merged_seeds);
    let seeds: BTreeSet<u64> = all.copied().collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{noun} {}", numbers(&seeds))
}

/// The errors, or that there were none.
fn write_errors(out: &mut String, record: &Record) -> fmt::Result {
    let counters = &record.counters;
    writeln!(out)?;
    if counters.saturated > 0 {
        let slow = counted(counters.saturated, "request");
        writeln!(
            out,
            "  {slow} took longer than 60 s: percentiles stop there, the maximum is exact"
        )?;
    }
    if !counters.has_errors() && counters.unsent == 0 {
        return writeln!(out, "  errors: none");
    }
    out.write_str(&wrap("  ", &format!("errors: {}", lost(counters)), WIDTH))?;
    for (connections, what) in kinds(counters) {
        if connections > 0 {
            let text = format!("{} {what}", counted(connections, "connection"));
            out.write_str(&wrap("    ", &text, WIDTH))?;
        }
    }
    let failures = record.tls.iter().flat_map(tls::failures);
    for text in failures.chain(record.key_value.iter().flat_map(key_value::errors)) {
        out.write_str(&wrap("    ", &text, WIDTH))?;
    }
    let runs = || record.runs.iter();
    let unexpected = runs().find_map(|run| run.first_unexpected_reply.as_ref());
    let changed = runs().find_map(|run| run.first_changed_body.as_ref());
    let mismatch = runs().find_map(|run| run.first_mismatch.as_ref());
    let other = runs().find_map(|run| run.first_other_error.as_ref());
    let firsts = [
        // The errors of commands are quoted by kind.
        unexpected.filter(|_| record.key_value.is_none()).map(|reply| quoted(reply, &record.args)),
        changed.map(|change| format!("first changed body: {}", located(change))),
        mismatch.map(|mismatch| format!("first wrong byte: {}", located(mismatch))),
        other.map(|error| format!("first other error: {error}")),
    ];
    firsts.iter().flatten().try_for_each(|text| out.write_str(&wrap("    ", text, WIDTH)))
}

/// How many requests failed, by cause, and how many have no result.
fn lost(counters: &Counters) -> String {
    let listed = |counts: &[(u64, &str)]| {
        let known = counts.iter().filter(|(count, _)| *count > 0);
        known.map(|(count, what)| format!("{} {what}", grouped(*count))).collect::<Vec<_>>()
    };
    let causes = listed(&[
        (counters.unexpected_status, "with an unexpected reply"),
        (counters.changed_bodies, "with a changed body"),
        (counters.wrong_values, "with a wrong value"),
        (counters.failed, "on a lost connection"),
        (counters.timed_out, "timed out"),
        (counters.unsent_unconnected, "never sent for lack of a connection"),
    ]);
    let failed = grouped(counters.failed_requests() + counters.unsent_unconnected);
    let all = counted(counters.scheduled, "request");
    let causes = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
    let without_result = listed(&[
        (counters.censored, "unanswered at the end"),
        (counters.unsent.saturating_sub(counters.unsent_unconnected), "never sent"),
    ]);
    let parts = [format!("{failed} of {all} failed{causes}")].into_iter().chain(without_result);
    parts.collect::<Vec<_>>().join("; ")
}

/// The words of a reply with an unexpected status.
fn quoted(reply: &UnexpectedReply, args: &ArgsRecord) -> String {
    let UnexpectedReply { connection, request, first_line, body_line } = reply;
    let body = body_line.as_ref().map(|line| format!(", '{line}'")).unwrap_or_default();
    let expected = args.expect_status.as_ref();
    let expected = expected.map(|list| format!(" (--expect-status {list})")).unwrap_or_default();
    format!(
        "first unexpected reply{expected}: connection {connection}, request {request}: the server \
         said '{first_line}'{body}"
    )
}

/// How many connections each kind of error has cost, and what it suggests.
fn kinds(counters: &Counters) -> [(u64, &'static str); 11] {
    let known = counters.connects_refused
        + counters.connects_timed_out
        + counters.connects_exhausted
        + counters.handshake_failures;
    [
        (counters.mismatches, "got wrong bytes in a reply; is it the right --protocol?"),
        (
            counters.closed_by_server,
            "closed by the server; look into its log or its connection limit",
        ),
        (
            counters.truncated,
            "ended without an announcement (TLS close_notify): replies may have been cut off",
        ),
        (counters.tls_errors, "ended by an alert of TLS, or broke its protocol"),
        (counters.resets, "reset by the server; did it crash or restart?"),
        (
            counters.timeouts,
            "silent for the timeout with a reply outstanding; is the server stuck? (--timeout)",
        ),
        (
            counters.connects_refused,
            "refused: nothing listened at the address; did the server end, or is it restarting?",
        ),
        (
            counters.connects_timed_out,
            "not answered within the timeout; does the server accept, is its backlog full?",
        ),
        (
            counters.connects_exhausted,
            "not established: no descriptor, port or memory left here; raise the limit, or use \
             fewer connections (-c)",
        ),
        (counters.connect_failures.saturating_sub(known), "not established, for another reason"),
        (counters.other_errors, "lost to other errors"),
    ]
}

fn located(mismatch: &Mismatch) -> String {
    let expected = match mismatch.expected {
        Some(byte) => format!("expected 0x{byte:02x}"),
        None => "expected nothing".to_owned(),
    };
    let note = mismatch.note.as_ref().map(|note| format!(" ({note})"));
    format!(
        "connection {}, request {}, offset {}: {expected}, got 0x{:02x}{}",
        mismatch.connection,
        mismatch.request,
        mismatch.offset_bytes,
        mismatch.got,
        note.unwrap_or_default()
    )
}

/// Of more threads than this, only the number is shown.
const THREADS_SHOWN: usize = 16;

/// Loader and server, a paragraph each.
fn write_cost(out: &mut String, record: &Record) -> fmt::Result {
    let threads = record.runs.iter().map(|run| run.threads.len()).max().unwrap_or(0);
    let shares = (0..threads.min(THREADS_SHOWN)).map(|thread| {
        let of_runs = record.runs.iter().filter_map(|run| Some(run.threads.get(thread)?.cpu_share));
        let shares: Vec<f64> = of_runs.collect();
        let (least, most) = stats::range(&shares).unwrap_or_default();
        match (percent(least), percent(most)) {
            (least, most) if least == most => most,
            (least, most) => format!("{} to {most}", least.trim_end_matches(" %")),
        }
    });
    let shares: Vec<String> = shares.collect();
    let more = if threads > THREADS_SHOWN { ", ..." } else { "" };
    let text = format!("loader CPU per thread: {}{more}", shares.join(", "));
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
        "{} and {}",
        counted(server.voluntary_switches, "voluntary switch"),
        counted(server.involuntary_switches, "involuntary switch")
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
    let text = format!(
        "balance {balance:.2} (busiest thread divided by the mean): {}{more}",
        shares.join(", ")
    );
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

#[cfg(test)]
mod tests;
