//! An exhaustion: the process or the system has no descriptor or memory for another connection.
//!
//! It is met so that it costs nothing and ends soon. A descriptor kept in reserve lets one client
//! be notified, by a reset, at each attempt; then the acceptor waits, ten milliseconds at first and
//! up to a second, or until any connection of the server closes.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::super::placement::Placer;
use super::listen_socket::{ListenSocket, reset};

/// Nobody notices this, and an exhaustion that ends at once costs no more.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// An exhaustion that somebody else has to end is asked about this often.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The log tells of it no more often.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct FdExhaustion {
    reserve: Option<File>,
    pause: Duration,
    /// How many connections had left when the acceptor began to wait for another to leave.
    pub(super) releases_before: u32,
    logged_at: Option<Instant>,
}

impl FdExhaustion {
    pub(super) fn new() -> Self {
        Self { reserve: open_reserve(), pause: PAUSE_MIN, releases_before: 0, logged_at: None }
    }

    /// A connection was accepted.
    pub(super) fn ended(&mut self) {
        self.pause = PAUSE_MIN;
        if self.reserve.is_none() {
            self.reserve = open_reserve();
        }
    }

    /// How long to wait now; twice as long the next time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// Accepts and resets one connection by means of the reserve, if it is descriptors that are
    /// short; whether it did.
    pub(super) fn shed_one(
        &mut self,
        error: &io::Error,
        listen_socket: &ListenSocket,
        placer: &Placer,
    ) -> bool {
        if !matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            return false;
        }
        self.reserve = None;
        let shed = listen_socket.accept(placer).map(|(socket, _)| reset(socket)).is_ok();
        // Another thread may have been quicker; then there is none until the exhaustion is over.
        self.reserve = open_reserve();
        shed
    }

    /// Tells the log, unless it was notified within the last second.
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

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
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
    fn the_log_is_told_once_a_second() {
        let (mut exhaustion, start) = (FdExhaustion::new(), Instant::now());
        let notified = |ms| exhaustion.is_time_to_log(start + Duration::from_millis(ms));
        assert_eq!(
            [0, 10, 999, 1000, 1500, 2001].map(notified),
            [true, false, false, true, false, true]
        );
    }
}
