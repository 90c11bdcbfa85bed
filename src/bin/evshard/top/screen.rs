//! Renders an interval as lines of text.

use std::fmt::Write;
use std::time::Duration;

use super::interval::{Activity, Interval, Recent};

/// Whether to use colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Colors,
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const NORMAL: &str = "\x1b[0m";

/// From this busy share on, a shard has no time for more work.
const BUSY_SHARE_HIGH: f64 = 0.9;

const COLUMNS: [(&str, usize); 13] = [
    ("shard", 5),
    ("core", 4),
    ("open", 7),
    ("accepts/s", 9),
    ("reads/s", 9),
    ("in-MB/s", 8),
    ("out-MB/s", 8),
    ("busy", 5),
    ("lag-p99", 8),
    ("handoff-p99", 11),
    ("queue", 5),
    ("wakes/s", 8),
    ("errors/s", 8),
];

/// The lines, each with its line end.
pub(super) fn render(interval: &Interval<'_>, style: Style) -> String {
    let mut text = String::new();
    let lines = [
        state(interval, style),
        intake(interval),
        process(interval),
        fairness(interval),
        String::new(),
        style.set(BOLD, &header()),
    ];
    let shards = (0..).zip(&interval.shards);
    let shards = shards.map(|(number, shard): (usize, _)| line(&number.to_string(), shard, style));
    let total = line("total", &interval.total, style);
    for line in lines.into_iter().chain(shards).chain([total]) {
        writeln!(text, "{line}").expect("a string takes everything");
    }
    text
}

impl Style {
    fn set(self, color: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colors => format!("{color}{text}{NORMAL}"),
        }
    }
}

fn state(interval: &Interval<'_>, style: Style) -> String {
    let now = interval.now;
    let accepting = now.acceptors.iter().filter(|acceptor| acceptor.accepting).count();
    let state = if now.draining {
        style.set(YELLOW, "draining")
    } else if now.acceptors.is_empty() {
        style.set(YELLOW, "accepting unknown (another version)")
    } else if accepting == 0 {
        style.set(RED, "not accepting")
    } else {
        style.set(GREEN, "serving")
    };
    let up = humantime::format_duration(Duration::from_secs(now.uptime_s.max(0.0) as u64));
    let on = now.listeners.join(", ");
    let (version, pid) = (printable(&now.version), now.process.pid);
    format!("evshard {version}  pid {pid}  up {up}  {state}  on {}", printable(&on))
}

fn intake(interval: &Interval<'_>) -> String {
    let acceptors = &interval.now.acceptors;
    let accepting = acceptors.iter().filter(|acceptor| acceptor.accepting).count();
    let accepted = acceptors.iter().map(|acceptor| acceptor.accepted).sum::<u64>();
    format!(
        "acceptors {accepting} of {} accepting  accepted {accepted}  sheds/s {:.1}  pauses/s {:.1}",
        acceptors.len(),
        interval.sheds,
        interval.pauses
    )
}

fn process(interval: &Interval<'_>) -> String {
    let process = &interval.now.process;
    let or_dash = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
    format!(
        "process cpu {:.0}%  descriptors {} of {}  memory {} MiB",
        interval.cpu_share * 100.0,
        or_dash(process.open_fds),
        or_dash(process.max_fds),
        or_dash(process.resident_bytes.map(|bytes| bytes >> 20)),
    )
}

/// Jain's index and the maximum over the mean of each quantity.
fn fairness(interval: &Interval<'_>) -> String {
    let of = |(name, found): (&String, &super::snapshot::Fairness)| {
        format!("{} {:.3} {:.2}", printable(name), found.jain, found.max_over_mean)
    };
    let all = interval.now.balance.iter().map(of).collect::<Vec<_>>().join("  ");
    format!("fairness (jain, max/mean)  {all}")
}

fn header() -> String {
    let cells = COLUMNS.map(|(name, width)| format!("{name:>width$}"));
    cells.join("  ")
}

