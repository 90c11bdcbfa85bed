//! The times of recorded requests, as a schedule.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::profile::Rate;

/// The replies of the last requests come after their times, and belong to the measurement, too.
const FOR_THE_LAST_REPLY: Duration = Duration::from_secs(1);

/// When each request of all connections together is due, in nanoseconds from the start of the run.
/// At least one, in order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Times(Arc<[u64]>);

impl Times {
    /// These times, so many times as fast.
    pub(crate) fn new(times_ns: impl Iterator<Item = u64>, speed: f64) -> Self {
        Self(times_ns.map(|at_ns| (at_ns as f64 / speed).round() as u64).collect())
    }

    /// When request `number` is due; nothing behind the last.
    pub(super) fn get(&self, number: usize) -> Option<u64> {
        self.0.get(number).copied()
    }

    /// How many requests are due within the first `at_ns` nanoseconds.
    pub(super) fn due_by(&self, at_ns: u64) -> usize {
        self.0.partition_point(|time_ns| *time_ns < at_ns)
    }

    /// The time to the last request.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.0.last().copied().unwrap_or_default())
    }

    /// The time to the last request, and one more for its reply.
    pub(crate) fn length(&self) -> Duration {
        self.last() + FOR_THE_LAST_REPLY
    }

    /// Requests per second, on average.
    pub(crate) fn mean(&self) -> Rate {
        Rate::per_s(self.0.len() as f64 / self.length().as_secs_f64())
    }
}

/// There may be a million of them.
impl fmt::Debug for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Times({} requests of {:?})", self.0.len(), self.length())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Arrival, Arrivals, Intensity, RateProfile};
    use super::*;

    fn intensity(times: &Times) -> Intensity {
        Intensity::new(&RateProfile::Timed(times.clone()), Duration::ZERO, Duration::from_secs(1))
    }

    #[test]
    fn a_speed_divides_the_times() {
        let times = Times::new([0, 1_000_000_000, 4_000_000_000].into_iter(), 2.0);
        assert_eq!(times.length(), Duration::from_secs(3));
        assert_eq!(times.mean(), Rate::per_s(1.0));
        assert_eq!((times.get(1), times.get(3)), (Some(500_000_000), None));
    }

    proptest! {
        #[test]
        fn the_connections_together_send_each_request_at_its_time(
            gaps in prop::collection::vec(0_u64..1000, 1..200),
            connections in 1_u32..9,
        ) {
            let mut at = 0;
            let all: Vec<u64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let intensity = intensity(&Times::new(all.iter().copied(), 1.0));
            let mut sent = Vec::new();
            for connection in 0..connections {
                let mut arrivals = Arrivals::new(Arrival::Timed, 7, connection, connections);
                let of_connection = std::iter::from_fn(|| {
                    Some(arrivals.advance(&intensity)).filter(|at_ns| *at_ns != u64::MAX)
                });
                for (k, at_ns) in of_connection.enumerate() {
                    sent.push((k * connections as usize + connection as usize, at_ns));
                }
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, all.into_iter().enumerate().collect::<Vec<_>>());
        }

        #[test]
        fn what_is_left_is_what_is_due_and_not_sent(
            gaps in prop::collection::vec(0_u64..50, 1..100),
            connections in 1_u32..5,
            taken in 0_usize..40,
            end in 0_u64..3000,
        ) {
            let mut at = 0;
            let all: Vec<u64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let intensity = intensity(&Times::new(all.iter().copied(), 1.0));
            for connection in 0..connections {
                let mut arrivals = Arrivals::new(Arrival::Timed, 7, connection, connections);
                (0..taken).for_each(|_| { arrivals.advance(&intensity); });
                let of_connection = all.iter().skip(connection as usize);
                let left = of_connection.step_by(connections as usize).skip(taken);
                let expected = left.filter(|at_ns| **at_ns < end).count();
                prop_assert_eq!(arrivals.left_before(end, &intensity), expected as f64);
            }
        }
    }
}
