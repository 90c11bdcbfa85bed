//! How the clock of an agent differs from the coordinator's.
//!
//! Both clocks are monotonic and begin anywhere. A round trip shows their offset to half of its
//! time: the agent has read its clock between the send of the ping and the receipt of the pong. The
//! shortest round trip has the smallest bound. Wall clocks are not used.

/// One ping and its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundTrip {
    /// By the clock of the coordinator.
    pub(super) sent_ns: u64,
    pub(super) received_ns: u64,
    /// By the clock of the agent.
    pub(super) agent_ns: u64,
}

impl RoundTrip {
    /// How long it took.
    pub(super) fn length_ns(&self) -> u64 {
        self.received_ns.saturating_sub(self.sent_ns)
    }
}

/// The time of an agent's clock minus that of the coordinator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockOffset {
    pub(super) offset_ns: i64,
    /// The offset is wrong by so much at most.
    pub(super) error_ns: u64,
}

impl ClockOffset {
    /// The offset by the shortest of these round trips; nothing without one.
    pub(super) fn of(round_trips: &[RoundTrip]) -> Option<Self> {
        let shortest = round_trips.iter().min_by_key(|trip| trip.length_ns())?;
        let half_ns = shortest.length_ns().div_ceil(2);
        let middle_ns = shortest.sent_ns + half_ns;
        let offset_ns = i128::from(shortest.agent_ns) - i128::from(middle_ns);
        Some(Self { offset_ns: i64::try_from(offset_ns).ok()?, error_ns: half_ns })
    }

    /// A time of the coordinator by the clock of the agent.
    pub(super) fn to_agent(self, ns: u64) -> u64 {
        ns.saturating_add_signed(self.offset_ns)
    }

    /// A time of the agent by the clock of the coordinator.
    pub(super) fn to_coordinator(self, ns: u64) -> u64 {
        ns.saturating_add_signed(self.offset_ns.saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_true_offset_is_within_the_bound_however_the_network_delays(
            offset_ns in -1_000_000_000_000_i64..1_000_000_000_000,
            trips in prop::collection::vec((0..10_000_000_u64, 0..10_000_000_u64), 1..20),
        ) {
            let origin_ns = 2_000_000_000_000_u64;
            let round_trips: Vec<RoundTrip> = (0..)
                .zip(&trips)
                .map(|(number, &(there_ns, back_ns))| {
                    let sent_ns = origin_ns + number * 100_000_000;
                    let agent_ns = (sent_ns + there_ns).saturating_add_signed(offset_ns);
                    RoundTrip { sent_ns, agent_ns, received_ns: sent_ns + there_ns + back_ns }
                })
                .collect();
            let found = ClockOffset::of(&round_trips).unwrap();
            prop_assert!(found.offset_ns.abs_diff(offset_ns) <= found.error_ns, "{found:?}");
            let shortest = trips.iter().map(|(there_ns, back_ns)| there_ns + back_ns).min();
            prop_assert_eq!(found.error_ns, shortest.unwrap().div_ceil(2));
            prop_assert_eq!(found.to_coordinator(found.to_agent(origin_ns)), origin_ns);
        }
    }

    #[test]
    fn without_a_round_trip_nothing_is_known() {
        assert_eq!(ClockOffset::of(&[]), None);
    }
}
