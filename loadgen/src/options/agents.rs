//! The agents of a run: where they are, and how they come to the coordinator.

use std::str::FromStr;
use std::time::Duration;

/// Most agents of a run.
const AGENTS_MAX: u32 = 1_024;

/// The agents of a run, and the plan that they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agents {
    pub(crate) source: AgentSource,
    /// The command line after the program, which each agent reads as its own.
    pub(crate) words: Vec<String>,
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
    pub(crate) expect: u32,
    pub(crate) token: String,
    /// How long to wait for all of them.
    pub(crate) within: Duration,
}

/// Agents as `--agents` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentNames {
    Local(u32),
    Ssh(Vec<String>),
    DialIn(String),
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
        match text.strip_prefix("tcp://") {
            Some(address) if !address.is_empty() => Ok(Self::DialIn(address.to_owned())),
            _ => Err(format!(
                "'{text}' names no agents; write local:N, ssh://HOST,HOST or tcp://ADDR:PORT"
            )),
        }
    }
}

impl Agents {
    /// Most agents that may be expected.
    pub(crate) const MAX: u32 = AGENTS_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_processes_hosts_or_an_address_to_dial() {
        let read = |text: &str| text.parse::<AgentNames>();
        assert_eq!(read("local:3"), Ok(AgentNames::Local(3)));
        let hosts = vec!["a".to_owned(), "u@b.example:22".to_owned()];
        assert_eq!(read("ssh://a,u@b.example:22"), Ok(AgentNames::Ssh(hosts)));
        assert_eq!(read("tcp://0.0.0.0:70"), Ok(AgentNames::DialIn("0.0.0.0:70".to_owned())));
        for (wrong, said) in [
            ("local:0", "a number of agents from 1"),
            ("local:", "a number of agents from 1"),
            ("ssh://", "'' is no host"),
            ("ssh://a,,b", "'' is no host"),
            ("ssh://-oProxyCommand=x", "is no host"),
            ("ssh://a b", "'a b' is no host"),
            ("tcp://", "names no agents"),
            ("3", "write local:N, ssh://HOST,HOST or tcp://ADDR:PORT"),
        ] {
            assert!(read(wrong).unwrap_err().contains(said), "{wrong}: {:?}", read(wrong));
        }
    }
}
