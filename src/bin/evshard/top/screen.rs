//! Renders an interval as lines of text.

use std::fmt::Write;
use std::time::Duration;

use super::interval::{Activity, Interval, Recent};
use super::layout::{GAP, Room, Word, choose, number, wrap};
use super::snapshot::sum;

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

/// A column of the table. Where not all columns fit, those of the lowest ranks are shown.
struct Column {
    name: &'static str,
    width: usize,
    rank: usize,
    /// The text of a shard, for this width.
    cell: fn(&Activity, usize) -> String,
}

const fn column(
    name: &'static str,
    width: usize,
    rank: usize,
    cell: fn(&Activity, usize) -> String,
) -> Column {
    Column { name, width, rank, cell }
}

/// The columns after the name of the shard.
const COLUMNS: [Column; 12] = [
    column("core", 4, 12, |shard, width| {
        shard.core.map_or_else(|| UNKNOWN.to_owned(), |core| number(core as f64, 0, width))
    }),
    column("open", 7, 1, |shard, width| number(shard.open as f64, 0, width)),
    column("accepts/s", 9, 4, |shard, width| known(shard, number(shard.accepts, 0, width))),
    column("reads/s", 9, 5, |shard, width| known(shard, number(shard.reads, 0, width))),
    column("in-MB/s", 8, 7, |shard, width| known(shard, number(shard.bytes_in / 1e6, 2, width))),
    column("out-MB/s", 8, 8, |shard, width| known(shard, number(shard.bytes_out / 1e6, 2, width))),
    column("busy", 5, 2, |shard, width| {
        known(shard, number(shard.busy_share * 100.0, 0, width - 1) + "%")
    }),
    column("lag-p99", 8, 3, |shard, width| p99(&shard.loop_lag, width)),
    column("handoff-p99", 11, 9, |shard, width| p99(&shard.handoff, width)),
    column("queue", 5, 10, |shard, width| number(shard.queued as f64, 0, width)),
    column("wakes/s", 8, 11, |shard, width| known(shard, number(shard.wakes, 0, width))),
    column("errors/s", 8, 6, |shard, width| known(shard, number(shard.errors, 1, width))),
];

/// The first column has the name of the shard.
const NAME_WIDTH: usize = "shard".len();

/// An unknown value is not zero.
const UNKNOWN: &str = "-";

/// The lines, each with its line end. None is longer than the room, and what has no room is named.
pub(super) fn render(interval: &Interval<'_>, style: Style, room: Room) -> String {
    let shown = shown_columns(room);
    let heading = [state(interval), intake(interval), process(interval), fairness(interval)];
    let shards = (0..).zip(&interval.shards);
    let shard = |(number, shard): (usize, _)| line(&number.to_string(), shard, style, &shown);
    let notes = [silent_shards(interval), hidden_columns(&shown)];
    let lines = Lines {
        heading: heading.into_iter().flat_map(|words| style.lines(words, room)).collect(),
        header: style.set(BOLD, &header(&shown)),
        shards: shards.map(shard).collect(),
        total: line("total", &interval.total, style, &shown),
        notes: notes.into_iter().flat_map(|words| style.lines(words, room)).collect(),
    };
    let mut text = String::new();
    for line in lines.fit(style, room) {
        writeln!(text, "{line}").expect("a string takes everything");
    }
    text
}

/// Which of the columns are shown.
fn shown_columns(room: Room) -> [bool; COLUMNS.len()] {
    let columns = COLUMNS.map(|column| (column.width, column.rank));
    choose(columns, room.columns.saturating_sub(NAME_WIDTH))
}

/// The lines of the screen from top to bottom.
struct Lines {
    heading: Vec<String>,
    header: String,
    shards: Vec<String>,
    total: String,
    notes: Vec<String>,
}

impl Lines {
    /// How many lines there are besides the shards, with the empty one before the table.
    fn others(&self) -> usize {
        self.heading.len() + 1 + 1 + 1 + self.notes.len()
    }

