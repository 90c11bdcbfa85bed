//! Descriptor exhaustion: the process or the system has no descriptor or memory for another
//! connection.
//!
//! A reserve descriptor lets the acceptor reset one client per attempt, so that the client learns
//! of it. Then the acceptor backs off: ten milliseconds at first, up to a second, or until any
//! connection of the server closes.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use super::listen_socket::{ListenSocket, reset};
use super::reserve_fd::ReserveFd;
use crate::server::placement::Placer;

/// The first back-off. A client does not notice it, and a short exhaustion costs no more.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest back-off, for an exhaustion that another process must end.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The minimum interval between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The reserve descriptor and the back-off of one acceptor.
#[derive(Debug)]
pub(super) struct FdExhaustion {
    reserve: ReserveFd,
    pause: Duration,
    /// The connection limit's count of releases when the acceptor began to wait.
    pub(super) releases_before: u32,
    logged_at: Option<Instant>,
}

impl FdExhaustion {
    pub(super) fn new() -> Self {
        Self { reserve: ReserveFd::new(), pause: PAUSE_MIN, releases_before: 0, logged_at: None }
    }

    /// A connection was accepted.
    pub(super) fn ended(&mut self) {
        self.pause = PAUSE_MIN;
        self.reserve.refill();
    }

    /// The back-off to use now; the next one is twice as long.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// If descriptors are exhausted, accepts and resets one connection with the reserve descriptor.
    /// Returns whether it did.
    pub(super) fn shed_one(
        &mut self,
        error: &io::Error,
        listen_socket: &ListenSocket,
        placer: &Placer,
    ) -> bool {
        let shed = self.reserve.release_for(error)
            && listen_socket.accept(placer).map(|(socket, _)| reset(socket)).is_ok();
        // If another thread took the descriptor, the reserve stays empty until an accept succeeds.
        self.reserve.refill();
        shed
    }

    /// Logs the exhaustion, at most once a second.
    pub(super) fn log(&mut self, error: &impl Display, pause: Duration, now: Instant) {
        if self.is_time_to_log(now) {
            log::warn!(
                target: "accept", error:%, pause_ms = pause.as_millis() as u64;
                "accepting pauses; raise the limit on open files (ulimit -n), \
                 or allow fewer connections"
            );
        }
    }

    fn is_time_to_log(&mut self, now: Instant) -> bool {
        let is_time = self.logged_at.is_none_or(|logged_at| now - logged_at >= LOG_INTERVAL);
        if is_time {
            self.logged_at = Some(now);
        }
        is_time
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_begin_anew_after_an_accept() {
        let mut exhaustion = FdExhaustion::new();
        let pauses: Vec<_> = (0..9).map(|_| exhaustion.next_pause().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        exhaustion.ended();
        assert_eq!(exhaustion.next_pause(), PAUSE_MIN);
    }

    #[test]
    fn the_exhaustion_is_logged_once_a_second() {
        let (mut exhaustion, start) = (FdExhaustion::new(), Instant::now());
        let logs = |ms| exhaustion.is_time_to_log(start + Duration::from_millis(ms));
        assert_eq!(
            [0, 10, 999, 1000, 1500, 2001].map(logs),
            [true, false, false, true, false, true]
        );
    }
}
