//! Whether several agents were one loader.

use super::super::Evidence;
use super::percent;
use crate::record::{AgentRecord, Code, Reason};
use crate::stats;
use crate::units::{brief, counted};

/// An agent was lost: from then on, the load was not the requested one. Its requests count as
/// unanswered, as if they had waited until the end.
pub(super) fn lost(evidence: &Evidence<'_>) -> Option<Reason> {
    let agents = &evidence.run.agents;
    let mut lost = agents.iter().filter_map(|agent| Some((agent, agent.lost.as_ref()?)));
    let (first, why) = lost.next()?;
    let more = match lost.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let text = format!(
        "agent {} ({}) of {} was lost{more}: {why}; its requests that are not accounted for count \
         as unanswered",
        first.rank,
        first.name,
        agents.len()
    );
    Some(Reason::invalid(Code::AgentLost, text))
}

/// Largest part of an interval by which the agents may be apart. Then an interval counts so much of
/// the requests of its neighbours.
const SKEW_OF_INTERVAL: f64 = 0.01;

/// The agents began, or their clocks ran, so far apart that the intervals do not fit together.
///
/// Latencies do not depend on it: an agent takes both times of a request from its own clock. A skew
/// that is longer than the gaps of even arrivals is a note: the server saw other gaps. Random gaps
/// are random at any skew.
pub(super) fn start_skew(evidence: &Evidence<'_>) -> Option<Reason> {
    let skewed = |agent: &&AgentRecord| agent.clock_error_ns.is_some();
    let agents = evidence.run.agents.iter().filter(skewed);
    let worst = agents.max_by_key(|agent| agent.skew_ns())?;
    let skew_ns = worst.skew_ns();
    let shortest_s = evidence.window().iter().map(|interval| interval.length_s).reduce(f64::min);
    let interval_ns = shortest_s.unwrap_or(evidence.args.duration_s) * 1e9;
    let of = format!(
        "agent {} ({}) may have begun {} from the others (its clock is known to ± {})",
        worst.rank,
        worst.name,
        brief(skew_ns),
        brief(worst.clock_error_ns.unwrap_or(0))
    );
    if skew_ns as f64 > SKEW_OF_INTERVAL * interval_ns {
        let text = format!(
            "{of}, which is {} of an interval; use a network with shorter round trips, or a \
             longer --interval",
            percent(skew_ns as f64 / interval_ns)
        );
        return Some(Reason::suspect(Code::StartSkew, text));
    }
    let is_even = evidence.args.arrival.as_deref() != Some("poisson");
    let gap_ns = 1e9 / evidence.run.rate.offered_per_s.filter(|rate| *rate > 0.0)?;
    (is_even && skew_ns as f64 > gap_ns).then(|| {
        let text = format!("{of}, and requests are due every {}", brief(gap_ns as u64));
        Reason::label(Code::StartSkew, text)
    })
}

/// Fewest measured requests of an agent that is compared.
const MEASURED_MIN: u64 = 100;

/// An agent differs if its median service time exceeds that of the others by this factor, and by
/// this time: less is what a switch or a core more on the way costs.
const DIFFERENCE: f64 = 1.5;
const DIFFERENCE_NS_MIN: f64 = 100_000.0;

