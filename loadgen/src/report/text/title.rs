//! What was measured, and the rate.

use std::fmt::{self, Write as _};

use super::{WIDTH, counted, wrap};
use crate::record::{ArgsRecord, Record};
use crate::units::{rate, throughput};

/// Target, kind of loop, plan, rate.
pub(super) fn write(out: &mut String, record: &Record) -> fmt::Result {
    let args = &record.args;
    writeln!(out, "loadgen {}  {}", args.target, loop_of(args))?;
    out.write_str(&wrap("  ", &plan(args), WIDTH))?;
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
        "\n  rate    {} requests/s{offered}   {} each way\n",
        rate(found.achieved_per_s),
        throughput(found.bytes_per_s)
    )
}

/// Which loop: what the numbers mean depends on it.
fn loop_of(args: &ArgsRecord) -> String {
    match (&args.rate, &args.arrival) {
        (Some(rate), Some(arrival)) => {
            format!("open loop, {rate} requests/s, {arrival} arrivals")
        }
        _ => "closed loop, service time".to_owned(),
    }
}

fn plan(args: &ArgsRecord) -> String {
    let churn = args.churn.as_ref().map(|churn| format!("replaced {churn}, "));
    let runs = if args.runs > 1 { format!("{} runs of ", args.runs) } else { String::new() };
    format!(
        "{}, {}{}, {} requests of {}, pipeline {}, {runs}{} s after {} s warm-up, seed {}, \
         pacing {}",
        counted(u64::from(args.connections), "connection"),
        churn.unwrap_or_default(),
        counted(u64::from(args.threads), "thread"),
        args.protocol,
        size(&args.size),
        args.pipeline,
        args.duration_s,
        args.warmup_s,
        args.seed,
        args.pacing
    )
}

/// A size as given; a bare number is of bytes.
fn size(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{text} B")
    } else {
        text.to_owned()
    }
}
