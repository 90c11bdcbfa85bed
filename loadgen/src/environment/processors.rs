//! The processors, and what slows them down or delays their wake-up.

use serde::{Deserialize, Serialize};

use super::{CpuList, file};

const CPU: &str = "/sys/devices/system/cpu";

/// The processors and how they are run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Processors {
    /// Those online.
    pub(crate) online: Option<CpuList>,
    /// Cores of all sockets together.
    pub(crate) cores: Option<usize>,
    pub(crate) sockets: Option<usize>,
    /// Nodes of memory.
    pub(crate) numa_nodes: Option<usize>,
    /// Whether a core runs several threads at once.
    pub(crate) smt: Option<bool>,
    /// Who chooses the frequency: "performance", "schedutil", ...
    pub(crate) governor: Option<String>,
    /// Whether the frequency may rise above the nominal one.
    pub(crate) turbo: Option<bool>,
    /// Who chooses how deep an idle processor sleeps.
    pub(crate) idle_driver: Option<String>,
    /// Longest time in microseconds that the enabled idle states take to wake up from.
    pub(crate) idle_exit_us_max: Option<u64>,
    /// Whether this is a virtual machine.
    pub(crate) hypervisor: Option<bool>,
    /// Who made the machine, or the hypervisor's name.
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

/// How many different cores the processors belong to.
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

/// The processor's own word for it; only x86 has it.
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
}
