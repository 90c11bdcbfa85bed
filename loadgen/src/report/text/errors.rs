//! What went wrong, by kind, with what to do about it.

use std::fmt::{self, Write as _};

use super::{WIDTH, counted, wrap};
use crate::record::{Counters, Record};
use crate::units::grouped;
use crate::wire::Mismatch;

/// The errors, or that there were none.
pub(super) fn write(out: &mut String, record: &Record) -> fmt::Result {
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
    let lost = format!(
        "errors: {} failed, {} timed out, {} unanswered at the end, {} never sent, of {} requests",
        grouped(counters.failed),
        grouped(counters.timed_out),
        grouped(counters.censored),
        grouped(counters.unsent),
        grouped(counters.scheduled)
    );
    out.write_str(&wrap("  ", &lost, WIDTH))?;
    for (connections, what) in kinds(counters) {
        if connections > 0 {
            let text = format!("{} {what}", counted(connections, "connection"));
            out.write_str(&wrap("    ", &text, WIDTH))?;
        }
    }
    let mut runs = record.runs.iter();
    if let Some(mismatch) = runs.clone().find_map(|run| run.first_mismatch.as_ref()) {
        out.write_str(&wrap("    ", &located(mismatch), WIDTH))?;
    }
    if let Some(error) = runs.find_map(|run| run.first_other_error.as_ref()) {
        out.write_str(&wrap("    ", &format!("first other error: {error}"), WIDTH))?;
    }
    Ok(())
}

/// How many connections each kind of error has cost, and what it suggests.
fn kinds(counters: &Counters) -> [(u64, &'static str); 6] {
    [
        (counters.mismatches, "got wrong bytes in a reply; is it the right --protocol?"),
        (
            counters.closed_by_server,
            "closed by the server; look into its log or its connection limit",
        ),
        (counters.resets, "reset by the server; did it crash or restart?"),
        (
            counters.timeouts,
            "silent for the timeout with a reply outstanding; is the server stuck? (--timeout)",
        ),
        (counters.connect_failures, "not established; is the server's backlog full?"),
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
        "first wrong byte: connection {}, request {}, offset {}: {expected}, got 0x{:02x}{}",
        mismatch.connection,
        mismatch.request,
        mismatch.offset_bytes,
        mismatch.got,
        note.unwrap_or_default()
    )
}