/// The server answered the connections of one agent later than those of the others. As connections
/// are given out in turn, that is the agent's own path or machine.
pub(super) fn differ(evidence: &Evidence<'_>) -> Option<Reason> {
    let known: Vec<(&AgentRecord, f64)> = evidence
        .run
        .agents
        .iter()
        .filter(|agent| agent.measured >= MEASURED_MIN)
        .filter_map(|agent| Some((agent, agent.service_p50_ns? as f64)))
        .collect();
    let (slowest, slowest_ns) =
        known.iter().copied().max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let others: Vec<f64> = known
        .iter()
        .filter(|(agent, _)| agent.rank != slowest.rank)
        .map(|(_, median_ns)| *median_ns)
        .collect();
    let others_ns = stats::median(&others)?;
    if slowest_ns <= (DIFFERENCE * others_ns).max(others_ns + DIFFERENCE_NS_MIN) {
        return None;
    }
    let text = format!(
        "agent {} ({}) measured a median service time of {}, and the other {} one of {}; its own \
         machine or its path to the server is slower",
        slowest.rank,
        slowest.name,
        brief(slowest_ns as u64),
        counted(others.len() as u64, "agent"),
        brief(others_ns as u64)
    );
    Some(Reason::suspect(Code::AgentsDiffer, text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, findings, one};
    use super::*;
    use crate::record::Verdict::{Invalid, Suspect, Valid};
    use crate::record::tests::{extremes, sample};
    use crate::record::{Record, RunRecord};

    /// Three agents like each other, which began at one time.
    fn agents() -> Vec<AgentRecord> {
        let full = extremes::full().runs.remove(0).agents.remove(0);
        let agent = |rank| AgentRecord {
            rank,
            lost: None,
            clock_error_ns: Some(40_000),
            clock_drift_ns: Some(-1_000),
            start_late_ns: Some(9_000),
            ..full.clone()
        };
        (0..3).map(agent).collect()
    }

    fn with(change: impl Fn(&mut AgentRecord)) -> impl Fn(&mut Record, &mut RunRecord) {
        move |_, run| {
            run.agents = agents();
            change(&mut run.agents[1]);
        }
    }

    #[test]
    fn agents_that_are_alike_and_began_together_are_one_loader() {
        assert_eq!(codes(sample::open(), with(|_| {})), []);
        assert_eq!(codes(sample::closed(), with(|_| {})), []);
    }

    #[test]
    fn a_lost_agent_makes_the_run_invalid_and_is_named_with_the_reason() {
        let change = with(|agent| agent.lost = Some("its stream has ended".to_owned()));
        let found = findings(sample::open(), &change);
        assert_eq!((&found[0].code, found[0].level), (&Code::AgentLost, Invalid));
        let said = "agent 1 (a.example) of 3 was lost: its stream has ended; its requests";
        assert!(found[0].text.starts_with(said), "{}", found[0].text);
    }

    #[test]
    fn a_skew_counts_from_a_hundredth_of_an_interval() {
        // Intervals of a second: 10 ms, with a drift of 1 µs and 9 µs late.
        let at = |error_ns| codes(sample::open(), with(move |a| a.clock_error_ns = Some(error_ns)));
        assert_eq!(at(9_990_000), []);
        assert_eq!(at(9_990_001), one(Code::StartSkew, Suspect));
    }

    #[test]
    fn a_skew_that_is_longer_than_even_gaps_is_a_note() {
        // 2,000 requests a second.
        let at = |arrival: &'static str, drift_ns| {
            codes(sample::open(), move |record, run| {
                with(|agent| agent.clock_drift_ns = Some(drift_ns))(record, run);
                record.args.arrival = Some(arrival.to_owned());
            })
        };
        assert_eq!(at("poisson", -600_000), []);
        assert_eq!(at("constant", -400_000), []);
        assert_eq!(at("constant", -600_000), one(Code::StartSkew, Valid));
    }

    #[test]
    fn an_agent_whose_service_times_are_half_as_long_again_differs() {
        let at = |median_ns, measured| {
            let change = with(move |agent| {
                (agent.service_p50_ns, agent.measured) = (Some(median_ns), measured);
            });
            codes(sample::closed(), change)
        };
        // The others have 50 µs.
        assert_eq!(at(150_000, 900), []);
        assert_eq!(at(150_001, 900), one(Code::AgentsDiffer, Suspect));
        assert_eq!(at(900_000, 99), [], "too few requests");
        assert_eq!(at(10, 900), [], "a faster one is no fault");
    }

    #[test]
    fn the_latest_agent_is_the_lateness_of_the_loader() {
        let late = |ns| codes(sample::open(), with(move |a| a.loader_late_p99_ns = Some(ns)));
        assert_eq!(late(40_000), []);
        assert_eq!(late(90_000_000), one(Code::LoaderLate, Invalid));
    }
}
