//! The page for a person: tables of text.

use std::fmt::{self, Display, Write};

use super::super::snapshot::{BaseSnapshot, FunctionSnapshot, Quantiles, Snapshot, State};
use crate::record::reasons::REASONS;

/// The table of everything.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let Snapshot { program, pid, version, observed_ns, .. } = snapshot;
    let observed = Time(*observed_ns);
    let mut page = Page::default();
    page.line(format_args!(
        "{program}, process {pid}, observed for {observed} (evshard {version})"
    ));
    if !snapshot.children_have_pages {
        page.line(format_args!(
            "Children of this process have no pages; %p in EVSHARD_ADMIN gives each its own."
        ));
    }
    put_loops(&mut page, &snapshot.bases);
    put_calls(&mut page, &snapshot.bases);
    put_times(&mut page, &snapshot.bases);
    put_events(&mut page, &snapshot.bases);
    put_functions(&mut page, "Functions by total time", &snapshot.functions);
    put_functions(&mut page, "Functions by longest call", &snapshot.longest);
    put_slow(&mut page, snapshot);
    page.0
}

/// Text that only grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes everything");
        self.0.push('\n');
    }

    fn title(&mut self, title: &str) {
        self.line(format_args!("\n{title}"));
    }
}

fn put_loops(page: &mut Page, bases: &[BaseSnapshot]) {
    page.title("Loops");
    page.line(format_args!(
        "{:>4}  {:<22}  {:>7}  {:>10}  {:>10}  {:>7}  {:>7}  {:>7}  now",
        "base", "backend", "thread", "turns", "callbacks", "waiting", "calling", "looping"
    ));
    for base in bases {
        let of = base.waiting_ns + base.callback_ns + base.loop_ns;
        page.line(format_args!(
            "{:>4}  {:<22}  {:>7}  {:>10}  {:>10}  {:>7}  {:>7}  {:>7}  {}",
            base.base,
            base.backend,
            base.thread.map_or("-".to_owned(), |thread| thread.to_string()),
            base.turns,
            base.callbacks,
            share(base.waiting_ns, of),
            share(base.callback_ns, of),
            share(base.loop_ns, of),
            now(base),
        ));
    }
}

/// What the loop does now.
fn now(base: &BaseSnapshot) -> String {
    let time = Time(base.state_ns);
    match (base.state, &base.running) {
        (State::Calling, Some(running)) => {
            format!("in {} for {time} ({})", running.function, running.reason)
        }
        (State::Calling, None) => format!("in a callback for {time}"),
        (State::Waiting, _) => format!("waiting for {time}"),
        (State::Looping, _) => "in the loop".to_owned(),
        (State::Stopped, _) => format!("not running for {time}"),
    }
}

fn put_calls(page: &mut Page, bases: &[BaseSnapshot]) {
    page.title("Callbacks by reason");
    let mut header = format!("{:>4}", "base");
    for (_, name) in REASONS {
        let _ = write!(header, "  {name:>10}");
    }
    page.line(format_args!("{header}"));
    for base in bases {
        let mut line = format!("{:>4}", base.base);
        for (reason, _) in REASONS {
            let _ = write!(line, "  {:>10}", base.calls.of(reason));
        }
        page.line(format_args!("{line}"));
    }
}

fn put_times(page: &mut Page, bases: &[BaseSnapshot]) {
    page.title("Times");
    page.line(format_args!(
        "{:>4}  {:<14}  {:>10}  {:>8}  {:>8}  {:>8}  {:>8}",
        "base", "of", "count", "mean", "median", "99%", "longest"
    ));
    for base in bases {
        for (name, times) in [
            ("callbacks", &base.callback_times),
            ("loop lag", &base.lag),
            ("timer lateness", &base.timer_lateness),
        ] {
            let Quantiles { count, mean_ns, p50_ns, p99_ns, max_ns, .. } = *times;
            if count == 0 {
                continue;
            }
            page.line(format_args!(
                "{:>4}  {name:<14}  {count:>10}  {:>8}  {:>8}  {:>8}  {:>8}",
                base.base,
                Time(mean_ns),
                Time(p50_ns),
                Time(p99_ns),
                Time(max_ns),
            ));
        }
    }
}

