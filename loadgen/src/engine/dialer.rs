//! Which connections may connect when: it limits the handshakes at once and those per second.

use std::collections::VecDeque;

/// Handshakes in flight over all threads: half of the usual backlog of 128. Above the server's
/// backlog they would be dropped and repeated after a second.
const HANDSHAKES_MAX: usize = 64;

/// One thread's handshakes.
#[derive(Debug)]
pub(crate) struct Dialer {
    /// Connections that wait for a handshake, first in, first out.
    waiting: VecDeque<u32>,
    in_flight: usize,
    in_flight_max: usize,
    /// When the next handshake may begin.
    next_ns: u64,
    /// Time between two of them.
    gap_ns: u64,
}

impl Dialer {
    /// One thread's share of the limits: `per_s` handshakes per second over `threads` threads.
    ///
    /// `unbounded`: connections are the load itself, so their number is not limited here.
    pub(crate) fn new(threads: u32, per_s: Option<f64>, unbounded: bool) -> Self {
        let share = (HANDSHAKES_MAX / threads as usize).max(1);
        let gap_ns = per_s.map_or(0.0, |per_s| 1e9 * f64::from(threads) / per_s);
        Self {
            waiting: VecDeque::new(),
            in_flight: 0,
            in_flight_max: if unbounded { usize::MAX } else { share },
            next_ns: 0,
            gap_ns: gap_ns as u64,
        }
    }

    /// Adds a connection that waits for a handshake.
    pub(crate) fn enqueue(&mut self, connection: u32) {
        self.waiting.push_back(connection);
    }

    /// Takes the next connection, if the limits allow a handshake now.
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<u32> {
        if self.in_flight >= self.in_flight_max || now_ns < self.next_ns {
            return None;
        }
        let connection = self.waiting.pop_front()?;
        self.in_flight += 1;
        // Being late is not made up for: the limit holds at every moment.
        self.next_ns = now_ns.saturating_add(self.gap_ns);
        Some(connection)
    }

    /// Counts a handshake that has ended, with or without success.
    pub(crate) fn ended(&mut self) {
        self.in_flight -= 1;
    }

    /// When the next handshake may begin; nothing if none waits for a time.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let possible = !self.waiting.is_empty() && self.in_flight < self.in_flight_max;
        possible.then_some(self.next_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_at_once_are_bounded_and_begin_in_the_order_of_requests() {
        let mut dialer = Dialer::new(32, None, false);
        (0..3).for_each(|connection| dialer.enqueue(connection));
        assert_eq!((dialer.next(0), dialer.next(0), dialer.next(0)), (Some(0), Some(1), None));
        assert_eq!(dialer.next_ns(), None, "it waits for a handshake, not for time");
        dialer.ended();
        assert_eq!(dialer.next(0), Some(2));
    }

    #[test]
    fn a_rate_spaces_handshakes_evenly_and_does_not_catch_up() {
        let mut dialer = Dialer::new(1, Some(1_000.0), true);
        (0..4).for_each(|connection| dialer.enqueue(connection));
        assert_eq!(dialer.next(5_000_000), Some(0));
        assert_eq!(dialer.next(5_000_000), None);
        assert_eq!(dialer.next_ns(), Some(6_000_000));
        assert_eq!(dialer.next(6_000_000), Some(1));
        assert_eq!(dialer.next(60_000_000), Some(2));
        assert_eq!(dialer.next(60_500_000), None);
    }
}
