//! The settings and limits of the kernel that affect latencies or the load.

use std::collections::BTreeMap;

use rlimit::Resource;
use serde::{Deserialize, Serialize};

use super::{Steal, file};

/// Settings for queues and ports of connections.
const SYSCTLS: [&str; 8] = [
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.core.busy_poll",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.ip_local_port_range",
    "kernel.sched_autogroup_enabled",
];

/// Prefixes of the kernel's boot parameters that affect speed or latency. The record leaves the
/// others out, as they may be private.
const BOOT_WORDS: [&str; 12] = [
    "mitigations=",
    "spectre",
    "isolcpus=",
    "nohz",
    "rcu_nocbs=",
    "idle=",
    "intel_idle.",
    "processor.max_cstate",
    "intel_pstate=",
    "amd_pstate=",
    "nosmt",
    "preempt=",
];

/// The kernel and its settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct System {
    /// Boot parameters that affect speed or latency.
    pub(crate) boot_options: Option<Vec<String>>,
    /// Processor flaws that are mitigated, by the kernel's names, and how.
    pub(crate) mitigations: Option<BTreeMap<String, String>>,
    /// Transparent huge pages: "always", "madvise", "never".
    pub(crate) transparent_huge_pages: Option<String>,
    /// Randomness of addresses: 0 none, 1 some, 2 full.
    pub(crate) address_randomization: Option<u8>,
    /// Settings of the network, by their names; null where the kernel has none of that name.
    pub(crate) sysctls: BTreeMap<String, Option<String>>,
    /// Limit of open files of this process (soft).
    pub(crate) open_files_soft: Option<u64>,
    /// Limit up to which it can raise the soft one (hard).
    pub(crate) open_files_hard: Option<u64>,
    /// Quota of the control group in processors; null without a limit.
    pub(crate) cgroup_cpu_quota: Option<f64>,
    /// Mean number of tasks that wanted a processor during the last minute.
    pub(crate) load_average_1m: Option<f64>,
    /// Share of all processors' time that was stolen since the machine started.
    pub(crate) steal_share_since_boot: Option<f64>,
}

impl System {
    /// Reads it.
    pub(super) fn capture() -> Self {
        let limits = Resource::NOFILE.get().ok();
        let huge_pages = file::text("/sys/kernel/mm/transparent_hugepage/enabled");
        let load = file::text("/proc/loadavg");
        Self {
            boot_options: file::text("/proc/cmdline").map(|text| boot_options(&text)),
            mitigations: mitigations(),
            transparent_huge_pages: huge_pages.and_then(|t| file::chosen(&t).map(str::to_owned)),
            address_randomization: file::value("/proc/sys/kernel/randomize_va_space"),
            sysctls: SYSCTLS.map(|name| (name.to_owned(), sysctl(name))).into(),
            open_files_soft: limits.map(|(soft, _)| soft),
            open_files_hard: limits.map(|(_, hard)| hard),
            cgroup_cpu_quota: cgroup_quota(),
            load_average_1m: load.and_then(|text| text.split(' ').next()?.parse().ok()),
            steal_share_since_boot: Steal::now().and_then(|steal| steal.share()),
        }
    }

    /// Number of local ports for connections to one address.
    pub(crate) fn local_ports(&self) -> Option<u32> {
        let range = self.sysctls.get("net.ipv4.ip_local_port_range")?.as_ref()?;
        let mut bounds = range.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (low, high) = (bounds.next()??, bounds.next()??);
        Some(high.checked_sub(low)? + 1)
    }
}

fn sysctl(name: &str) -> Option<String> {
    let text = file::text(&format!("/proc/sys/{}", name.replace('.', "/")))?;
    Some(text.replace('\t', " "))
}

fn boot_options(command_line: &str) -> Vec<String> {
    let words = command_line.split_whitespace();
    let known = words.filter(|word| BOOT_WORDS.iter().any(|begin| word.starts_with(begin)));
    known.map(str::to_owned).collect()
}

fn mitigations() -> Option<BTreeMap<String, String>> {
    let folder = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities").ok()?;
    let flaws = folder.flatten().filter_map(|entry| {
        let how = file::text(entry.path().to_str()?)?;
        (how != "Not affected").then(|| (entry.file_name().to_string_lossy().into_owned(), how))
    });
    Some(flaws.collect())
}

/// The quota of the control group: of version 2, or else of version 1.
fn cgroup_quota() -> Option<f64> {
    let groups = file::text("/proc/self/cgroup")?;
    if let Some(path) = group(&groups, "")
        && let Some(text) = file::text(&format!("/sys/fs/cgroup{path}/cpu.max"))
    {
        return quota(&text);
    }
    let folder = format!("/sys/fs/cgroup/cpu{}", group(&groups, "cpu")?);
    let read = |name: &str| file::text(&format!("{folder}/cpu.cfs_{name}_us"));
    quota(&format!("{} {}", read("quota")?, read("period")?))
}

/// The path of a controller's group in `/proc/PID/cgroup`. Version 2 has no controller names.
fn group<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// The quota of "150000 100000", microseconds of processor time in a period; "max" is none.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>().ok());
    let (quota, period) = (numbers.next()??, numbers.next()??);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_boot_options_that_matter_are_reported() {
        let line =
            "BOOT_IMAGE=/vmlinuz root=UUID=1 mitigations=auto quiet isolcpus=2-3 nohz_full=2";
        assert_eq!(boot_options(line), ["mitigations=auto", "isolcpus=2-3", "nohz_full=2"]);
    }

    #[test]
    fn a_quota_is_a_number_of_processors() {
        assert_eq!(quota("150000 100000"), Some(1.5));
        assert_eq!(quota("max 100000"), None);
        assert_eq!(quota("-1 100000"), None);
        assert_eq!(quota(""), None);
    }

    #[test]
    fn the_group_is_found_in_both_versions() {
        let groups = "3:cpu,cpuacct:/a/b\n2:cpuset:/\n0::/user.slice\n";
        assert_eq!(group(groups, "cpu"), Some("/a/b"));
        assert_eq!(group(groups, ""), Some("/user.slice"));
        assert_eq!(group("2:cpuset:/\n", "cpu"), None);
    }

    #[test]
    fn the_port_range_counts_both_ends() {
        let with = |range: Option<&str>| System {
            sysctls: [("net.ipv4.ip_local_port_range".to_owned(), range.map(str::to_owned))].into(),
            ..System::default()
        };
        assert_eq!(with(Some("32768 60999")).local_ports(), Some(28_232));
        assert_eq!(with(Some("rubbish")).local_ports(), None);
        assert_eq!(with(None).local_ports(), None);
    }
}
