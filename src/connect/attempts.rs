//! When to connect to which address of a host: RFC 8305, section 5, without sockets or a clock.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::error::ConnectError;

/// How long one attempt has before the next one starts beside it, as RFC 8305 recommends.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Less would start all attempts at once: RFC 8305, section 8, forbids it.
const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);
/// RFC 8305, section 8, recommends no more.
const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(2);

/// The attempts to connect to one host, of which at most one succeeds.
///
/// The caller does what [`next_step`](Self::next_step) returns, and reports what becomes of each
/// attempt. Addresses are named by their index.
#[derive(Debug)]
pub(crate) struct ConnectAttempts {
    /// The host as messages name it.
    host: String,
    addresses: Vec<SocketAddr>,
    /// Those below `next` were tried.
    next: usize,
    /// The indexes of those that neither failed nor connected.
    running: Vec<usize>,
    delay_ns: u64,
    /// When the next attempt starts, though others run.
    next_start_ns: u64,
    started_at_ns: u64,
    timeout: Option<Duration>,
    first_failure: Option<(SocketAddr, io::Error)>,
    has_ended: bool,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Start to connect to this address, and ask for the next step.
    Start(usize, SocketAddr),
    /// Wait for a report, at most until this time in nanoseconds, if there is one.
    Wait(Option<u64>),
    /// Cancel the attempts that run, and report the error.
    GiveUp(ConnectError),
    /// Nothing: it has connected or given up.
    Ended,
}

impl ConnectAttempts {
    /// Attempts that begin now. They are made in the order of the addresses.
    ///
    /// A `delay` out of the bounds of RFC 8305, 10 ms to 2 s, is the nearest bound. The `timeout`
    /// bounds all attempts together.
    pub(crate) fn new(
        host: impl Into<String>,
        addresses: Vec<SocketAddr>,
        delay: Duration,
        timeout: Option<Duration>,
        now_ns: u64,
    ) -> Self {
        let delay = delay.clamp(ATTEMPT_DELAY_MIN, ATTEMPT_DELAY_MAX);
        Self {
            host: host.into(),
            addresses,
            next: 0,
            running: Vec::new(),
            delay_ns: nanoseconds(delay),
            next_start_ns: now_ns,
            started_at_ns: now_ns,
            timeout,
            first_failure: None,
            has_ended: false,
        }
    }

    /// What to do at this time.
    pub(crate) fn next_step(&mut self, now_ns: u64) -> Step {
        if self.has_ended {
            return Step::Ended;
        }
        let next = self.addresses.get(self.next).copied();
        if next.is_none() && self.running.is_empty() {
            return self.give_up(None);
        }
        let deadline = self
            .timeout
            .map(|timeout| (self.started_at_ns.saturating_add(nanoseconds(timeout)), timeout));
        if let Some((_, timeout)) = deadline.filter(|(deadline_ns, _)| *deadline_ns <= now_ns) {
            return self.give_up(Some(timeout));
        }
        let deadline_ns = deadline.map(|(deadline_ns, _)| deadline_ns);
        match next {
            Some(address) if self.running.is_empty() || self.next_start_ns <= now_ns => {
                let index = self.next;
                self.next += 1;
                self.running.push(index);
                self.next_start_ns = now_ns.saturating_add(self.delay_ns);
                Step::Start(index, address)
            }
            Some(_) => {
                let start_ns = self.next_start_ns;
                Step::Wait(Some(
                    deadline_ns.map_or(start_ns, |deadline_ns| deadline_ns.min(start_ns)),
                ))
            }
            None => Step::Wait(deadline_ns),
        }
    }

    /// Reports that an attempt failed. The next step starts the next attempt at once.
    pub(crate) fn failed(&mut self, index: usize, error: io::Error, now_ns: u64) {
        if self.end_attempt(index) {
            self.first_failure.get_or_insert((self.addresses[index], error));
            self.next_start_ns = now_ns;
        }
    }

    /// Reports that an attempt succeeded; returns whether its socket is used. If so, the caller
    /// cancels all others. If not, it closes this one, because another succeeded before, or all
    /// were given up.
    pub(crate) fn connected(&mut self, index: usize) -> bool {
        let is_used = self.end_attempt(index);
        if is_used {
            self.has_ended = true;
            self.running.clear();
        }
        is_used
    }

    /// Takes an attempt off those that run; returns whether it ran.
    fn end_attempt(&mut self, index: usize) -> bool {
        let position = self.running.iter().position(|running| *running == index);
        position.map(|position| self.running.remove(position)).is_some()
    }

