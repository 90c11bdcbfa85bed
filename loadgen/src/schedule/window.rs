//! The measured window of a run.

use std::time::Duration;

use crate::clock::nanoseconds;

/// The measured part of a run, by intended time (in a closed loop by send time):
/// `[measure_from_ns, end_ns)`.
///
/// A request with an intended time inside the window counts for the latencies, even if its reply
/// arrives later. A window by reply time would drop the slow replies at its end. The throughput
/// counts replies by the time of the reply: what the server did inside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) measure_from_ns: u64,
    pub(crate) end_ns: u64,
}

/// The part of the run to which a moment belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measuring,
    Over,
}

impl Window {
    /// A run that starts at `start_ns` with a warm-up and is then measured for `duration`.
    pub(crate) fn new(start_ns: u64, warmup: Duration, duration: Duration) -> Self {
        let measure_from_ns = start_ns.saturating_add(nanoseconds(warmup));
        Self {
            start_ns,
            measure_from_ns,
            end_ns: measure_from_ns.saturating_add(nanoseconds(duration)),
        }
    }

    /// The phase at `now_ns`.
    pub(crate) fn phase(&self, now_ns: u64) -> Phase {
        if now_ns >= self.end_ns {
            Phase::Over
        } else if now_ns >= self.measure_from_ns {
            Phase::Measuring
        } else {
            Phase::WarmUp
        }
    }

    /// Whether a request intended for `at_ns` counts.
    pub(crate) fn contains(&self, at_ns: u64) -> bool {
        self.phase(at_ns) == Phase::Measuring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(100, Duration::from_nanos(10), Duration::from_nanos(20))
    }

    #[test]
    fn only_requests_sent_inside_the_half_open_window_count() {
        let counted: Vec<u64> = (95..140).filter(|&at| window().contains(at)).collect();
        assert_eq!(counted, (110..130).collect::<Vec<u64>>());
    }

    #[test]
    fn phases_follow_each_other_without_a_gap() {
        assert_eq!(window().phase(109), Phase::WarmUp);
        assert_eq!(window().phase(110), Phase::Measuring);
        assert_eq!(window().phase(129), Phase::Measuring);
        assert_eq!(window().phase(130), Phase::Over);
    }

    #[test]
    fn an_absurdly_long_run_saturates_instead_of_wrapping() {
        let window = Window::new(100, Duration::MAX, Duration::MAX);
        assert_eq!(window.phase(u64::MAX - 1), Phase::WarmUp);
    }
}
