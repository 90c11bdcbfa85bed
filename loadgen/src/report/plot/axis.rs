//! The axes of a chart: positions of values, and the values that are marked.

use super::{Axis, Scale, Unit};
use crate::units;

/// Most marks on a linear axis.
const LINEAR_TICKS: f64 = 6.0;

/// Up to this many decades, a logarithmic axis has marks between the powers of ten.
const DECADES_FINE: i32 = 3;

/// An axis that has seen its data.
#[derive(Debug)]
pub(super) struct Ruler<'a> {
    axis: &'a Axis,
    /// What lies at the beginning and at the end, on the scale where distances are even.
    ends: (f64, f64),
    /// For categories: the values there are.
    values: Vec<f64>,
}

/// A marked value.
#[derive(Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 to 1 along the axis.
    pub(super) place: f64,
    pub(super) label: String,
}

impl<'a> Ruler<'a> {
    /// A ruler long enough for these values.
    pub(super) fn new(axis: &'a Axis, values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> =
            values.filter(|value| even(axis.scale, *value).is_some()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let evened = |value: Option<&f64>| value.and_then(|value| even(axis.scale, *value));
        let ends = match (axis.scale, evened(values.first()).zip(evened(values.last()))) {
            (Scale::Category, _) => (-0.5, values.len().max(1) as f64 - 0.5),
            (Scale::Percentile, ends) => (0.0, ends.map_or(1.0, |(_, last)| last.max(1.0))),
            (Scale::Linear, ends) => {
                let (first, last) = ends.unwrap_or((0.0, 1.0));
                let first = first.min(0.0);
                let last = if last > first { last.max(0.0) } else { first + 1.0 };
                let step = step(last - first);
                ((first / step).floor() * step, (last / step).ceil() * step)
            }
            (Scale::Range, ends) => {
                let (first, last) = ends.unwrap_or((0.0, 1.0));
                let last = if last > first { last } else { first + first.abs().max(1.0) / 10.0 };
                let step = step(last - first);
                ((first / step).floor() * step, (last / step).ceil() * step)
            }
            (Scale::Log, ends) => {
                let (first, last) = ends.unwrap_or((0.0, 1.0));
                // A line along the very edge would be taken for the edge.
                (round_down(first - 0.02), round_up(last + 0.02))
            }
        };
        Self { axis, ends, values }
    }

    /// The position of a value, from 0 to 1; nothing if the scale does not contain it.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let even = match self.axis.scale {
            Scale::Category => self.values.iter().position(|known| *known == value)? as f64,
            scale => even(scale, value)?,
        };
        Some((even - self.ends.0) / (self.ends.1 - self.ends.0))
    }

    /// The marks in rising order.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let marked = match self.axis.scale {
            Scale::Linear | Scale::Range => linear_ticks(self.ends),
            Scale::Log => log_ticks(self.ends),
            Scale::Percentile => percentile_ticks(self.ends.1),
            Scale::Category => self.values.clone(),
        };
        let tick = |value| Some(Tick { place: self.place(value)?, label: self.label(value) });
        marked.into_iter().filter_map(tick).collect()
    }

    fn label(&self, value: f64) -> String {
        let named = self.axis.names.get(value as usize);
        match (self.axis.scale, named) {
            (Scale::Category, Some(name)) => name.clone(),
            (Scale::Percentile, _) => percentage(value),
            _ => self.axis.unit.text(value),
        }
    }
}

impl Unit {
    /// The value as it is written at an axis.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Nanoseconds if value >= 1.0 => {
                units::bound(value.round() as u64).trim_end().to_owned()
            }
            Self::Nanoseconds => format!("{value} ns"),
            Self::Seconds => format!("{} s", plain(value)),
            Self::Share => percentage(value),
            Self::Count => grouped(&plain(value)),
            Self::PerSecond if value.abs() >= 1e6 => format!("{}M", plain(value / 1e6)),
            Self::PerSecond if value.abs() >= 1e3 => format!("{}k", plain(value / 1e3)),
            Self::PerSecond => plain(value),
        }
    }
}

/// A number without useless digits, nor those that binary fractions bring in.
fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.replace('-', "\u{2212}") }
}

/// A number with commas between the thousands.
fn grouped(number: &str) -> String {
    let digits = number.find(|character: char| character.is_ascii_digit()).unwrap_or(0);
    let point = number.find('.').unwrap_or(number.len());
    let whole = number[digits..point].parse().map_or(number[digits..point].into(), units::grouped);
    [&number[..digits], &whole, &number[point..]].concat()
}

fn percentage(share: f64) -> String {
    format!("{} %", plain(share * 100.0))
}

/// The value on the scale where distances are even; nothing if it is not on it.
fn even(scale: Scale, value: f64) -> Option<f64> {
    let even = match scale {
        Scale::Linear | Scale::Range | Scale::Category => value,
        Scale::Log => value.log10(),
        Scale::Percentile if (0.0..1.0).contains(&value) => -(1.0 - value).log10(),
        Scale::Percentile => return None,
    };
    // The logarithm of what is not positive is not finite.
    even.is_finite().then_some(even)
}

/// A distance between marks of 1, 2 or 5 times a power of ten.
fn step(span: f64) -> f64 {
    let span = if span > 0.0 { span } else { 1.0 };
    let magnitude = 10_f64.powf((span / LINEAR_TICKS).log10().floor());
    let wanted = span / LINEAR_TICKS / magnitude * 0.999;
    [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| *step >= wanted).unwrap_or(10.0) * magnitude
}