    /// All lines; or, in a low terminal, as many shards as there is room for, and how many more
    /// there are. It has at least the first line of the heading and one shard.
    fn fit(mut self, style: Style, room: Room) -> Vec<String> {
        let (count, needed) = (self.shards.len(), self.others() + self.shards.len());
        if needed > room.lines {
            let note = |hidden| {
                let all = format!("a terminal of {} lines shows all", needed + 1);
                style.lines(words([format!("{hidden} more shards;"), all]), room)
            };
            let note_lines = note(count).len();
            while self.others() + note_lines + 1 > room.lines && self.heading.len() > 1 {
                self.heading.pop();
            }
            let fitting = room.lines.saturating_sub(self.others() + note_lines);
            self.shards.truncate(fitting);
            self.notes.extend(note(count - self.shards.len()));
        }
        let Self { heading, header, shards, total, notes } = self;
        [heading, vec![String::new(), header], shards, vec![total], notes].concat()
    }
}

impl Style {
    fn set(self, color: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colors => format!("{color}{text}{NORMAL}"),
        }
    }

    /// Words as lines that fit the room.
    fn lines(self, words: Vec<Word>, room: Room) -> Vec<String> {
        let shown = |word: Word| match word.color {
            Some(color) => self.set(color, &word.text),
            None => word.text,
        };
        let line = |words: Vec<Word>| words.into_iter().map(shown).collect::<Vec<_>>().join(GAP);
        wrap(words, room.columns).into_iter().map(line).collect()
    }
}

fn words(texts: impl IntoIterator<Item = String>) -> Vec<Word> {
    texts.into_iter().map(Word::from).collect()
}

fn state(interval: &Interval<'_>) -> Vec<Word> {
    let now = interval.now;
    let accepting = now.acceptors.iter().filter(|acceptor| acceptor.accepting).count();
    let (color, state) = if now.draining {
        (YELLOW, "draining")
    } else if now.acceptors.is_empty() {
        (YELLOW, "accepting unknown (another version)")
    } else if accepting == 0 {
        (RED, "not accepting")
    } else {
        (GREEN, "serving")
    };
    let up = humantime::format_duration(Duration::from_secs(now.uptime_s.max(0.0) as u64));
    let version = format!("evshard {}", printable(&now.version));
    let mut all = words([version, format!("pid {}", now.process.pid), format!("up {up}")]);
    all.push(Word { text: state.to_owned(), color: Some(color) });
    all.extend(words(now.listeners.iter().map(|on| format!("on {}", printable(on)))));
    all
}

fn intake(interval: &Interval<'_>) -> Vec<Word> {
    let acceptors = &interval.now.acceptors;
    let accepting = acceptors.iter().filter(|acceptor| acceptor.accepting).count();
    let accepted = sum(acceptors.iter().map(|acceptor| acceptor.accepted));
    words([
        format!("acceptors {accepting} of {} accepting", acceptors.len()),
        format!("accepted {accepted}"),
        format!("sheds/s {:.1}", interval.sheds),
        format!("over-source-limit/s {:.1}", interval.over_source_limit),
        format!("pauses/s {:.1}", interval.pauses),
    ])
}

fn process(interval: &Interval<'_>) -> Vec<Word> {
    let process = &interval.now.process;
    let or_dash = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
    let (open, most) = (or_dash(process.open_fds), or_dash(process.max_fds));
    words([
        format!("process cpu {:.0}%", interval.cpu_share * 100.0),
        format!("descriptors {open} of {most}"),
        format!("memory {} MiB", or_dash(process.resident_bytes.map(|bytes| bytes >> 20))),
    ])
}

/// Jain's index and the maximum over the mean of each quantity.
fn fairness(interval: &Interval<'_>) -> Vec<Word> {
    let of = |(name, found): (&String, &super::snapshot::Fairness)| {
        format!("{} {:.3} {:.2}", printable(name), found.jain, found.max_over_mean)
    };
    let title = "fairness (jain, max/mean)".to_owned();
    words(std::iter::once(title).chain(interval.now.balance.iter().map(of)))
}

fn silent_shards(interval: &Interval<'_>) -> Vec<Word> {
    let silent = interval.shards.iter().enumerate().filter(|(_, shard)| !shard.answered);
    let red = |text: String| Word { text, color: Some(RED) };
    silent.map(|(number, _)| red(format!("shard {number} does not answer"))).collect()
}

