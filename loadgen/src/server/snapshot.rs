//! The figures of a server's processes and threads at one moment, and their growth between two
//! moments.

use std::collections::BTreeMap;
use std::time::Instant;

use super::procfs::{self, ThreadFigures};
use crate::record::ServerThread;

/// How much larger the processor time of processes may be than that of their threads, because the
/// kernel counts it in steps of 10 ms. A larger difference means that threads have ended.
const STEP_S: f64 = 0.025;

/// A server at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    taken: Instant,
    /// By thread id, which is unique over all processes.
    threads: BTreeMap<u32, ThreadFigures>,
    /// Processor time of the processes by their ids, ended threads included.
    processes_s: BTreeMap<u32, f64>,
}

/// The growth between two moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Growth {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
    /// The living threads that used processor time, in order of their ids.
    pub(super) threads: Vec<ServerThread>,
}

impl Snapshot {
    /// Reads the figures of a process and its descendants.
    pub(super) fn take(pid: u32) -> Self {
        let family = procfs::family(pid);
        let threads = family.iter().flat_map(|&pid| {
            let tids = procfs::threads(pid).into_iter();
            tids.filter_map(move |tid| Some((tid, procfs::thread(pid, tid)?)))
        });
        let processes = family.iter().filter_map(|&pid| Some((pid, procfs::cpu_s(pid)?)));
        Self { threads: threads.collect(), processes_s: processes.collect(), taken: Instant::now() }
    }

    /// The growth since `earlier`. Threads and processes that are new count from 0.
    pub(super) fn since(&self, earlier: &Self) -> Growth {
        let mut growth = Growth {
            wall_s: self.taken.duration_since(earlier.taken).as_secs_f64(),
            cpu_s: 0.0,
            voluntary_switches: 0,
            involuntary_switches: 0,
            threads: Vec::new(),
        };
        for (&tid, now) in &self.threads {
            let thread = thread_growth(tid, now, earlier.threads.get(&tid));
            growth.cpu_s += thread.cpu_s;
            growth.voluntary_switches += thread.voluntary_switches;
            growth.involuntary_switches += thread.involuntary_switches;
            if thread.cpu_s > 0.0 {
                growth.threads.push(thread);
            }
        }
        let whole_s = self.processes_since(earlier);
        if whole_s > growth.cpu_s + STEP_S * self.processes_s.len() as f64 {
            growth.cpu_s = whole_s;
        }
        growth
    }

    fn processes_since(&self, earlier: &Self) -> f64 {
        let before = |pid| earlier.processes_s.get(pid).copied().unwrap_or(0.0);
        self.processes_s.iter().map(|(pid, now_s)| (now_s - before(pid)).max(0.0)).sum()
    }
}

fn thread_growth(tid: u32, now: &ThreadFigures, before: Option<&ThreadFigures>) -> ServerThread {
    // A thread that has less than before is another one with the same id.
    let same = before.filter(|before| before.cpu_ns <= now.cpu_ns);
    let none = ThreadFigures::default();
    let before = same.unwrap_or(&none);
    ServerThread {
        name: now.name.clone(),
        tid,
        cpu_s: (now.cpu_ns - before.cpu_ns) as f64 / 1e9,
        voluntary_switches: now.voluntary_switches.saturating_sub(before.voluntary_switches),
        involuntary_switches: now.involuntary_switches.saturating_sub(before.involuntary_switches),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(threads: &[(u32, u64)], process_s: f64) -> Snapshot {
        let figures = |&(tid, cpu_ms): &(u32, u64)| {
            let figures = ThreadFigures {
                name: format!("t{tid}"),
                cpu_ns: cpu_ms * 1_000_000,
                voluntary_switches: cpu_ms,
                involuntary_switches: 1,
            };
            (tid, figures)
        };
        Snapshot {
            taken: Instant::now(),
            threads: threads.iter().map(figures).collect(),
            processes_s: BTreeMap::from([(1, process_s)]),
        }
    }

    #[test]
    fn threads_grow_from_what_they_had_before() {
        let before = snapshot(&[(1, 100), (2, 7)], 0.1);
        let growth = snapshot(&[(1, 350), (2, 7)], 0.35).since(&before);
        assert_eq!(growth.cpu_s, 0.25);
        assert_eq!((growth.voluntary_switches, growth.involuntary_switches), (250, 0));
        let names: Vec<&str> = growth.threads.iter().map(|t| &*t.name).collect();
        assert_eq!(names, ["t1"], "an idle thread is not listed");
    }

    #[test]
    fn a_thread_that_started_meanwhile_counts_from_nothing() {
        let growth = snapshot(&[(1, 10), (9, 40)], 0.05).since(&snapshot(&[(1, 10)], 0.01));
        assert_eq!(growth.cpu_s, 0.04);
    }

    #[test]
    fn the_time_of_a_thread_that_ended_meanwhile_is_the_process_s() {
        let before = snapshot(&[(1, 10), (2, 500)], 0.51);
        let growth = snapshot(&[(1, 20)], 1.52).since(&before);
        assert!((growth.cpu_s - 1.01).abs() < 1e-9, "{}", growth.cpu_s);
    }

    #[test]
    fn an_id_that_was_given_anew_counts_from_nothing() {
        let growth = snapshot(&[(5, 30)], 0.93).since(&snapshot(&[(5, 900)], 0.90));
        assert_eq!(growth.cpu_s, 0.03);
    }

    #[test]
    fn the_work_of_this_very_process_is_seen() {
        let pid = std::process::id();
        let before = Snapshot::take(pid);
        let mut growth = Snapshot::take(pid).since(&before);
        while growth.cpu_s < 0.002 {
            growth = Snapshot::take(pid).since(&before);
        }
        assert!(growth.wall_s > 0.0 && !growth.threads.is_empty());
    }
}
