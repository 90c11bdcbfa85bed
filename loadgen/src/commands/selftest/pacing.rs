//! The loader's own lateness with each pacing.

use super::Check;
use crate::commands::echo_server::{self, Behaviour};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::Pacing;
use crate::record::LatencyRecord;
use crate::units;

/// Half of the sends must be closer to their time than this, or the waiting itself is broken.
const BROKEN_NS: u64 = 1_000_000;

/// Up to this p99, latencies of a fast server can be measured.
const GOOD_NS: u64 = 50_000;

/// Up to this one, those of a slow one.
const FAIR_NS: u64 = 500_000;

/// Sends at a constant rate with each pacing.
pub(super) fn check(interrupt: &Interrupt) -> Result<Vec<Check>, Error> {
    let kinds = [
        ("pacing sleep", Pacing::Sleep),
        ("pacing hybrid", Pacing::Hybrid),
        ("pacing spin", Pacing::Spin),
    ];
    let mut checks = Vec::new();
    for (name, pacing) in kinds {
        let flags = format!(
            "--rate 5k --arrival constant --duration 500ms --warmup 100ms -c 8 --pacing {pacing}"
        );
        let measurement = echo_server::measure(Behaviour::Faithful, &flags, interrupt)?;
        checks.push(judge(name, &measurement.record.latency_ns.loader_late));
    }
    Ok(checks)
}

fn judge(name: &'static str, late: &LatencyRecord) -> Check {
    let known = |value_ns: Option<u64>| value_ns.map_or("n/a".to_owned(), units::duration);
    let quality = match late.p99 {
        Some(..=GOOD_NS) => "good",
        Some(..=FAIR_NS) => "fair: believe nothing much below a millisecond",
        _ => "poor: the machine is busy, or waits for a hypervisor",
    };
    Check {
        name,
        passed: late.p50.is_some_and(|p50_ns| p50_ns <= BROKEN_NS),
        figures: format!(
            "late by p50 {}, p99 {}, p99.9 {}: {quality}",
            known(late.p50),
            known(late.p99),
            known(late.p999)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::latency::tests::{latencies_of, latency_of};
    use crate::latency::{Distribution, Latency};
    use crate::record::LatenciesRecord;

    fn judged(late: Latency) -> Check {
        let latencies = latencies_of([(Distribution::LoaderLate, late)]);
        judge("pacing sleep", &LatenciesRecord::from(&latencies).loader_late)
    }

    fn judged_at(late_ns: u64) -> Check {
        judged(latency_of(iter::repeat_n(late_ns, 1_000)))
    }

    #[test]
    fn the_machine_is_judged_and_only_broken_waiting_fails() {
        assert!(judged_at(9_000).passed && judged_at(9_000).figures.ends_with("good"));
        assert!(judged_at(90_000).figures.contains("fair"));
        assert!(judged_at(900_000).passed && judged_at(900_000).figures.contains("poor"));
        assert!(!judged_at(2_000_000).passed);
        assert!(!judged(Latency::new()).passed);
    }
}
