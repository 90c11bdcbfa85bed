//! Sizes as they are written on the command line.

use std::fmt;
use std::str::FromStr;

use bytesize::{ByteSize, KIB, MIB};

use super::{LogNormal, SIGMA_MAX, SIZE_MAX_BYTES, Sizes, Weights};

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(parameters) = text.strip_prefix("lognormal:") {
            return log_normal(parameters).map(Self::LogNormal);
        }
        if let Some((least, most)) = text.split_once("..") {
            return range(least, most);
        }
        if text.contains(':') {
            let weights: Result<Vec<_>, String> = text.split(',').map(weight).collect();
            return Ok(Self::Weighted(Weights::new(weights?)));
        }
        size(text).map(Self::Fixed)
    }
}

fn size(text: &str) -> Result<u64, String> {
    match text.trim().parse::<ByteSize>() {
        Ok(size) if size.as_u64() == 0 => Err("a size must be at least 1 byte".to_owned()),
        Ok(size) if size.as_u64() > SIZE_MAX_BYTES => {
            Err("a size must be at most 64MiB".to_owned())
        }
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(format!(
            "'{text}' is no size; write 64, 16KiB, 64..4KiB, 64:9,1KiB:1 or lognormal:1KiB,0.5"
        )),
    }
}

fn range(least: &str, most: &str) -> Result<Sizes, String> {
    let (least, most) = (size(least)?, size(most)?);
    if least > most {
        return Err(format!("{least}..{most}: the first size must not exceed the last"));
    }
    Ok(Sizes::Range { least, most })
}

fn weight(text: &str) -> Result<(u64, u32), String> {
    let Some((bytes, weight)) = text.split_once(':') else {
        return Err(format!("'{text}' has no weight; write every size as SIZE:WEIGHT"));
    };
    match weight.trim().parse::<u32>() {
        Ok(weight @ 1..) => Ok((size(bytes)?, weight)),
        _ => Err(format!("'{weight}' is no weight; write a whole number from 1 on")),
    }
}

fn log_normal(text: &str) -> Result<LogNormal, String> {
    let Some((median, sigma)) = text.split_once(',') else {
        return Err(format!("'lognormal:{text}' has no sigma; write lognormal:MEDIAN,SIGMA"));
    };
    match sigma.trim().parse::<f64>() {
        Ok(sigma) if (0.0..=SIGMA_MAX).contains(&sigma) => {
            Ok(LogNormal { median_bytes: size(median)?, sigma })
        }
        _ => Err(format!("'{sigma}' is no sigma; write a number from 0 to {SIGMA_MAX}")),
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => Exact(*size).fmt(formatter),
            Self::Range { least, most } => write!(formatter, "{}..{}", Exact(*least), Exact(*most)),
            Self::Weighted(weights) => {
                for (index, (size, weight)) in weights.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(formatter, "{comma}{}:{weight}", Exact(size))?;
                }
                Ok(())
            }
            Self::LogNormal(LogNormal { median_bytes, sigma }) => {
                write!(formatter, "lognormal:{},{sigma}", Exact(*median_bytes))
            }
        }
    }
}

/// A number of bytes in the largest unit that leaves it whole.
struct Exact(u64);

impl fmt::Display for Exact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(MIB) => {
                write!(formatter, "{}MiB", bytes / MIB)
            }
            bytes if bytes > 0 && bytes.is_multiple_of(KIB) => {
                write!(formatter, "{}KiB", bytes / KIB)
            }
            bytes => bytes.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_printed_as_they_are_best_written() {
        for text in ["64", "16KiB", "64MiB", "1025", "1..1", "64..4KiB", "64:9,1KiB:1", "5:1"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        for text in ["lognormal:1KiB,0.5", "lognormal:100,2", "lognormal:1,0"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        for (text, printed) in [("4kb", "4000"), ("1 KiB .. 2048", "1KiB..2KiB")] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (text, said) in [
            ("", "'' is no size"),
            ("-1", "is no size; write 64"),
            ("0", "at least 1 byte"),
            ("0..5", "at least 1 byte"),
            ("0:1", "at least 1 byte"),
            ("lognormal:0,1", "at least 1 byte"),
            ("65MiB", "at most 64MiB"),
            ("1..65MiB", "at most 64MiB"),
            ("5..4", "must not exceed"),
            ("5..", "is no size"),
            ("64:9,128", "'128' has no weight"),
            ("64:0", "'0' is no weight"),
            ("64:1.5", "'1.5' is no weight"),
            ("lognormal:64", "has no sigma"),
            ("lognormal:64,-1", "'-1' is no sigma"),
            ("lognormal:64,nan", "'nan' is no sigma"),
            ("lognormal:64,11", "from 0 to 10"),
        ] {
            let refusal = text.parse::<Sizes>().unwrap_err();
            assert!(refusal.contains(said), "{text}: {refusal}");
        }
    }

    fn any_sizes() -> impl Strategy<Value = Sizes> {
        let size = || 1..=SIZE_MAX_BYTES;
        prop_oneof![
            size().prop_map(Sizes::Fixed),
            (size(), size()).prop_map(|(one, other)| Sizes::Range {
                least: one.min(other),
                most: one.max(other)
            }),
            prop::collection::vec((size(), 1_u32..), 1..5)
                .prop_map(|weights| Sizes::Weighted(Weights::new(weights))),
            (size(), 0.0..=SIGMA_MAX).prop_map(|(median_bytes, sigma)| Sizes::LogNormal(
                LogNormal { median_bytes, sigma }
            )),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same(sizes in any_sizes()) {
            prop_assert_eq!(sizes.to_string().parse::<Sizes>(), Ok(sizes));
        }

        #[test]
        fn every_size_is_possible(sizes in any_sizes(), key: u64, k: u64) {
            prop_assert!((1..=SIZE_MAX_BYTES).contains(&sizes.size_of(key, k)));
        }
    }
}
