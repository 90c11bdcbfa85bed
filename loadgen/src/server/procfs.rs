//! The figures of a process from /proc (proc(5)), and its program.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Ticks of `/proc/PID/stat` in a second; the same on every architecture that this runs on.
const TICKS_PER_S: f64 = 100.0;

/// Maximum number of processes of one server.
const PROCESSES_MAX: usize = 1_024;

/// The current figures of one thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ThreadFigures {
    pub(super) name: String,
    /// Processor time so far.
    pub(super) cpu_ns: u64,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
}

/// The process and its children, their children, and so on.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = VecDeque::from([pid]);
    while let Some(pid) = next.pop_front().filter(|_| found.len() < PROCESSES_MAX) {
        found.push(pid);
        next.extend(children(pid));
    }
    found
}

/// The children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    // A kernel may be built without this file. Then no process has a child.
    let of_thread = |tid| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).ok();
    let texts: Vec<String> = threads(pid).into_iter().filter_map(of_thread).collect();
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Whether a process has ended, reaped or not. One whose first thread alone has ended goes on.
pub(super) fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, None | Some('Z' | 'X')) && threads(pid).len() <= 1
}

/// The name of a process, as `ps` shows it.
pub(super) fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The ids of the threads of a process; none if it has ended.
pub(super) fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The figures of one thread, unless it has ended.
pub(super) fn thread(pid: u32, tid: u32) -> Option<ThreadFigures> {
    let folder = format!("/proc/{pid}/task/{tid}");
    let read = |file: &str| fs::read_to_string(Path::new(&folder).join(file)).ok();
    let status = read("status")?;
    Some(ThreadFigures {
        name: read("comm")?.trim_end().to_owned(),
        cpu_ns: run_time_ns(&read("schedstat")?)?,
        voluntary_switches: number(&status, "voluntary_ctxt_switches:")?,
        involuntary_switches: number(&status, "nonvoluntary_ctxt_switches:")?,
    })
}

/// Processor time of a process in seconds, that of its ended threads included, in steps of 10 ms.
pub(super) fn cpu_s(pid: u32) -> Option<f64> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|t| t as f64 / TICKS_PER_S)
}

/// Resident memory of a process.
pub(super) fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(number(&status, "VmRSS:")? * 1024)
}

/// Proportional share of memory of a process. Reading that of another user's is often forbidden.
pub(super) fn pss_bytes(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(number(&rollup, "Pss:")? * 1024)
}

/// The processors that a process may use, as the kernel lists them.
pub(crate) fn cpus_allowed(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&status, "Cpus_allowed_list:").map(str::to_owned)
}

/// The command line of a process, its words joined by spaces.
pub(super) fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&bytes).replace('\0', " ");
    Some(words.trim_end().to_owned()).filter(|words| !words.is_empty())
}

/// The time on a processor of a thread's `schedstat`, its first number.
fn run_time_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// User and system ticks of a `stat` line: its fields 14 and 15. The name, field 2, may hold
/// anything, brackets and spaces included.
fn ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// The value behind a name that begins a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn number(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.split_whitespace().next()?.parse().ok()
}

/// SHA-256 of the program's file in hexadecimal; nothing where it may not be read.
pub(super) fn sha256(pid: u32) -> Option<String> {
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    hash(file).ok()
}

fn hash(mut file: File) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn the_ticks_are_found_behind_whatever_the_name_holds() {
        let stat = "7 (a) b ((c) 1 2) S 1 7 7 0 -1 4194560 5 6 0 0 130 20 9 9 20 0 4 0 880\n";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn fields_are_those_that_begin_a_line_with_their_name() {
        let status =
            "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t12\nVmRSS:\t 8 kB\n";
        assert_eq!(number(status, "voluntary_ctxt_switches:"), Some(12));
        assert_eq!(number(status, "nonvoluntary_ctxt_switches:"), Some(7));
        assert_eq!(number(status, "VmRSS:"), Some(8));
        assert_eq!(number(status, "Pss:"), None);
    }

    #[test]
    fn the_run_time_is_the_first_number() {
        assert_eq!(run_time_ns("33911728 28483302 114\n"), Some(33_911_728));
        assert_eq!(run_time_ns(""), None);
    }

    #[test]
    fn this_very_process_can_be_read() {
        let pid = std::process::id();
        assert!(family(pid).starts_with(&[pid]));
        let tids = threads(pid);
        assert!(tids.iter().any(|&tid| thread(pid, tid).is_some_and(|t| !t.name.is_empty())));
        assert!(cpu_s(pid).is_some() && rss_bytes(pid).unwrap() > 0);
        assert!(cpus_allowed(pid).is_some() && command_line(pid).is_some());
    }

    #[test]
    fn a_process_that_is_gone_has_nothing() {
        // Beyond the largest id that the kernel gives.
        let pid = 4_194_305;
        assert!(threads(pid).is_empty());
        assert_eq!((cpu_s(pid), rss_bytes(pid), cpus_allowed(pid)), (None, None, None));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.rewind().unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(file).unwrap(), expected);
    }
}
