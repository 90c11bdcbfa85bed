//! How much of a search is left, estimated from the probes so far.

use std::time::Duration;

use super::record::{ProbeRecord, ProbeStage, SearchRecord};
use super::strategy::{ProbeFinding, Stage};
use crate::units::{about, counted};

/// Halvings of the range between two rates, at most: the tolerance is at least 0.1 %.
const HALVINGS_MAX: u32 = 40;

/// What is left, as the end of a sentence: the probes and their time, or the time until
/// `--max-time` where the number of probes is not known yet.
pub(super) fn text(record: &SearchRecord, elapsed: Duration, max_time: Duration) -> String {
    let at_most = max_time.saturating_sub(elapsed);
    let Some(left) = probes(record) else {
        return format!("at most {} left (--max-time)", about(at_most));
    };
    let each = elapsed / u32::try_from(record.probes.len().max(1)).unwrap_or(u32::MAX);
    let time = each.saturating_mul(left).min(at_most);
    format!("about {} left, {}", counted(left.into(), "probe"), about(time))
}

/// The number of probes, if a rate that is good and a higher one that is not are known.
fn probes(record: &SearchRecord) -> Option<u32> {
    let good_per_s = record.probes.iter().rev().find_map(|probe| {
        probe.rate_per_s.filter(|_| probe.decision == Some(ProbeFinding::Good))
    })?;
    let is_confirmation = |probe: &&ProbeRecord| probe.stage == ProbeStage::Search(Stage::Confirm);
    let confirmations = record.probes.iter().rev().take_while(is_confirmation);
    let confirmed =
        confirmations.take_while(|probe| probe.decision == Some(ProbeFinding::Good)).count();
    let left = record.confirmations.saturating_sub(u32::try_from(confirmed).ok()?);
    if confirmed > 0 {
        return Some(left);
    }
    let not_good = record.probes.iter().filter(|probe| probe.decision != Some(ProbeFinding::Good));
    let higher = not_good.filter_map(|probe| probe.rate_per_s).filter(|rate| *rate > good_per_s);
    let bad_per_s = higher.min_by(f64::total_cmp)?;
    let ratio = (bad_per_s - good_per_s) / (record.tolerance * good_per_s);
    let halvings = (0..HALVINGS_MAX).take_while(|&done| ratio > 2_f64.powi(done as i32)).count();
    Some(left + halvings as u32)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::probe;
    use super::super::search_plan::tests::plan;
    use super::*;
    use crate::record::tests::sample;

    /// What is left after probes of these stages and rates, each of which took ten seconds.
    fn left(probes: &[(Stage, f64, ProbeFinding)]) -> String {
        let mut record = SearchRecord::new(&plan("--slo p99<1ms --tolerance 10%").unwrap());
        let measured = sample::open().record;
        record.probes.push(ProbeRecord::peak(&measured));
        for &(stage, rate_per_s, finding) in probes {
            record.probes.push(probe(stage, rate_per_s, finding, &measured));
        }
        let elapsed = Duration::from_secs(10 * record.probes.len() as u64);
        text(&record, elapsed, Duration::from_secs(600))
    }

    #[test]
    fn a_search_says_how_many_probes_are_left_once_it_knows_both_bounds() {
        use ProbeFinding::{Bad, Good};
        let mut probes = vec![(Stage::Rise, 1_000.0, Good)];
        assert_eq!(left(&probes), "at most 9m 40s left (--max-time)");
        probes.push((Stage::Rise, 1_500.0, Bad));
        // 1,000 to 1,500 in steps down to 100: three halvings, and three confirmations.
        assert_eq!(left(&probes), "about 6 probes left, 1m");
        probes.push((Stage::Bisect, 1_250.0, Good));
        assert_eq!(left(&probes), "about 4 probes left, 40s");
        probes.push((Stage::Confirm, 1_250.0, Good));
        assert_eq!(left(&probes), "about 2 probes left, 20s");
    }
}