fn linear_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let step = step(high - low);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    (0..=(last - first) as usize).map(|number| (first + number as f64) * step).collect()
}

/// 1, 2 and 5 times the powers of ten as logarithms, from below to above the whole axis.
fn one_two_five((low, high): (f64, f64)) -> impl Iterator<Item = (i32, f64)> {
    let decades = low.floor() as i32 - 1..=high.ceil() as i32;
    decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| (decade, digit)))
}

fn logarithm((decade, digit): (i32, f64)) -> f64 {
    f64::from(decade) + f64::log10(digit)
}

fn round_down(value: f64) -> f64 {
    let below = one_two_five((value, value)).map(logarithm).filter(|mark| *mark <= value + 1e-9);
    below.fold(f64::NEG_INFINITY, f64::max)
}

fn round_up(value: f64) -> f64 {
    let above = one_two_five((value, value)).map(logarithm).filter(|mark| *mark >= value - 1e-9);
    above.fold(f64::INFINITY, f64::min)
}

fn log_ticks(ends: (f64, f64)) -> Vec<f64> {
    let fine = ends.1 - ends.0 <= f64::from(DECADES_FINE);
    one_two_five(ends)
        .filter(|(_, digit)| fine || *digit == 1.0)
        .filter(|mark| (ends.0 - 1e-9..=ends.1 + 1e-9).contains(&logarithm(*mark)))
        .map(|(decade, digit)| digit * 10_f64.powi(decade))
        .collect()
}

/// 0 %, 50 %, 90 %, 99 %, ...
fn percentile_ticks(decades: f64) -> Vec<f64> {
    let nines = (1..=decades.floor() as i32).map(|decade| 1.0 - 10_f64.powi(-decade));
    [0.0, 0.5].into_iter().chain(nines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: Unit, scale: Scale, values: &[f64]) -> Vec<String> {
        let axis = Axis::new("", unit, scale);
        let ruler = Ruler::new(&axis, values.iter().copied());
        ruler.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn marks_are_at_places_that_people_choose() {
        use Scale::{Category, Linear, Log, Percentile, Range};
        for (unit, scale, values, expected) in [
            (Unit::Seconds, Linear, &[-1.0, 9.5][..], "−2 s|0 s|2 s|4 s|6 s|8 s|10 s"),
            (Unit::PerSecond, Linear, &[52_000.0][..], "0|10k|20k|30k|40k|50k|60k"),
            (Unit::Count, Linear, &[0.3][..], "0|0.05|0.1|0.15|0.2|0.25|0.3"),
            (Unit::Count, Linear, &[][..], "0|0.2|0.4|0.6|0.8|1"),
            (Unit::Count, Linear, &[0.0][..], "0|0.2|0.4|0.6|0.8|1"),
            (Unit::Count, Linear, &[-1e3, 2e3][..], "−1,000|−500|0|500|1,000|1,500|2,000"),
            (Unit::Count, Range, &[0.98, 1.07][..], "0.98|1|1.02|1.04|1.06|1.08"),
            (Unit::Count, Range, &[84e3][..], "84,000|86,000|88,000|90,000|92,000|94,000"),
            (Unit::Nanoseconds, Log, &[23_000.0, 180_000.0][..], "20 µs|50 µs|100 µs|200 µs"),
            (Unit::Nanoseconds, Log, &[900.0, 2e7][..], "1 µs|10 µs|100 µs|1 ms|10 ms"),
            (Unit::Nanoseconds, Log, &[1e6][..], "500 µs|1 ms|2 ms"),
            (Unit::Nanoseconds, Log, &[0.0, -3.0][..], "0.5 ns|1 ns|2 ns|5 ns|10 ns|20 ns"),
            (Unit::Share, Percentile, &[0.3, 0.9996][..], "0 %|50 %|90 %|99 %|99.9 %"),
            (Unit::Count, Category, &[4.0, 1.0, 2.0, 4.0][..], "1|2|4"),
        ] {
            assert_eq!(labels(unit, scale, values).join("|"), expected, "{values:?}");
        }
    }

    #[test]
    fn categories_have_names() {
        let names = ["echo".to_owned(), "http".to_owned()].to_vec();
        let axis = Axis { names, ..Axis::new("", Unit::Count, Scale::Category) };
        let ruler = Ruler::new(&axis, [1.0, 0.0].into_iter());
        let ticks = ruler.ticks();
        assert_eq!(ticks[0], Tick { place: 0.25, label: "echo".to_owned() });
        assert_eq!(ticks[1], Tick { place: 0.75, label: "http".to_owned() });
    }

    #[test]
    fn halvings_and_decades_of_the_rest_are_even_steps_on_the_scale_of_percentiles() {
        let axis = Axis::new("", Unit::Share, Scale::Percentile);
        let ruler = Ruler::new(&axis, [0.9999].into_iter());
        for (quantile, place) in [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.999, 0.75)] {
            assert!((ruler.place(quantile).unwrap() - place).abs() < 1e-9, "{quantile}");
        }
        assert_eq!(ruler.place(1.0), None);
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for scale in [Scale::Linear, Scale::Range, Scale::Log, Scale::Percentile, Scale::Category] {
            let axis = Axis::new("", Unit::Count, scale);
            let values = [0.003, 0.5, 0.1, 0.999_99];
            let ruler = Ruler::new(&axis, values.into_iter());
            for value in values {
                let place = ruler.place(value).unwrap();
                assert!((0.0..=1.0).contains(&place), "{scale:?}: {value} at {place}");
            }
        }
    }
}
