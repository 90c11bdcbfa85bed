//! The processors: their number, their frequency and wake-up, and the time that the hypervisor
//! stole from them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity};
use serde::{Deserialize, Serialize};

use super::file;

const CPU: &str = "/sys/devices/system/cpu";

/// The processors and their settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Processors {
    /// The processors that are online.
    pub(crate) online: Option<CpuList>,
    /// Cores of all sockets together.
    pub(crate) cores: Option<usize>,
    pub(crate) sockets: Option<usize>,
    /// NUMA nodes.
    pub(crate) numa_nodes: Option<usize>,
    /// Whether a core runs several threads at once.
    pub(crate) smt: Option<bool>,
    /// The frequency governor: "performance", "schedutil", ...
    pub(crate) governor: Option<String>,
    /// Whether the frequency may rise above the nominal one.
    pub(crate) turbo: Option<bool>,
    /// The idle governor, which chooses the idle states.
    pub(crate) idle_driver: Option<String>,
    /// Longest wake-up time of the enabled idle states, in microseconds.
    pub(crate) idle_exit_us_max: Option<u64>,
    /// Whether this is a virtual machine.
    pub(crate) hypervisor: Option<bool>,
    /// The manufacturer of the machine, or the hypervisor's name.
    pub(crate) machine: Option<String>,
}

impl Processors {
    /// Reads them, with the text of `/proc/cpuinfo`.
    pub(super) fn capture(cpu_info: &str) -> Self {
        let nodes = file::value::<CpuList>("/sys/devices/system/node/online");
        Self {
            online: file::value(&format!("{CPU}/online")),
            cores: cores(cpu_info),
            sockets: sockets(cpu_info),
            numa_nodes: nodes.map(|nodes| nodes.len()),
            smt: file::value::<u8>(&format!("{CPU}/smt/active")).map(|active| active == 1),
            governor: file::text(&format!("{CPU}/cpu0/cpufreq/scaling_governor")),
            turbo: turbo(),
            idle_driver: file::text(&format!("{CPU}/cpuidle/current_driver")),
            idle_exit_us_max: idle_exit_us_max(),
            hypervisor: hypervisor(cpu_info),
            machine: file::text("/sys/class/dmi/id/sys_vendor")
                .or_else(|| file::text("/sys/hypervisor/type")),
        }
    }
}

/// The model's name, on x86; other architectures report none.
pub(super) fn model(cpu_info: &str) -> Option<String> {
    values(cpu_info, "model name").next().map(str::to_owned)
}

fn turbo() -> Option<bool> {
    let boost = file::value::<u8>(&format!("{CPU}/cpufreq/boost")).map(|boost| boost == 1);
    let off = || file::value::<u8>(&format!("{CPU}/intel_pstate/no_turbo")).map(|off| off == 0);
    boost.or_else(off)
}

fn idle_exit_us_max() -> Option<u64> {
    // Linux has at most ten states a processor.
    let state = |state: u32| {
        let folder = format!("{CPU}/cpu0/cpuidle/state{state}");
        let disabled = file::value::<u8>(&format!("{folder}/disable"))? == 1;
        let exit_us = file::value::<u64>(&format!("{folder}/latency"))?;
        Some(if disabled { 0 } else { exit_us })
    };
    (0..10).map_while(state).max()
}

/// The number of cores that the processors belong to.
fn cores(cpu_info: &str) -> Option<usize> {
    let mut cores: Vec<(&str, &str)> =
        values(cpu_info, "physical id").zip(values(cpu_info, "core id")).collect();
    cores.sort_unstable();
    cores.dedup();
    Some(cores.len()).filter(|&count| count > 0)
}

fn sockets(cpu_info: &str) -> Option<usize> {
    let mut sockets: Vec<&str> = values(cpu_info, "physical id").collect();
    sockets.sort_unstable();
    sockets.dedup();
    Some(sockets.len()).filter(|&count| count > 0)
}

/// Whether the processor reports a hypervisor; only x86 does.
fn hypervisor(cpu_info: &str) -> Option<bool> {
    let flags = values(cpu_info, "flags").next()?;
    Some(flags.split(' ').any(|flag| flag == "hypervisor"))
}

/// The values of the lines with this name.
fn values<'a>(cpu_info: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    cpu_info.lines().filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        (key.trim_end() == name).then(|| value.trim())
    })
}

/// Largest accepted number of a processor; no machine has as many.
const CPUS_MAX: usize = 8_192;

/// A set of processors, as the kernel writes it: "0-3,8".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct CpuList(BTreeSet<usize>);