    /// Ends with an error: that of the first failure, or that `timeout` is over.
    fn give_up(&mut self, timeout: Option<Duration>) -> Step {
        self.has_ended = true;
        let (host, tried) = (std::mem::take(&mut self.host), self.next);
        let error = match (timeout, self.first_failure.take()) {
            (Some(timeout), first) => {
                let addresses = self.addresses.len();
                ConnectError::TimedOut { host, timeout, tried, addresses, first }
            }
            (None, Some((address, source))) => {
                ConnectError::Failed { host, tried, address, source }
            }
            (None, None) => ConnectError::NoAddress { host },
        };
        self.running.clear();
        Step::GiveUp(error)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| SocketAddr::from(([127, 0, 0, n], 80))).collect()
    }

    fn attempts(count: u8, timeout_ms: Option<u64>) -> ConnectAttempts {
        let timeout = timeout_ms.map(Duration::from_millis);
        ConnectAttempts::new("host:80", addresses(count), ATTEMPT_DELAY, timeout, 0)
    }

    fn error(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    /// A step in short: "start 1", "wait 250", "wait", "give up: …", "ended".
    fn step(attempts: &mut ConnectAttempts, now_ms: u64) -> String {
        match attempts.next_step(now_ms * MS) {
            Step::Start(index, address) => {
                assert_eq!(address, attempts.addresses[index]);
                format!("start {index}")
            }
            Step::Wait(Some(until_ns)) => format!("wait {}", until_ns / MS),
            Step::Wait(None) => "wait".to_owned(),
            Step::GiveUp(error) => format!("give up: {error}"),
            Step::Ended => "ended".to_owned(),
        }
    }

    #[test]
    fn a_slow_attempt_gets_company_after_the_delay_and_the_first_to_connect_wins() {
        let mut attempts = attempts(3, None);
        assert_eq!(step(&mut attempts, 0), "start 0");
        assert_eq!(step(&mut attempts, 0), "wait 250");
        assert_eq!(step(&mut attempts, 249), "wait 250");
        assert_eq!(step(&mut attempts, 250), "start 1");
        assert_eq!(step(&mut attempts, 250), "wait 500");
        assert_eq!(step(&mut attempts, 500), "start 2");
        assert_eq!(step(&mut attempts, 500), "wait");
        assert!(attempts.connected(1));
        assert!(!attempts.connected(0), "two that connect in one turn");
        assert_eq!(step(&mut attempts, 501), "ended");
    }

    #[test]
    fn a_failed_attempt_starts_the_next_one_at_once() {
        let mut attempts = attempts(3, None);
        assert_eq!(step(&mut attempts, 0), "start 0");
        attempts.failed(0, error(libc::ECONNREFUSED), 0);
        assert_eq!(step(&mut attempts, 0), "start 1");
        assert_eq!(step(&mut attempts, 0), "wait 250");
        assert_eq!(step(&mut attempts, 250), "start 2");
        attempts.failed(1, error(libc::EHOSTUNREACH), 260);
        assert_eq!(step(&mut attempts, 260), "wait");
        attempts.failed(1, error(libc::EHOSTUNREACH), 261);
        assert_eq!(step(&mut attempts, 261), "wait", "reported twice");
        attempts.failed(2, error(libc::EHOSTUNREACH), 270);
        assert_eq!(
            step(&mut attempts, 270),
            format!(
                "give up: connect to host:80: all 3 addresses failed, first 127.0.0.0:80: {}; \
                 check that a server listens on this port",
                error(libc::ECONNREFUSED)
            )
        );
        assert_eq!(step(&mut attempts, 270), "ended");
    }

    #[test]
    fn a_timeout_cancels_the_attempts_and_names_what_failed_before() {
        let mut attempts = attempts(4, Some(400));
        assert_eq!(step(&mut attempts, 0), "start 0");
        attempts.failed(0, error(libc::ECONNREFUSED), 10);
        assert_eq!(step(&mut attempts, 10), "start 1");
        assert_eq!(step(&mut attempts, 260), "start 2");
        assert_eq!(step(&mut attempts, 399), "wait 400");
        assert_eq!(
            step(&mut attempts, 400),
            format!(
                "give up: connect to host:80: no connection within 400ms, with 3 of 4 \
                 addresses tried, first 127.0.0.0:80: {}; \
                 check the address, routes and firewalls, or allow more time",
                error(libc::ECONNREFUSED)
            )
        );
        assert!(!attempts.connected(1));
    }

    #[test]
    fn the_failure_of_all_says_more_than_a_timeout_that_is_over_too() {
        let mut attempts = attempts(1, Some(100));
        assert_eq!(step(&mut attempts, 0), "start 0");
        attempts.failed(0, error(libc::ECONNREFUSED), 100);
        assert!(step(&mut attempts, 100).starts_with("give up: connect to host:80: 127.0.0.0:80"));
    }

    #[test]
    fn a_host_without_addresses_is_given_up_at_once() {
        assert_eq!(
            step(&mut attempts(0, None), 0),
            "give up: connect to host:80: it has no addresses; check the name, or pass an address"
        );
    }

    #[test]
    fn a_delay_is_at_least_10_ms_and_at_most_2_s() {
        for (delay, expected) in [(Duration::ZERO, "wait 10"), (Duration::MAX, "wait 2000")] {
            let mut attempts = ConnectAttempts::new("host:80", addresses(2), delay, None, 0);
            assert_eq!(step(&mut attempts, 0), "start 0");
            assert_eq!(step(&mut attempts, 0), expected);
        }
    }

    #[test]
    fn no_extreme_time_overflows() {
        let timeout = Some(Duration::MAX);
        let mut attempts =
            ConnectAttempts::new("host:80", addresses(2), Duration::MAX, timeout, u64::MAX - 1);
        assert!(matches!(attempts.next_step(u64::MAX - 1), Step::Start(0, _)));
        assert!(matches!(attempts.next_step(u64::MAX - 1), Step::Wait(Some(u64::MAX))));
    }

    /// An address of the model.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Model {
        Untried,
        Running,
        Failed,
    }

    proptest! {
        /// The model keeps a state for each address, and derives each expected step from all of
        /// them and from the history of starts and failures. Some 256,000 steps.
        #[test]
        fn attempts_agree_with_a_naive_model(
            count in 0..9_u8,
            delay_ms in 0..3_000_u64,
            timeout_ms in prop::option::of(1..6_000_u64),
            events in prop::collection::vec((0..8_u8, 0..9_usize, 0..400_u64), 1..2_000),
        ) {
            let timeout = timeout_ms.map(Duration::from_millis);
            let delay = Duration::from_millis(delay_ms);
            let mut attempts =
                ConnectAttempts::new("host:80", addresses(count), delay, timeout, 0);
            let mut model = vec![Model::Untried; usize::from(count)];
            let (mut now_ms, mut last_ms, mut last_failed) = (0, None::<u64>, false);
            let (mut ended, mut winner) = (false, None);
            for (event, index, passed_ms) in events {
                let is_running = !ended && model.get(index) == Some(&Model::Running);
                match event {
                    0 => {
                        prop_assert_eq!(attempts.connected(index), is_running);
                        if is_running {
                            prop_assert_eq!(winner.replace(index), None);
                            ended = true;
                        }
                    }
                    1 | 2 => {
                        attempts.failed(index, error(index as i32 + 1), now_ms * MS);
                        if is_running {
                            model[index] = Model::Failed;
                            last_failed = true;
                        }
                    }
                    3 => now_ms += passed_ms,
                    _ => {
                        let is_over = timeout_ms.is_some_and(|timeout_ms| timeout_ms <= now_ms);
                        let untried = model.iter().position(|state| *state == Model::Untried);
                        let all_failed = model.iter().all(|state| *state == Model::Failed);
                        let due_ms = last_ms.map_or(0, |ms| ms + delay_ms.clamp(10, 2_000));
                        let starts = last_failed || due_ms <= now_ms;
                        match attempts.next_step(now_ms * MS) {
                            Step::Ended => prop_assert!(ended),
                            Step::Start(index, _) => {
                                prop_assert!(!ended && !is_over && starts);
                                prop_assert_eq!(Some(index), untried);
                                model[index] = Model::Running;
                                (last_ms, last_failed) = (Some(now_ms), false);
                            }
                            Step::Wait(until_ns) => {
                                prop_assert!(!ended && !is_over && !all_failed);
                                prop_assert!(untried.is_none() || !starts);
                                let due_ms = untried.map(|_| due_ms);
                                let expected_ms = due_ms.into_iter().chain(timeout_ms).min();
                                prop_assert_eq!(until_ns, expected_ms.map(|ms| ms * MS));
                            }
                            Step::GiveUp(_) => {
                                prop_assert!(!ended && (is_over || all_failed));
                                ended = true;
                            }
                        }
                    }
                }
            }
        }
    }
}