fn put_events(page: &mut Page, bases: &[BaseSnapshot]) {
    page.title("Events and system calls, as of the last wait");
    page.line(format_args!(
        "{:>4}  {:>11}  {:>8}  {:>7}  {:>6}  {:>7}  {:>10}  {:>12}  {:>13}  {:>7}",
        "base",
        "descriptors",
        "timeouts",
        "signals",
        "active",
        "virtual",
        "waits/turn",
        "changes/turn",
        "notifications",
        "refused"
    ));
    for base in bases {
        let (events, calls) = (&base.events, &base.system_calls);
        page.line(format_args!(
            "{:>4}  {:>11}  {:>8}  {:>7}  {:>6}  {:>7}  {:>10}  {:>12}  {:>13}  {:>7}",
            base.base,
            events.descriptors,
            events.timeouts,
            events.signals,
            events.active,
            events.held,
            per(calls.waits, base.turns),
            per(calls.changes, base.turns),
            calls.notifications,
            base.refused_descriptors,
        ));
    }
}

fn put_functions(page: &mut Page, title: &str, functions: &[FunctionSnapshot]) {
    page.title(title);
    page.line(format_args!(
        "{:>10}  {:>8}  {:>8}  {:>8}  function",
        "calls", "total", "mean", "longest"
    ));
    for FunctionSnapshot { function, calls, total_ns, max_ns } in functions {
        let mean_ns = total_ns.checked_div(*calls).unwrap_or(0);
        page.line(format_args!(
            "{calls:>10}  {:>8}  {:>8}  {:>8}  {function}",
            Time(*total_ns),
            Time(mean_ns),
            Time(*max_ns)
        ));
    }
}

fn put_slow(page: &mut Page, snapshot: &Snapshot) {
    let count: u64 = snapshot.bases.iter().map(|base| base.slow_callbacks).sum();
    let limit = Time(snapshot.slow_limit_ns);
    page.title(&format!("Callbacks of {limit} or more: {count}"));
    for slow in &snapshot.slow_callbacks {
        page.line(format_args!(
            "{:>8} ago  base {}  {:>8}  {} ({})",
            Time(slow.ago_ns).to_string(),
            slow.base,
            Time(slow.took_ns),
            slow.function,
            slow.reason
        ));
    }
}

fn share(part: u64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { format!("{:.1}%", part as f64 * 100.0 / of as f64) }
}

fn per(count: u64, turns: u64) -> String {
    if turns == 0 { "-".to_owned() } else { format!("{:.2}", count as f64 / turns as f64) }
}

/// Nanoseconds with three digits and a unit.
struct Time(u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
        let ns = self.0 as f64;
        let text = match UNITS.iter().find(|(unit, _)| ns >= unit * 0.9995) {
            None => format!("{} ns", self.0),
            Some((unit, name)) => {
                let value = ns / unit;
                let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
                format!("{value:.decimals$} {name}")
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_the_unit_that_fits() {
        let shown = |ns| Time(ns).to_string();
        assert_eq!(shown(0), "0 ns");
        assert_eq!(shown(999), "999 ns");
        assert_eq!(shown(1_000), "1.00 us");
        assert_eq!(shown(12_345), "12.3 us");
        assert_eq!(shown(999_499), "999 us");
        assert_eq!(shown(999_999), "1.00 ms");
        assert_eq!(shown(123_456_789), "123 ms");
        assert_eq!(shown(61_000_000_000), "61.0 s");
        assert_eq!(format!("{:>8}", Time(1_000)), " 1.00 us");
    }
}
