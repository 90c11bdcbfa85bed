//! How much memory the machine, the cgroup and the resource limits leave for buffers.

use std::fs;
use std::path::{Path, PathBuf};

use rlimit::Resource;

use crate::sys::malloc;

/// Where the kernel shows cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The default of the memory limit, in bytes: three quarters of the memory, or half of the address
/// space, that this process may use. The kernel's socket buffers and everything else need the rest.
/// The allocator reserves more addresses than it uses.
pub(in crate::server) fn default_limit() -> usize {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let memory = [physical_memory(), cgroup_limit(Path::new(CGROUPS), &cgroups)];
    let addresses =
        [resource_limit(Resource::AS, "VmSize"), resource_limit(Resource::DATA, "VmData")];
    let of_memory = memory.into_iter().flatten().map(|limit| limit / 4 * 3);
    let of_addresses = addresses.into_iter().flatten().map(|limit| limit / 2);
    of_memory.chain(of_addresses).min().unwrap_or(u64::MAX) as usize
}

/// Prepares the allocator for a limit of address space (`RLIMIT_AS`), if there is one: all threads
/// share one heap. Otherwise each thread reserves 64 MiB, and the process may abort for lack of
/// addresses although little memory is in use. A server does this at its start. A program that
/// starts threads before can call it first.
pub fn prepare_for_address_limit() {
    if resource_limit(Resource::AS, "VmSize").is_some() {
        malloc::share_one_heap();
    }
}

fn physical_memory() -> Option<u64> {
    let system = rustix::system::sysinfo();
    system.totalram.checked_mul(u64::from(system.mem_unit))
}

/// What a resource limit leaves beyond what the process uses already, as `/proc/self/status` names
/// it.
fn resource_limit(resource: Resource, used: &str) -> Option<u64> {
    let limit = resource.get_soft().ok().filter(|&limit| limit != rlimit::INFINITY)?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(used)?.strip_prefix(':'))?;
    let used_kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(limit.saturating_sub(used_kib * 1024))
}

/// The least limit of the process's cgroup and of those above it. `memberships` is the content of
/// `/proc/self/cgroup`, see cgroups(7).
fn cgroup_limit(root: &Path, memberships: &str) -> Option<u64> {
    let limits = memberships.lines().filter_map(|line| {
        let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let (hierarchy, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least_limit(&hierarchy, path, file)
    });
    limits.min()
}

/// The least number in the files of this name, from the cgroup at `path` up to its hierarchy. In a
/// container, `path` may not exist below the hierarchy, but the hierarchy is the container's own.
fn least_limit(hierarchy: &Path, path: &str, file: &str) -> Option<u64> {
    let cgroup: PathBuf = hierarchy.join(path.trim_start_matches('/'));
    let upwards = cgroup.ancestors().take_while(|ancestor| ancestor.starts_with(hierarchy));
    // Without a limit, the file has the word `max`.
    upwards
        .filter_map(|cgroup| fs::read_to_string(cgroup.join(file)).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, content: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn the_least_limit_of_a_cgroup_and_those_above_it_counts() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory.max", "max\n");
        write(root.path(), "a/memory.max", "4096\n");
        write(root.path(), "a/b/memory.max", "8192\n");
        write(root.path(), "other/memory.max", "1\n");
        let limit = |memberships| cgroup_limit(root.path(), memberships);
        assert_eq!(limit("0::/a/b\n"), Some(4096));
        assert_eq!(limit("0::/a/b/gone\n"), Some(4096));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit(""), None);
    }

    #[test]
    fn cgroups_of_version_1_have_a_limit_in_bytes() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/docker/memory.limit_in_bytes", "65536\n");
        write(root.path(), "cpu/docker/memory.limit_in_bytes", "1\n");
        let memberships = "4:cpu,cpuacct:/docker\n3:hugetlb,memory:/docker\n0::/docker\n";
        assert_eq!(cgroup_limit(root.path(), memberships), Some(65536));
    }

    #[test]
    fn the_default_is_below_the_memory_of_the_machine() {
        let all = physical_memory().unwrap();
        let default = default_limit() as u64;
        assert!(default > 0 && default <= all / 4 * 3, "{default} of {all}");
    }
}
