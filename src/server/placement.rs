//! Placement: which worker a new connection goes to. No I/O, no clock; the same calls give the
//! same answers.

/// Each worker in turn.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// The workers in the order a connection shall be offered to them; each call starts one
    /// further on.
    pub(super) fn order(&mut self, workers: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.next;
        self.next = (first + 1) % workers;
        (first..workers).chain(0..first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_is_first_in_turn_and_all_are_offered() {
        let mut placement = RoundRobin::default();
        let orders: Vec<Vec<usize>> = (0..4).map(|_| placement.order(3).collect()).collect();
        assert_eq!(orders, [vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1], vec![0, 1, 2]]);
    }
}
