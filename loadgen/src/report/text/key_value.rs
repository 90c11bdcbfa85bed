//! Commands with keys: how many there were, what reads found, and the errors by kind.

use std::fmt::{self, Write as _};

use super::{WIDTH, wrap};
use crate::record::{KeyValueRecord, Record};
use crate::units::{counted, grouped};
use crate::wire::{Verify, WrongKind};

/// Below the latencies: the commands, and what their reads found.
pub(super) fn write_commands(out: &mut String, record: &Record) -> fmt::Result {
    let Some(found) = &record.key_value else { return Ok(()) };
    writeln!(out)?;
    let commands: Vec<String> =
        found.commands.iter().map(|(name, count)| format!("{name}: {}", grouped(*count))).collect();
    let preloaded = match found.preloaded {
        0 => String::new(),
        keys => format!("; {} written before the load", counted(keys, "key")),
    };
    let text = format!("commands, warm-up included: {}{preloaded}", commands.join(", "));
    out.write_str(&wrap("  ", &text, WIDTH))?;
    if let Some(rate) = found.hit_rate {
        let text = format!("reads: {}", reads(found, rate, &record.args.verify));
        out.write_str(&wrap("  ", &text, WIDTH))?;
    }
    Ok(())
}

fn reads(found: &KeyValueRecord, rate: f64, verify: &str) -> String {
    let mut text = format!(
        "{:.2} % hit rate, {} and {}",
        rate * 100.0,
        counted(found.hits, "hit"),
        counted(found.misses, "miss")
    );
    if found.misses_of_written > 0 {
        text += &format!(
            ", {} of keys that this run had written (expired, evicted, deleted or lost)",
            grouped(found.misses_of_written)
        );
    }
    if verify == Verify::None.to_string() {
        text += "; no value was compared (--verify none)";
        return text;
    }
    let unverified = found.hits.saturating_sub(found.verified_hits);
    text += &match unverified {
        0 if found.hits > 0 => "; every hit was verified".to_owned(),
        0 => String::new(),
        unverified => format!(
            "; {} verified, {} not: this run had not written their keys yet (--preload)",
            counted(found.verified_hits, "hit"),
            grouped(unverified)
        ),
    };
    text
}

/// The errors by kind, and the wrong values.
pub(super) fn errors(found: &KeyValueRecord) -> impl Iterator<Item = String> {
    let errors = found.errors.iter().map(|error| {
        let words = error.words.as_ref().map(|words| format!(", first '{words}'"));
        let errors = counted(error.count, "error");
        format!("{errors} {}{}", error.kind, words.unwrap_or_default())
    });
    let wrong = found.wrong_values;
    let kinds = [
        (wrong.foreign, "of another key, or never written by this run"),
        (wrong.old, "older than a version that had replaced them"),
        (wrong.torn, "not all bytes of one version"),
    ];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
    let kinds = kinds.map(|(count, what)| format!("{}: {what}", counted(count, "wrong value")));
    let first = found.first_wrong_value.as_ref().map(|first| {
        let kind = match first.kind {
            WrongKind::Foreign => "foreign",
            WrongKind::Old => "old",
            WrongKind::Torn => "torn",
        };
        format!(
            "first wrong value ({kind}): connection {}, request {}, key {}: {}",
            first.connection, first.request, first.key, first.words
        )
    });
    errors.chain(kinds).chain(first)
}
