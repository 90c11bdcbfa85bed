//! How evenly a server's workers share the work, by their processor time.

use std::collections::BTreeMap;

use crate::record::ServerThread;

/// The busiest worker's processor time by the workers' mean: 1 is even, the number of workers is
/// one doing everything. Nothing for a server with a single worker.
///
/// The workers are the threads that differ in the number at the end of their name alone; of several
/// such groups, those that used the most processor time together.
pub(super) fn of(threads: &[ServerThread]) -> Option<f64> {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for thread in threads {
        let kind = thread.name.trim_end_matches(|c: char| c.is_ascii_digit());
        groups.entry(kind).or_default().push(thread.cpu_s);
    }
    let sum = |cpu_s: &Vec<f64>| cpu_s.iter().sum::<f64>();
    let workers = groups.into_values().max_by(|a, b| sum(a).total_cmp(&sum(b)))?;
    let busiest = workers.iter().copied().fold(0.0, f64::max);
    let mean = sum(&workers) / workers.len() as f64;
    (workers.len() > 1 && mean > 0.0).then(|| busiest / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(times: &[(&str, f64)]) -> Vec<ServerThread> {
        let thread = |&(name, cpu_s): &(&str, f64)| ServerThread {
            name: name.to_owned(),
            cpu_s,
            ..ServerThread::default()
        };
        times.iter().map(thread).collect()
    }

    #[test]
    fn one_busy_worker_among_idle_ones_shows() {
        let threads = threads(&[("worker-0", 3.0), ("worker-1", 0.5), ("worker-2", 0.5)]);
        assert_eq!(of(&threads), Some(3.0 / (4.0 / 3.0)));
    }

    #[test]
    fn threads_that_do_other_things_are_left_out() {
        let threads =
            threads(&[("worker-0", 2.0), ("worker-1", 2.0), ("acceptor", 3.5), ("admin", 0.1)]);
        assert_eq!(of(&threads), Some(1.0));
    }

    #[test]
    fn a_single_worker_has_no_balance() {
        assert_eq!(of(&threads(&[("server", 2.0), ("admin", 0.1)])), None);
        assert_eq!(of(&[]), None);
    }
}
