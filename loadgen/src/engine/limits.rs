//! Whether this machine can hold the requested connections, checked before the run starts.

use std::fs;
use std::io;

use rlimit::Resource;

use super::pacing;
use super::poller::Poller;
use crate::error::Error;
use crate::options::{Options, Target};

/// Open files beside the connections: standard streams, the record, name resolution, and an epoll
/// set per thread on top.
const SPARE_DESCRIPTORS: u64 = 16;

/// Checks ports and descriptors for so many connections and the threads of a plan, and raises the
/// soft limit of open files to the hard one if need be.
///
/// Returns a sentence for that, and for each request that the kernel refuses and the run can do
/// without.
pub(crate) fn provide(options: &Options, connections: u32) -> Result<Vec<String>, Error> {
    let mut notes = refusals().map_err(Error::Start)?;
    let threads = options.threads;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let ports = range.ok().and_then(|text| port_count(&text));
    if let (Target::Tcp(_), Some(ports)) = (&options.target, ports) {
        let addresses = u32::try_from(options.sources.len().max(1)).unwrap_or(u32::MAX);
        check_ports(connections, ports.saturating_mul(addresses))?;
    }
    let (soft, hard) = Resource::NOFILE.get().map_err(Error::Start)?;
    if !check_descriptors(connections, threads, soft, hard)? {
        return Ok(notes);
    }
    Resource::NOFILE.set(hard, hard).map_err(raise_failed)?;
    notes.push(format!(
        "raised the limit of open files from {soft} to {hard} for {connections} connections"
    ));
    Ok(notes)
}

/// What the machine refuses, and what is lost by it.
fn refusals() -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    if Poller::new()?.waits_by_poll() {
        let lost = "each wait takes a second system call, so the loader uses more processor time";
        notes.push(format!("epoll_pwait2(2) is refused here: {lost}"));
    }
    if let Err(error) = pacing::set_timer_slack() {
        let lost = "requests may be sent 50 µs later than by a precise timer";
        notes.push(format!("a timer slack of 1 ns is refused here: {lost} ({error})"));
    }
    Ok(notes)
}

fn raise_failed(error: io::Error) -> Error {
    let text = format!("raise the limit of open files: {error}");
    Error::Start(io::Error::new(error.kind(), text))
}

/// How many local ports a range such as "32768 60999" holds.
fn port_count(range: &str) -> Option<u32> {
    let mut bounds = range.split_whitespace().map(|word| word.parse::<u32>().ok());
    let (low, high) = (bounds.next()??, bounds.next()??);
    Some(high.checked_sub(low)? + 1)
}

fn check_ports(connections: u32, ports: u32) -> Result<(), Error> {
    if connections > ports {
        return Err(Error::TooFewPorts { connections, ports });
    }
    Ok(())
}

/// Whether the soft limit has to be raised to the hard one.
fn check_descriptors(connections: u32, threads: u32, soft: u64, hard: u64) -> Result<bool, Error> {
    let extra = u64::from(threads) + SPARE_DESCRIPTORS;
    let needed = u64::from(connections) + extra;
    if needed > hard {
        return Err(Error::TooFewDescriptors {
            connections,
            needed,
            limit: hard,
            possible: hard.saturating_sub(extra),
        });
    }
    Ok(needed > soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_range_counts_both_ends() {
        assert_eq!(port_count("32768\t60999\n"), Some(28_232));
        assert_eq!(port_count("rubbish"), None);
        assert_eq!(port_count("9 5"), None);
    }

    #[test]
    fn more_connections_than_ports_is_an_error_with_both_numbers() {
        assert!(check_ports(28_232, 28_232).is_ok());
        let text = check_ports(28_233, 28_232).unwrap_err().to_string();
        assert!(text.contains("28233") && text.contains("28232"), "{text}");
    }

    #[test]
    fn the_soft_limit_is_raised_only_when_it_is_too_low() {
        assert!(!check_descriptors(1_000, 1, 1_024, 4_096).unwrap());
        assert!(check_descriptors(1_020, 1, 1_024, 4_096).unwrap());
    }

    #[test]
    fn a_hard_limit_that_is_too_low_says_how_many_connections_are_possible() {
        let error = check_descriptors(5_000, 2, 1_024, 4_096).unwrap_err();
        let Error::TooFewDescriptors { possible, .. } = error else {
            panic!("unexpected {error:?}");
        };
        assert!(check_descriptors(u32::try_from(possible).unwrap(), 2, 1_024, 4_096).is_ok());
        assert!(check_descriptors(u32::try_from(possible).unwrap() + 1, 2, 1_024, 4_096).is_err());
    }
}