impl CpuList {
    /// The processors that this process may use.
    pub(crate) fn of_this_process() -> Option<Self> {
        let set = sched_getaffinity(None).ok()?;
        Some((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }

    /// Whether this processor is in the set.
    pub(crate) fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether both contain a processor.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Whether every processor of `other` is in this set.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }
}

impl FromIterator<usize> for CpuList {
    fn from_iter<T: IntoIterator<Item = usize>>(cpus: T) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| word.trim().parse::<usize>().ok().filter(|&cpu| cpu < CPUS_MAX);
        let mut cpus = BTreeSet::new();
        for word in text.trim().split(',').filter(|word| !word.is_empty()) {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => return Err(format!("'{word}' is no processor")),
            }
        }
        Ok(Self(cpus))
    }
}

impl TryFrom<String> for CpuList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CpuList> for String {
    fn from(list: CpuList) -> Self {
        list.to_string()
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for cpu in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        let words = ranges.into_iter().map(|(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        });
        formatter.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

/// Stolen time: the time that the hypervisor gave to other machines although this one had work. In
/// ticks since the machine started, over all processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steal {
    stolen: u64,
    /// User, nice, system, idle, I/O wait, interrupts and stolen time; user includes guests.
    all: u64,
}

impl Steal {
    /// The current value; nothing where the kernel does not report it.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&file::text("/proc/stat")?)
    }

    /// The share of all processors' time that was stolen since `earlier`.
    pub(crate) fn share_since(&self, earlier: &Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|&all| all > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64)
    }

    /// The share of all processors' time that was stolen since the machine started.
    pub(crate) fn share(&self) -> Option<f64> {
        self.share_since(&Self { stolen: 0, all: 0 })
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> =
            line.split_whitespace().map_while(|word| word.parse().ok()).take(8).collect();
        Some(Self { stolen: *ticks.get(7)?, all: ticks.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU_INFO: &str = "\
processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nphysical id\t: 0\ncore id\t\t: 0\n\
flags\t\t: fpu vme hypervisor\n\n\
processor\t: 1\nmodel name\t: other\nphysical id\t: 0\ncore id\t\t: 0\n\n\
processor\t: 2\nmodel name\t: other\nphysical id\t: 1\ncore id\t\t: 0\n";

    #[test]
    fn the_cpu_model_is_the_first_model_name() {
        assert_eq!(model(CPU_INFO).as_deref(), Some("Fast CPU @ 3 GHz"));
        assert_eq!(model("processor : 0\n"), None);
    }

    #[test]
    fn two_threads_of_a_core_are_one_core() {
        assert_eq!((cores(CPU_INFO), sockets(CPU_INFO)), (Some(2), Some(2)));
        assert_eq!((cores(""), sockets("")), (None, None));
    }

    #[test]
    fn a_virtual_machine_is_recognized_by_its_flag() {
        assert_eq!(hypervisor(CPU_INFO), Some(true));
        assert_eq!(hypervisor("flags : fpu hypervisors"), Some(false));
        assert_eq!(hypervisor("Features : fp asimd"), None);
    }

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_print_as_the_kernel_writes_them() {
        for text in ["0", "0-3", "0-1,4,6-9", ""] {
            assert_eq!(list(text).to_string(), text);
        }
        assert_eq!(list("3,1,2\n").to_string(), "1-3");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["a", "3-1", "1-", "99999999"] {
            assert!(text.parse::<CpuList>().is_err(), "{text}");
        }
    }

    #[test]
    fn sets_overlap_where_they_have_one_in_common() {
        assert!(list("0-3").overlaps(&list("3-5")));
        assert!(!list("0-2").overlaps(&list("3-5")));
        assert!(list("0-3").covers(&list("1,3")) && !list("0-3").covers(&list("3-4")));
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(CpuList::of_this_process().unwrap().len() > 0);
    }

    const STAT: &str = "cpu  100 0 50 800 0 0 10 40 7 7\ncpu0 1 1 1 1 1 1 1 1 0 0\n";

    #[test]
    fn the_share_is_of_all_time_that_passed() {
        let early = Steal::parse(STAT).unwrap();
        assert_eq!(early, Steal { stolen: 40, all: 1_000 });
        let late = Steal { stolen: 60, all: 1_100 };
        assert_eq!(late.share_since(&early), Some(0.2));
        assert_eq!(early.share(), Some(0.04));
    }

    #[test]
    fn no_time_has_no_share() {
        let now = Steal::parse(STAT).unwrap();
        assert_eq!(now.share_since(&now), None);
        assert_eq!(Steal::parse("cpu  1 2 3\n"), None);
        assert_eq!(Steal::parse("intr 5\n"), None);
    }
}