/// What a wider terminal shows.
fn hidden_columns(shown: &[bool]) -> Vec<Word> {
    let hidden = COLUMNS.iter().zip(shown).filter(|(_, shown)| !**shown);
    let names: Vec<String> = hidden.map(|(column, _)| column.name.to_owned()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let all = COLUMNS.iter().map(|column| GAP.len() + column.width).sum::<usize>() + NAME_WIDTH;
    let title = format!("{all} columns also show");
    words(std::iter::once(title).chain(names))
}

/// The name and the cells of the columns that are shown.
fn row(name: &str, shown: &[bool], cell: impl Fn(&Column) -> String) -> String {
    let shown = COLUMNS.iter().zip(shown).filter(|(_, shown)| **shown);
    let cells = shown.map(|(column, _)| format!("{GAP}{}", cell(column)));
    format!("{name:>NAME_WIDTH$}") + &cells.collect::<String>()
}

fn header(shown: &[bool]) -> String {
    row("shard", shown, |Column { name, width, .. }| format!("{name:>width$}"))
}

fn line(name: &str, shard: &Activity, style: Style, shown: &[bool]) -> String {
    row(name, shown, |&Column { name, width, cell, .. }| {
        let text = format!("{:>width$}", cell(shard, width));
        match name {
            "errors/s" if shard.errors > 0.0 => style.set(RED, &text),
            "busy" if shard.busy_share >= BUSY_SHARE_HIGH => style.set(YELLOW, &text),
            _ => text,
        }
    })
}

fn known(shard: &Activity, text: String) -> String {
    if shard.answered { text } else { UNKNOWN.to_owned() }
}

fn p99(times: &Recent, width: usize) -> String {
    let Some(nanoseconds) = times.p99_ns() else { return UNKNOWN.to_owned() };
    let (per_unit, unit) = match nanoseconds {
        0..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    number(nanoseconds as f64 / per_unit, 1, width - unit.len()) + unit
}

/// Text from a server must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Snapshot;
    use super::*;

    const UNLIMITED: Room = Room { columns: usize::MAX, lines: usize::MAX };

    fn snapshot() -> Snapshot {
        let text = r#"{
            "version": "1.2.3", "uptime_s": 2.0, "listeners": ["127.0.0.1:1", "unix:/a\u001b[2J"],
            "shards": [
                { "answered": true, "core": 1, "open": 5, "busy_share": 0.95, "reads": 400,
                  "bytes_in": 5000000, "errors": { "idle": 2, "cut": 4 } },
                { "answered": false, "open": 7, "unknown_field": [] }
            ],
            "acceptors": [{ "accepting": true, "accepted": 12, "shed": 4, "source_limit": 3 }],
            "balance": { "open": { "jain": 0.973, "max_over_mean": 1.17 } },
            "process": { "pid": 42, "cpu_ns": 1000000000, "open_fds": 9, "max_fds": null },
            "histograms": [{ "loop_lag_ns": [[12300, 1]], "handoff_ns": [] }]
        }"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_screen_shows_state_fairness_and_a_line_per_shard() {
        let now = snapshot();
        let text = render(&Interval::since_start(&now), Style::Plain, UNLIMITED);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "evshard 1.2.3  pid 42  up 2s  serving  on 127.0.0.1:1  on unix:/a?[2J",
                "acceptors 1 of 1 accepting  accepted 12  sheds/s 2.0  over-source-limit/s 1.5  \
                 pauses/s 0.0",
                "process cpu 50%  descriptors 9 of -  memory - MiB",
                "fairness (jain, max/mean)  open 0.973 1.17",
                "",
                &header(&[true; COLUMNS.len()]),
            ]
        );
        let fields: Vec<&str> = lines[6].split_whitespace().collect();
        let expected = "0 1 5 0 200 2.50 0.00 95% 12.3us - 0 0 3.0";
        assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
        assert!(lines[7].ends_with("0         -         -"), "{text}");
        assert!(lines[8].starts_with("total"), "{text}");
        assert_eq!(lines[9..], ["shard 1 does not answer"]);
        assert_eq!(lines[6].len(), lines[5].len());
    }

    #[test]
    fn colors_do_not_change_the_text() {
        let now = snapshot();
        let interval = Interval::since_start(&now);
        let mut text = render(&interval, Style::Colors, UNLIMITED);
        assert!(text.contains(RED) && text.contains(YELLOW) && text.contains(GREEN), "{text}");
        for code in [BOLD, RED, YELLOW, GREEN, NORMAL] {
            text = text.replace(code, "");
        }
        assert_eq!(text, render(&interval, Style::Plain, UNLIMITED));
    }

    #[test]
    fn a_server_that_drains_or_does_not_accept_is_shown_so() {
        let mut now = snapshot();
        let acceptors = std::mem::take(&mut now.acceptors);
        assert!(
            render(&Interval::since_start(&now), Style::Plain, UNLIMITED)
                .contains("accepting unknown")
        );
        now.acceptors = acceptors;
        now.acceptors[0].accepting = false;
        assert!(
            render(&Interval::since_start(&now), Style::Plain, UNLIMITED).contains("not accepting")
        );
        now.draining = true;
        assert!(render(&Interval::since_start(&now), Style::Plain, UNLIMITED).contains("draining"));
    }

    const WIDTHS: [usize; 10] = [20, 40, 41, 60, 70, 80, 100, 118, 119, 200];

    #[test]
    fn a_narrow_terminal_wraps_lines_or_loses_columns_without_naming_them() {
        let now = snapshot();
        let interval = Interval::since_start(&now);
        let all = render(&interval, Style::Plain, UNLIMITED);
        let words = |text: &str| {
            let words = text.split_whitespace().map(str::to_owned);
            words.collect::<std::collections::BTreeSet<_>>()
        };
        for columns in WIDTHS {
            let room = Room { columns, ..UNLIMITED };
            let text = render(&interval, Style::Plain, room);
            for line in text.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
            for Column { name, .. } in COLUMNS {
                assert_eq!(
                    text.split_whitespace().filter(|word| *word == name).count(),
                    1 + usize::from(name == "open"),
                    "{columns}: {name} in {text}"
                );
            }
            if columns >= 40 {
                let head = |text: &str| words(text.split_once("\n\n").unwrap().0);
                assert_eq!(head(&text), head(&all), "{columns}: {text}");
            }
        }
        let widest = *WIDTHS.last().unwrap();
        assert_eq!(render(&interval, Style::Plain, Room { columns: widest, ..UNLIMITED }), all);
    }

    #[test]
    fn huge_numbers_make_a_line_longer() {
        let mut now = snapshot();
        for shard in &mut now.shards {
            let huge = u64::MAX;
            (shard.open, shard.queued, shard.reads, shard.core) =
                (huge, huge, huge, Some(usize::MAX));
            (shard.bytes_in, shard.bytes_out, shard.busy_share) = (huge, huge, 1e300);
            shard.errors.values_mut().for_each(|count| *count = huge);
        }
        now.acceptors = vec![now.acceptors[0].clone(); 2];
        now.histograms[0].loop_lag_ns = vec![(1, u64::MAX), (u64::MAX, u64::MAX)];
        now.histograms.push(now.histograms[0].clone());
        for acceptor in &mut now.acceptors {
            (acceptor.accepted, acceptor.shed) = (u64::MAX, u64::MAX);
            (acceptor.pauses_full, acceptor.pauses_failing) = (u64::MAX, u64::MAX);
        }
        let text = render(&Interval::since_start(&now), Style::Plain, UNLIMITED);
        let table = text.split_once("\n\n").unwrap().1;
        let lengths = table.lines().take(4).map(|line| line.chars().count());
        assert_eq!(lengths.collect::<std::collections::BTreeSet<_>>().len(), 1, "{text}");
    }

    #[test]
    fn a_low_terminal_shows_the_total_and_says_how_many_shards_it_leaves_out() {
        let mut now = snapshot();
        now.shards = vec![now.shards[0].clone(); 100];
        let interval = Interval::since_start(&now);
        for lines in [7, 12, 24, 50, 107, 108, 200] {
            let room = Room { columns: 80, lines };
            let text = render(&interval, Style::Plain, room);
            assert!(text.lines().count() <= lines, "{lines}: {text}");
            let shown = text.lines().filter(|line| {
                line.trim_start().starts_with(|c: char| c.is_ascii_digit())
                    && !line.contains("columns also show")
                    && !line.contains("more shards")
            });
            let shown = shown.count();
            assert!(text.lines().any(|line| line.starts_with("total")), "{text}");
            assert!(shown > 0 && text.starts_with("evshard"), "{text}");
            let note = format!("{} more shards;", 100 - shown);
            assert_eq!(text.contains(&note), shown < 100, "{lines}: {text}");
        }
    }
}
