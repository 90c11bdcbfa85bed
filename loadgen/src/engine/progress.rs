//! The live line on a terminal: the phase of the run, the rate, the latency so far.
//!
//! The report uses none of its numbers. They come from the recorders.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::seconds;
use crate::latency::{Latency, P99};
use crate::options::OutputOptions;
use crate::schedule::{Phase, Window};
use crate::units::{duration, grouped};
use crate::wire::KeyValueSpec;

/// The progress of one thread. It has cache lines of its own, so publishing is a plain store.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadProgress {
    connected: AtomicU64,
    completed: AtomicU64,
}

/// The progress that all threads publish.
#[derive(Debug)]
pub(crate) struct SharedProgress {
    threads: Vec<ThreadProgress>,
}

impl SharedProgress {
    /// Zero for each of `threads` threads.
    pub(crate) fn new(threads: u32) -> Self {
        Self { threads: (0..threads).map(|_| ThreadProgress::default()).collect() }
    }

    /// Publishes how many connections a thread has established.
    pub(crate) fn set_connected(&self, thread: usize, connected: usize) {
        self.threads[thread].connected.store(connected as u64, Ordering::Relaxed);
    }

    /// Publishes how many replies a thread has received.
    pub(crate) fn set_completed(&self, thread: usize, completed: u64) {
        self.threads[thread].completed.store(completed, Ordering::Relaxed);
    }

    /// How many connections are established.
    pub(crate) fn connected(&self) -> u64 {
        let counts = self.threads.iter().map(|thread| thread.connected.load(Ordering::Relaxed));
        counts.sum()
    }

    fn completed(&self) -> u64 {
        let counts = self.threads.iter().map(|thread| thread.completed.load(Ordering::Relaxed));
        counts.sum()
    }
}

/// The live line.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    /// The prefix: where a sweep or a search is, and the number of the run, if there are several.
    prefix: String,
    last_ns: u64,
    last_completed: u64,
}

impl Progress {
    /// A line that is visible if it is wanted and stderr is a terminal.
    pub(crate) fn new(output: &OutputOptions, number: u32, runs: u32) -> Self {
        let run = if runs > 1 { format!("run {number}/{runs}") } else { String::new() };
        let parts = [&*output.position, &*run].into_iter().filter(|part| !part.is_empty());
        let prefix = parts.map(|part| format!("{part}  ")).collect();
        let visible = output.progress && io::stderr().is_terminal();
        Self { visible, prefix, last_ns: 0, last_completed: 0 }
    }

    /// Shows that keys are written before the load, if the plan asks for it.
    pub(crate) fn show_preload(&self, spec: Option<&KeyValueSpec>) {
        if let Some(spec) = spec.filter(|spec| spec.preload) {
            self.draw(&format!("preloading  {} keys", grouped(spec.keys.get().into())));
        }
    }

    /// Shows how many of `connections` are established.
    pub(crate) fn show_connecting(&self, shared: &SharedProgress, connections: u32) {
        let (done, all) = (shared.connected(), u64::from(connections));
        self.draw(&format!("connecting  {}/{}", grouped(done), grouped(all)));
    }

    /// Shows the phase, the rate since the last call, and the latency so far.
    pub(crate) fn show_load(
        &mut self,
        shared: &SharedProgress,
        window: &Window,
        headline: &Latency,
        now_ns: u64,
    ) {
        if !self.visible {
            return;
        }
        let completed = shared.completed();
        let since_ns = self.last_ns.max(window.start_ns);
        let elapsed_s = seconds(now_ns.saturating_sub(since_ns));
        let rate = (completed - self.last_completed) as f64 / elapsed_s.max(1e-9);
        let p99_ns = headline.percentile_ns(P99);
        self.draw(&load_line(window, now_ns, rate, p99_ns));
        (self.last_ns, self.last_completed) = (now_ns, completed);
    }

    /// Removes the line.
    pub(crate) fn clear(&mut self) {
        self.prefix.clear();
        self.draw("");
    }

    fn draw(&self, line: &str) {
        if self.visible {
            // A terminal that is gone must not end the run.
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{}{line}", self.prefix);
            let _ = stderr.flush();
        }
    }
}

fn load_line(window: &Window, now_ns: u64, rate_per_s: f64, p99_ns: Option<u64>) -> String {
    let (phase, from_ns, to_ns) = match window.phase(now_ns) {
        Phase::WarmUp => ("warm-up", window.start_ns, window.measure_from_ns),
        Phase::Measuring => ("measuring", window.measure_from_ns, window.end_ns),
        Phase::Over => return "draining    waiting for the last replies".to_owned(),
    };
    let p99 = p99_ns.map(|ns| format!("  p99 {}", duration(ns).trim_end())).unwrap_or_default();
    format!(
        "{phase:<11} {:.1}/{:.1} s  {} requests/s{p99}",
        seconds(now_ns.saturating_sub(from_ns)),
        seconds(to_ns - from_ns),
        grouped(rate_per_s as u64)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_line_names_the_phase_its_time_and_the_rate() {
        let window = Window::new(0, Duration::from_secs(1), Duration::from_secs(10));
        let at = |ms: u64| load_line(&window, ms * 1_000_000, 103_214.9, None);
        assert_eq!(at(500), "warm-up     0.5/1.0 s  103,214 requests/s");
        assert_eq!(at(4_200), "measuring   3.2/10.0 s  103,214 requests/s");
        assert!(at(11_000).starts_with("draining"));
        let slow = load_line(&window, 4_200_000_000, 9.0, Some(1_500_000));
        assert!(slow.ends_with("9 requests/s  p99 1.50 ms"), "{slow}");
    }

    #[test]
    fn the_line_begins_with_the_place_in_a_sweep_and_the_number_of_the_run() {
        let prefix = |position: &str, runs| {
            let output = OutputOptions { position: position.to_owned(), ..Default::default() };
            Progress::new(&output, 2, runs).prefix
        };
        assert_eq!(prefix("", 1), "");
        assert_eq!(prefix("", 5), "run 2/5  ");
        assert_eq!(prefix("3/40 size=64", 1), "3/40 size=64  ");
    }

    #[test]
    fn the_board_adds_up_all_threads() {
        let shared = SharedProgress::new(2);
        shared.set_completed(0, 40);
        shared.set_completed(1, 2);
        shared.set_connected(1, 7);
        assert_eq!((shared.completed(), shared.connected()), (42, 7));
    }
}
