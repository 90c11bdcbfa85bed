//! Numbers as people read them: durations, counts, rates, sizes.

use std::collections::BTreeSet;
use std::time::Duration;

use bytesize::ByteSize;

/// A duration with the unit that suits it and at least three digits: "57.3 µs", "1.24 ms".
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "s "), (1e6, "ms"), (1e3, "µs")];
    // A value that rounds to a thousand of one unit is one of the next.
    let fits = |unit: f64| ns as f64 >= unit * 0.999_5;
    match UNITS.into_iter().find(|&(unit, _)| fits(unit)) {
        Some((unit, name)) => format!("{} {name}", three_digits(ns as f64 / unit)),
        None => format!("{ns} ns"),
    }
}

/// A duration within a sentence: as [`duration`], without padding.
pub(crate) fn brief(ns: u64) -> String {
    duration(ns).trim_end().to_owned()
}

/// The ends of a confidence interval, of which the upper one may be unknown: "[1.20 ms, 1.30 ms]".
pub(crate) fn interval((low_ns, high_ns): (u64, Option<u64>)) -> String {
    let (low, high) = (brief(low_ns), high_ns.map_or_else(|| "?".to_owned(), brief));
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("[{number}, {high}]"),
        _ => format!("[{low}, {high}]"),
    }
}

/// A bound between two rows of a table: as [`duration`], without trailing zeros.
pub(crate) fn bound(ns: u64) -> String {
    let text = duration(ns);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A count with separated thousands: "1,032,140".
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: "1 run", "2,000 requests", "0 replies". The noun is given in the
/// singular, and its plural is regular.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {}", grouped(count), plural(noun)) }
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

/// A rate: whole with separated thousands, or with decimals when small.
pub(crate) fn rate(per_s: f64) -> String {
    if per_s < 99.95 { three_digits(per_s) } else { grouped(per_s.round() as u64) }
}

/// Bytes per second: "6.30 MiB/s", and below a tenth of a mebibyte "62.5 KiB/s".
pub(crate) fn throughput(bytes_per_s: f64) -> String {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    match bytes_per_s / MEBIBYTE {
        ..0.1 => format!("{} KiB/s", rate(bytes_per_s / 1024.0)),
        mebibytes => format!("{} MiB/s", rate(mebibytes)),
    }
}

/// A size in bytes: "64 B", "16 KiB".
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string().replace(".0 ", " ")
}

/// A length of time that need not be exact: "1m 30s", "2h 5m", "300ms".
pub(crate) fn about(length: Duration) -> String {
    let seconds = length.as_secs_f64().round() as u64;
    let rounded = match seconds {
        0 => Duration::from_millis(length.as_millis() as u64),
        1..600 => Duration::from_secs(seconds),
        _ => Duration::from_secs(seconds.div_ceil(60) * 60),
    };
    humantime::format_duration(rounded).to_string()
}

/// A share as whole per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Numbers as a list, or as a range if there is no gap: "7", "1, 5" or "1 to 10".
pub(crate) fn numbers(numbers: &BTreeSet<u64>) -> String {
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last))
            if numbers.len() > 2 && last - first == numbers.len() as u64 - 1 =>
        {
            format!("{first} to {last}")
        }
        _ => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_gap_are_a_range() {
        let shown = |list: &[u64]| numbers(&list.iter().copied().collect());
        assert_eq!(shown(&[7]), "7");
        assert_eq!(shown(&[8, 7]), "7, 8");
        assert_eq!(shown(&[3, 1, 2]), "1 to 3");
        assert_eq!(shown(&[1, 2, 4]), "1, 2, 4");
        assert_eq!(shown(&[0, 1, u64::MAX]), "0, 1, 18446744073709551615");
    }

    #[test]
    fn durations_have_three_digits_and_the_unit_that_suits_them() {
        for (ns, text) in [
            (0, "0 ns"),
            (812, "812 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (57_349, "57.3 µs"),
            (999_499, "999 µs"),
            (999_501, "1.00 ms"),
            (1_240_000, "1.24 ms"),
            (12_345_678, "12.3 ms"),
            (60_000_000_000, "60.0 s "),
            (180_000_000_000, "180 s "),
        ] {
            assert_eq!(duration(ns), text, "{ns} ns");
        }
    }

    #[test]
    fn bounds_have_no_useless_zeros() {
        assert_eq!(bound(20_000), "20 µs");
        assert_eq!(bound(1_600_000), "1.6 ms");
        assert_eq!(bound(100), "100 ns");
        assert_eq!(bound(100_000), "100 µs");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_032_140), "1,032,140");
    }

    #[test]
    fn one_thing_is_not_written_in_the_plural() {
        for (count, noun, text) in [
            (1, "run", "1 run"),
            (0, "run", "0 runs"),
            (2_000, "lost request", "2,000 lost requests"),
            (2, "reply", "2 replies"),
            (2, "process", "2 processes"),
            (1, "switch", "1 switch"),
            (2, "switch", "2 switches"),
            (3, "day", "3 days"),
        ] {
            assert_eq!(counted(count, noun), text);
        }
    }

    #[test]
    fn a_rough_time_has_no_useless_digits() {
        for (ms, text) in
            [(90_400, "1m 30s"), (499, "499ms"), (0, "0s"), (7_501_000, "2h 6m"), (600_000, "10m")]
        {
            assert_eq!(about(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn small_rates_keep_their_digits() {
        assert_eq!(rate(0.5), "0.50");
        assert_eq!(rate(103_214.4), "103,214");
        assert_eq!(throughput(6_605_000.0), "6.30 MiB/s");
        assert_eq!(throughput(64_000.0), "62.5 KiB/s");
        assert_eq!(throughput(0.0), "0.00 KiB/s");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size(64), "64 B");
        assert_eq!(size(16_384), "16 KiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
    }
}
