//! Whether loader and server share processors.

use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};

use serde::{Deserialize, Serialize};

use super::{CpuList, file};
use crate::options::Target;

/// How loader and server share machines and processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Sharing {
    #[serde(rename = "separate machines")]
    SeparateMachines,
    /// On one machine, on different cores: they share memory and caches.
    #[serde(rename = "same machine, separate processors")]
    SeparateProcessors,
    /// They share processors: the work of one delays the other.
    #[serde(rename = "shared processors")]
    SharedProcessors,
}

impl Sharing {
    /// Whether they share processors, so that every output must say so.
    pub(crate) fn is_co_located(self) -> bool {
        self == Self::SharedProcessors
    }
}

/// The sharing as far as it is known before the server runs.
pub(super) fn of(target: &Target, loader: Option<&CpuList>) -> Option<Sharing> {
    if !is_local(target)? {
        return Some(Sharing::SeparateMachines);
    }
    // A loader that may run on all processors may run on those of the server.
    let online = file::value::<CpuList>("/sys/devices/system/cpu/online")?;
    loader?.covers(&online).then_some(Sharing::SharedProcessors)
}

/// The sharing of two processes on one machine. The two threads of a core count as one processor.
pub(super) fn on_one_machine(loader: &CpuList, server: &CpuList) -> Sharing {
    let siblings = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        file::value::<CpuList>(&path).unwrap_or_else(|| [cpu].into_iter().collect())
    };
    if loader.iter().any(|cpu| siblings(cpu).overlaps(server)) || loader.overlaps(server) {
        Sharing::SharedProcessors
    } else {
        Sharing::SeparateProcessors
    }
}

/// Whether the target is on this machine; nothing if its name has no address.
fn is_local(target: &Target) -> Option<bool> {
    match target {
        Target::Unix(_) => Some(true),
        Target::Tcp(text) => text.to_socket_addrs().ok()?.next().map(|to| is_own(to.ip())),
    }
}

/// Whether the address is one of this machine's. Only then can a socket be bound to it.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || TcpListener::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharing(target: &str, loader: &str) -> Option<Sharing> {
        let target = match target.strip_prefix("unix:") {
            Some(path) => Target::Unix(path.into()),
            None => Target::Tcp(target.to_owned()),
        };
        of(&target, Some(&loader.parse().unwrap()))
    }

    #[test]
    fn a_target_elsewhere_shares_nothing() {
        // From the block reserved for documentation (RFC 5737): no machine has this address.
        assert_eq!(sharing("192.0.2.1:80", "0-8191"), Some(Sharing::SeparateMachines));
    }

    #[test]
    fn a_loader_that_may_run_everywhere_shares_with_a_local_server() {
        for target in ["127.0.0.1:80", "unix:/run/a.sock", "127.3.2.1:80"] {
            assert_eq!(sharing(target, "0-8191"), Some(Sharing::SharedProcessors), "{target}");
        }
    }

    #[test]
    fn where_a_local_server_runs_is_not_known_beforehand() {
        assert_eq!(sharing("127.0.0.1:80", "8000"), None);
    }
}
