//! The page with everything on it (`index.html`): one file that needs no network and no script.
//!
//! It is XML as well as HTML, so that a parser can check that it is complete.

mod tables;

use std::fmt::Write as _;

use self::tables::{Table, fields};
use super::markup::escape;
use crate::record::{Record, Validity, Verdict};
use crate::units;

const STYLE: &str = include_str!("style.css");

/// The page. `plots` are SVG documents.
pub(super) fn page(record: &Record, plots: &[String]) -> String {
    let title = match record.validity.verdict {
        Verdict::Valid => format!("loadgen: {}", record.args.target),
        verdict => format!("{verdict} loadgen: {}", record.args.target),
    };
    let title = escape(&title);
    let mut body = verdict(record) + &rate(record);
    body += &section("Latency", &tables::latencies(record));
    for plot in plots {
        let _ = write!(body, "<figure>\n{plot}</figure>\n");
    }
    body += &section("Runs", &tables::runs(record));
    body += &section("Loader threads", &tables::loader_threads(record));
    body += &section("Server", &tables::server(record));
    body += &section("The server's own metrics", &tables::server_metrics(record));
    body += &section("TLS", &tables::tls(record));
    body += &section("Commands", &tables::commands(record));
    body += &section("Replies by status", &fields(&record.statuses.codes));
    body += &folded("Counters", &fields(&record.counters));
    body += &folded("Plan", &fields(&record.args));
    body += &folded("Environment", &fields(&record.env));
    let command = escape(&record.env.command);
    body += &section("Command line", &format!("<pre>{command}</pre>\n"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n\
         <meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

/// What is to be read before any number.
fn verdict(record: &Record) -> String {
    let Validity { verdict, reasons, labels, .. } = &record.validity;
    let partial = if record.interrupted { " · INTERRUPTED: partial results" } else { "" };
    let mut items = String::new();
    for finding in reasons.iter().chain(labels) {
        let (code, text) = (escape(&finding.code.to_string()), escape(&finding.text));
        let note = if finding.level == Verdict::Valid { "note " } else { "" };
        let _ = writeln!(items, "<li>{note}<b>{code}</b>: {text}</li>");
    }
    for slo in &record.slo {
        let met = match slo.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not known",
        };
        let (objective, found) = (escape(&slo.objective), escape(&slo.found));
        let _ = writeln!(items, "<li>objective <b>{objective}</b> {met}: {found}</li>");
    }
    if items.is_empty() {
        items = "<li>Nothing speaks against this measurement.</li>\n".to_owned();
    }
    format!(
        "<section class=\"verdict {verdict}\">\n<p><strong>{verdict}</strong>{partial}</p>\n\
         <ul>\n{items}</ul>\n</section>\n"
    )
}

fn rate(record: &Record) -> String {
    let rate = &record.rate;
    let offered = rate.offered_per_s.filter(|offered| *offered > 0.0).map(|offered| {
        let share = 100.0 * rate.achieved_per_s / offered;
        format!(" of {} offered ({share:.1} %)", units::rate(offered))
    });
    let closed = || "closed loop: the latency is the service time".to_owned();
    let loop_of = record.args.open_loop().unwrap_or_else(closed);
    format!(
        "<p class=\"rate\"><strong>{}</strong> requests/s{}; sent {}, received {}<br/>{}</p>\n",
        units::rate(rate.achieved_per_s),
        offered.unwrap_or_default(),
        units::throughput(rate.sent_bytes_per_s),
        units::throughput(rate.received_bytes_per_s),
        escape(&loop_of),
    )
}

/// A part of the page, unless it is empty.
fn section(title: &str, content: &str) -> String {
    match content {
        "" => String::new(),
        _ => format!("<section>\n<h2>{title}</h2>\n{content}</section>\n"),
    }
}

/// A long part of the page, which opens when its title is clicked.
fn folded(title: &str, content: &str) -> String {
    format!(
        "<section>\n<details>\n<summary><h2>{title}</h2></summary>\n{content}</details>\n\
         </section>\n"
    )
}

/// A table of this measurement.
fn table_of<const N: usize>(record: &Record, head: [&str; N]) -> Table {
    Table::new(
        head,
        record.validity.is_co_located().then_some("CO-LOCATED: loader and server share processors"),
    )
}

#[cfg(test)]
mod tests;
