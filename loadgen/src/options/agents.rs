//! The agents of a command: where they are, how they come to the coordinator, and what they get.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Options;
use crate::schedule::RateProfile;

/// Most agents of a command.
const AGENTS_MAX: u32 = 1_024;

/// The agents of a command, and the load that they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agents {
    pub(crate) source: AgentSource,
    /// The load as the command line after `loadgen run`.
    pub(crate) words: Vec<String>,
}

impl Agents {
    /// Most agents that may be expected.
    pub(crate) const MAX: u32 = AGENTS_MAX;

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        match &self.source {
            AgentSource::Local(count) => *count,
            AgentSource::Ssh(agents) => agents.hosts.len() as u32,
            AgentSource::DialIn(agents) => agents.expect,
        }
    }

    /// The command line, after the program, of a run with these options, which differ from the
    /// words in what a command changes from run to run. The last of a repeated flag wins.
    pub(crate) fn command_line(&self, options: &Options) -> Vec<String> {
        let mut line = vec!["run".to_owned()];
        line.extend(self.words.iter().cloned());
        line.push(format!("--seed={}", options.seed));
        line.push(format!("--duration={}ns", options.duration.as_nanos()));
        line.push(format!("--interval={}ns", options.interval.as_nanos()));
        if let Some(RateProfile::Flat(rate)) = options.load.open().map(|open| &open.profile) {
            line.push(format!("--rate={}", rate.get()));
        }
        line
    }
}

/// How agents come to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentSource {
    /// So many processes of this machine.
    Local(u32),
    Ssh(SshAgents),
    DialIn(DialInAgents),
}

/// Agents that the coordinator starts on other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshAgents {
    /// `[USER@]HOST[:PORT]`
    pub(crate) hosts: Vec<String>,
    /// The program that logs in, with its first arguments.
    pub(crate) ssh: Vec<String>,
    /// The program that it starts there.
    pub(crate) program: String,
}

/// Agents that connect to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialInAgents {
    /// Where the coordinator listens.
    pub(crate) address: String,
    pub(crate) over_tls: bool,
    pub(crate) expect: u32,
    /// What both sides know, and none sends.
    pub(crate) token: String,
    /// How long to wait for all of them.
    pub(crate) within: Duration,
}

/// How an agent dials in to its coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialOut {
    pub(crate) to: CoordinatorAddress,
    pub(crate) token: String,
    /// The rank that it wants; nothing for one that is free.
    pub(crate) rank: Option<u32>,
    /// How long to try to reach the coordinator.
    pub(crate) within: Duration,
}

/// Where a coordinator listens: `[tls://|tcp://]HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoordinatorAddress {
    pub(crate) address: String,
    pub(crate) over_tls: bool,
}

impl FromStr for CoordinatorAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, over_tls) = match text.strip_prefix("tls://") {
            Some(address) => (address, true),
            None => (text.strip_prefix("tcp://").unwrap_or(text), false),
        };
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
            Some(1..) => Ok(Self { address: address.to_owned(), over_tls }),
            _ => Err(format!(
                "'{text}' is no address of a coordinator; write tls://HOST:PORT or tcp://HOST:PORT"
            )),
        }
    }
}

impl fmt::Display for CoordinatorAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.over_tls { "tls" } else { "tcp" };
        write!(formatter, "{scheme}://{}", self.address)
    }
}

/// Agents as `--agents` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentNames {
    Local(u32),
    Ssh(Vec<String>),
    DialIn { address: String, over_tls: bool },
}

impl FromStr for AgentNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(count) = text.strip_prefix("local:") {
            let count = count.parse().ok().filter(|count| (1..=AGENTS_MAX).contains(count));
            return count.map(Self::Local).ok_or_else(|| {
                format!("'{text}': write local:N with a number of agents from 1 to {AGENTS_MAX}")
            });
        }
        if let Some(hosts) = text.strip_prefix("ssh://") {
            let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
            let is_name = |host: &String| {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_@:[]".contains(c);
                !host.is_empty() && !host.starts_with('-') && host.chars().all(is_plain)
            };
            return match hosts.iter().find(|host| !is_name(host)) {
                None => Ok(Self::Ssh(hosts)),
                Some(wrong) => Err(format!("'{wrong}' is no host; write ssh://[USER@]HOST,...")),
            };
        }
        let address = |scheme| text.strip_prefix(scheme).filter(|address| !address.is_empty());
        match (address("tls://"), address("tcp://")) {
            (Some(address), _) => Ok(Self::DialIn { address: address.to_owned(), over_tls: true }),
            (_, Some(address)) => Ok(Self::DialIn { address: address.to_owned(), over_tls: false }),
            _ => Err(format!(
                "'{text}' names no agents; write local:N, ssh://HOST,HOST, tls://ADDR:PORT or \
                 tcp://ADDR:PORT"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_without_a_scheme_is_in_plain_text() {
        let read = |text: &str| text.parse::<CoordinatorAddress>().map(|to| to.to_string());
        for (given, shown) in [
            ("host:70", "tcp://host:70"),
            ("tcp://[::1]:70", "tcp://[::1]:70"),
            ("tls://host:70", "tls://host:70"),
        ] {
            assert_eq!(read(given).as_deref(), Ok(shown));
        }
        for wrong in ["host", ":70", "host:0", "tls://", "tls://host", "ssh://host:70x"] {
            assert!(read(wrong).unwrap_err().contains("write tls://HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn agents_are_processes_hosts_or_an_address_to_dial() {
        let read = |text: &str| text.parse::<AgentNames>();
        assert_eq!(read("local:3"), Ok(AgentNames::Local(3)));
        let hosts = vec!["a".to_owned(), "u@b.example:22".to_owned()];
        assert_eq!(read("ssh://a,u@b.example:22"), Ok(AgentNames::Ssh(hosts)));
        for (text, over_tls) in [("tcp://0.0.0.0:70", false), ("tls://0.0.0.0:70", true)] {
            let address = "0.0.0.0:70".to_owned();
            assert_eq!(read(text), Ok(AgentNames::DialIn { address, over_tls }));
        }
        for (wrong, said) in [
            ("local:0", "a number of agents from 1"),
            ("local:", "a number of agents from 1"),
            ("ssh://", "'' is no host"),
            ("ssh://a,,b", "'' is no host"),
            ("ssh://-oProxyCommand=x", "is no host"),
            ("ssh://a b", "'a b' is no host"),
            ("tcp://", "names no agents"),
            ("tls://", "names no agents"),
            ("3", "write local:N, ssh://HOST,HOST, tls://ADDR:PORT or tcp://ADDR:PORT"),
        ] {
            assert!(read(wrong).unwrap_err().contains(said), "{wrong}: {:?}", read(wrong));
        }
    }
}
