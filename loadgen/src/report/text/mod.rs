//! The report on the terminal, to be read from top to bottom. First comes the verdict, then the
//! measurement, and at the end the processor time of loader and server.
//!
//! ```text
//! verdict     VALID, SUSPECT or INVALID, why, and what became of the objectives
//! title       what was measured, on what
//! table       percentiles with their confidence intervals, and the loader's own lateness
//! histogram   the shape
//! runs        each run by itself, median and range
//! errors      what went wrong, and what to do
//! cost        processor time of loader and server, and how it is shared out
//! layout      aligned columns, wrapped sentences
//! style       colours
//! ```

mod cost;
mod errors;
mod histogram;
mod latency_table;
mod layout;
mod runs;
mod style;
#[cfg(test)]
mod tests;
mod title;
mod verdict;

use std::fmt::{self, Write as _};

pub(crate) use self::layout::{Columns, wrap};
pub(crate) use self::style::Style;
use crate::environment::Sharing;
use crate::latency::{Distribution, Latencies};
use crate::record::Record;
use crate::units::grouped;

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
    verdict::write(out, record, style)?;
    title::write(out, record)?;
    latency_table::write(out, record)?;
    let headline = Distribution::headline(record.args.mode);
    histogram::write(out, headline.name(), &latencies[headline])?;
    runs::write(out, record, style)?;
    errors::write(out, record)?;
    cost::write(out, record)
}

/// Writes the warning above every table if loader and server share processors.
fn write_co_located(out: &mut String, record: &Record) -> fmt::Result {
    if record.env.sharing.is_some_and(Sharing::is_co_located) {
        writeln!(out, "  CO-LOCATED: loader and server share processors")?;
    }
    Ok(())
}

/// "1 thread", "2 threads".
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}
