//! What the lines of a file of requests and of a file of commands have in common: their numbers,
//! their times, and whether an order can use what they state.

use std::path::Path;
use std::time::Duration;

use super::order::Order;
use crate::plan_files;

/// Most requests or commands of a file. Each takes some 100 bytes of memory and more.
pub(crate) const REQUESTS_MAX: usize = 1_000_000;

/// Most bytes of all bodies or commands together: they stay in memory.
pub(crate) const BYTES_MAX: usize = 1 << 30;

/// Latest time of a request: a year, as the longest run.
const AT_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What a line states beside its request: its number in the file, its weight and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) weight: Option<u32>,
    pub(super) at_ns: Option<u64>,
}

/// The text of a file. `what` says what it should be, such as "a file of requests".
pub(super) fn read(name: &str, what: &str) -> Result<String, String> {
    let text = plan_files::read_to_string(Path::new(name));
    text.map_err(|error| format!("read {name}: {error}; name {what}"))
}

/// The lines with their numbers, from 1. Empty lines and comments are left out.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The time of a line in nanoseconds.
pub(super) fn at_ns(seconds: f64) -> Result<u64, String> {
    let at = Duration::try_from_secs_f64(seconds).ok().filter(|at| *at <= AT_MAX);
    at.map(|at| at.as_nanos() as u64)
        .ok_or(format!("at {seconds}: write the seconds from 0 to those of a year"))
}

/// What is wrong with a line of JSON, and where in the line.
pub(super) fn json_error(error: &serde_json::Error) -> String {
    // The parser numbers lines too, and there is only one.
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("{text} (column {})", error.column())
}

/// Refuses an order that needs what the lines do not state, or would ignore a weight. `what` says
/// what the lines are: "requests" or "commands".
pub(super) fn expect_usable(
    order: Order,
    what: &str,
    lines: impl Iterator<Item = Line> + Clone,
) -> Result<(), String> {
    if order == Order::Timed {
        expect_times(what, lines.clone())?;
    }
    let weighted = lines.clone().find(|line| line.weight.is_some());
    match (order, weighted) {
        (Order::Weighted, None) => Err(format!(
            "--order weighted: none of the {what} of the file has a weight; write one into its \
             line, or use --order random"
        )),
        (Order::Weighted, Some(_)) | (_, None) => Ok(()),
        (order, Some(line)) => Err(format!(
            "--order {order}: line {} of the {what} has a weight, which has no effect; leave the \
             weight out, or use --order weighted",
            line.number
        )),
    }
}

/// Whether each line has a time, and none an earlier one than the line before.
fn expect_times(what: &str, lines: impl Iterator<Item = Line>) -> Result<(), String> {
    let mut before_ns = 0;
    for Line { number, at_ns, .. } in lines {
        let complain = |why: &str| Err(format!("--order timed: line {number} of the {what} {why}"));
        match at_ns {
            None => return complain("has no time; write \"at\":0.25, in seconds, into each"),
            Some(at_ns) if at_ns < before_ns => {
                return complain("is earlier than the one before; sort them by \"at\"");
            }
            Some(at_ns) => before_ns = at_ns,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, weight: Option<u32>, at_ns: Option<u64>) -> Line {
        Line { number, weight, at_ns }
    }

    #[test]
    fn an_order_must_use_all_that_the_lines_state() {
        let plain = [line(1, None, None), line(3, None, None)];
        let weighted = [line(1, None, None), line(3, Some(2), None)];
        let timed = [line(1, None, Some(5)), line(3, None, Some(5))];
        let unsorted = [line(1, None, Some(5)), line(3, None, Some(4))];
        let partly_timed = [line(1, None, Some(5)), line(3, None, None)];
        let said = |order: &str, lines: &[Line]| {
            let order = order.parse().unwrap();
            expect_usable(order, "commands", lines.iter().copied()).err().unwrap_or_default()
        };
        for (order, lines, expected) in [
            ("sequential", &plain, ""),
            ("random", &plain, ""),
            ("zipf:1", &timed, ""),
            ("weighted", &weighted, ""),
            ("timed", &timed, ""),
            ("weighted", &plain, "none of the commands of the file has a weight"),
            ("sequential", &weighted, "line 3 of the commands has a weight"),
            ("timed", &plain, "line 1 of the commands has no time"),
            ("timed", &partly_timed, "line 3 of the commands has no time"),
            ("timed", &unsorted, "line 3 of the commands is earlier"),
        ] {
            let said = said(order, lines);
            assert_eq!(said.is_empty(), expected.is_empty(), "{order}: {said}");
            assert!(said.contains(expected), "{order}: {said}");
        }
    }

    #[test]
    fn comments_and_empty_lines_count_and_are_left_out() {
        let lines: Vec<_> = numbered("\u{feff}# a\nb\n\n  c \n").collect();
        assert_eq!(lines, [(2, "b"), (4, "c")]);
    }

    #[test]
    fn a_time_lies_between_zero_and_a_year() {
        assert_eq!(at_ns(0.000_001), Ok(1_000));
        for seconds in [-0.1, f64::NAN, 4e7] {
            assert!(at_ns(seconds).unwrap_err().contains("write the seconds from 0"), "{seconds}");
        }
    }
}