fn line(name: &str, shard: &Activity, style: Style) -> String {
    let core = shard.core.map_or_else(|| "-".to_owned(), |core| core.to_string());
    // An unknown value is not zero.
    let known = |text: String| if shard.answered { text } else { "-".to_owned() };
    let cells = [
        name.to_owned(),
        core,
        shard.open.to_string(),
        known(format!("{:.0}", shard.accepts)),
        known(format!("{:.0}", shard.reads)),
        known(format!("{:.2}", shard.bytes_in / 1e6)),
        known(format!("{:.2}", shard.bytes_out / 1e6)),
        known(format!("{:.0}%", shard.busy_share * 100.0)),
        p99(&shard.loop_lag),
        p99(&shard.handoff),
        shard.queued.to_string(),
        known(format!("{:.0}", shard.wakes)),
        known(format!("{:.1}", shard.errors)),
    ];
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (name, width))| {
        let cell = format!("{cell:>width$}");
        match name {
            "errors/s" if shard.errors > 0.0 => style.set(RED, &cell),
            "busy" if shard.busy_share >= BUSY_SHARE_HIGH => style.set(YELLOW, &cell),
            _ => cell,
        }
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    if shard.answered { line } else { format!("{line}  {}", style.set(RED, "does not answer")) }
}

fn p99(times: &Recent) -> String {
    let Some(nanoseconds) = times.p99_ns() else { return "-".to_owned() };
    let time = nanoseconds as f64;
    match nanoseconds {
        0..1_000_000 => format!("{:.1}us", time / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}ms", time / 1e6),
        _ => format!("{:.1}s", time / 1e9),
    }
}

/// Text from a server must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Snapshot;
    use super::*;

    fn snapshot() -> Snapshot {
        let text = r#"{
            "version": "1.2.3", "uptime_s": 2.0, "listeners": ["127.0.0.1:1", "unix:/a\u001b[2J"],
            "shards": [
                { "answered": true, "core": 1, "open": 5, "busy_share": 0.95, "reads": 400,
                  "bytes_in": 5000000, "errors": { "idle": 2, "cut": 4 } },
                { "answered": false, "open": 7, "unknown_field": [] }
            ],
            "acceptors": [{ "accepting": true, "accepted": 12, "shed": 4 }],
            "balance": { "open": { "jain": 0.973, "max_over_mean": 1.17 } },
            "process": { "pid": 42, "cpu_ns": 1000000000, "open_fds": 9, "max_fds": null },
            "histograms": [{ "loop_lag_ns": [[12300, 1]], "handoff_ns": [] }]
        }"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_screen_shows_state_fairness_and_a_line_per_shard() {
        let now = snapshot();
        let text = render(&Interval::since_start(&now), Style::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "evshard 1.2.3  pid 42  up 2s  serving  on 127.0.0.1:1, unix:/a?[2J",
                "acceptors 1 of 1 accepting  accepted 12  sheds/s 2.0  pauses/s 0.0",
                "process cpu 50%  descriptors 9 of -  memory - MiB",
                "fairness (jain, max/mean)  open 0.973 1.17",
                "",
                &header(),
            ]
        );
        let fields: Vec<&str> = lines[6].split_whitespace().collect();
        let expected = "0 1 5 0 200 2.50 0.00 95% 12.3us - 0 0 3.0";
        assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
        assert!(lines[7].ends_with("0         -         -  does not answer"), "{text}");
        assert!(lines[8].starts_with("total"), "{text}");
        assert_eq!(lines[6].len(), lines[5].len());
    }

    #[test]
    fn colors_do_not_change_the_text() {
        let now = snapshot();
        let interval = Interval::since_start(&now);
        let mut text = render(&interval, Style::Colors);
        assert!(text.contains(RED) && text.contains(YELLOW) && text.contains(GREEN), "{text}");
        for code in [BOLD, RED, YELLOW, GREEN, NORMAL] {
            text = text.replace(code, "");
        }
        assert_eq!(text, render(&interval, Style::Plain));
    }

    #[test]
    fn a_server_that_drains_or_does_not_accept_is_shown_so() {
        let mut now = snapshot();
        let acceptors = std::mem::take(&mut now.acceptors);
        assert!(render(&Interval::since_start(&now), Style::Plain).contains("accepting unknown"));
        now.acceptors = acceptors;
        now.acceptors[0].accepting = false;
        assert!(render(&Interval::since_start(&now), Style::Plain).contains("not accepting"));
        now.draining = true;
        assert!(render(&Interval::since_start(&now), Style::Plain).contains("draining"));
    }
}
