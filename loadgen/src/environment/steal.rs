//! Processor time that the hypervisor gave to other machines while this one wanted it.

use super::file;

/// The processors' time since the machine started, in ticks, all processors together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steal {
    stolen: u64,
    /// User, nice, system, idle, I/O wait, interrupts and what was stolen; guests are in user.
    all: u64,
}

impl Steal {
    /// The current value; nothing where the kernel does not report it.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&file::text("/proc/stat")?)
    }

    /// Which share of all processors' time was stolen since `earlier`.
    pub(crate) fn share_since(&self, earlier: &Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|&all| all > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64)
    }

    /// Which share of all processors' time was stolen since the machine started.
    pub(crate) fn share(&self) -> Option<f64> {
        self.share_since(&Self { stolen: 0, all: 0 })
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> =
            line.split_whitespace().map_while(|word| word.parse().ok()).take(8).collect();
        Some(Self { stolen: *ticks.get(7)?, all: ticks.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 0 0 10 40 7 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n";

    #[test]
    fn the_share_is_of_all_time_that_passed() {
        let early = Steal::parse(STAT).unwrap();
        assert_eq!(early, Steal { stolen: 40, all: 1_000 });
        let late = Steal { stolen: 60, all: 1_100 };
        assert_eq!(late.share_since(&early), Some(0.2));
        assert_eq!(early.share(), Some(0.04));
    }

    #[test]
    fn no_time_has_no_share() {
        let now = Steal::parse(STAT).unwrap();
        assert_eq!(now.share_since(&now), None);
        assert_eq!(Steal::parse("cpu  1 2 3\n"), None);
        assert_eq!(Steal::parse("intr 5\n"), None);
    }
}
