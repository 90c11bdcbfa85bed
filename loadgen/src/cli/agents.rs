//! The flags of several machines: of the coordinator, and of an agent.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::Error;
use crate::options::{AgentNames, AgentSource, Agents, DialInAgents, Options, SshAgents};
use crate::wire::{Commands, Verify};

/// The agents of a run.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentsArgs {
    /// Load from several processes or machines, as one loader: local:N (processes of this machine),
    /// ssh://HOST,USER@HOST,... (starts 'loadgen agent' there), tcp://ADDR:PORT (agents dial in).
    /// Each drives its part of the --connections with --threads threads
    #[arg(long, value_name = "AGENTS")]
    pub(crate) agents: Option<AgentNames>,

    /// How many agents dial in (tcp://)
    #[arg(long, value_name = "N", requires = "agents")]
    pub(crate) expect: Option<u32>,

    /// How long to wait until all agents have dialled in
    #[arg(long, value_name = "D", default_value = "5m", requires = "agents")]
    pub(crate) agents_timeout: humantime::Duration,

    /// File with the secret that agents must know to dial in (tcp://)
    #[arg(long, value_name = "FILE", requires = "agents")]
    pub(crate) token_file: Option<PathBuf>,

    // No `requires`: the variables may be set for all runs.
    /// The program that logs in for ssh://, with its first arguments
    #[arg(long, value_name = "CMD", default_value = "ssh -o BatchMode=yes", env = "LOADGEN_SSH")]
    pub(crate) agents_ssh: String,

    /// The loadgen on the machines of ssh://, as their shell finds it
    #[arg(long, value_name = "PATH", default_value = "loadgen", env = "LOADGEN_AGENT_PROGRAM")]
    pub(crate) agents_program: String,
}

impl AgentsArgs {
    /// The agents, if there are some. They get the words of this program's command line.
    pub(super) fn agents(self) -> Result<Option<Agents>, Error> {
        let is_dial_in = matches!(self.agents, Some(AgentNames::DialIn(_)));
        for (flag, is_given) in
            [("--expect", self.expect.is_some()), ("--token-file", self.token_file.is_some())]
        {
            if is_given && !is_dial_in {
                return usage(format!("{flag} has no effect without --agents tcp://ADDR:PORT"));
            }
        }
        let Some(names) = self.agents else { return Ok(None) };
        let source = match names {
            AgentNames::Local(count) => AgentSource::Local(count),
            AgentNames::Ssh(hosts) => AgentSource::Ssh(SshAgents {
                hosts,
                ssh: shlex::split(&self.agents_ssh)
                    .filter(|words| !words.is_empty())
                    .ok_or_else(|| Error::Usage("--agents-ssh: name a program".to_owned()))?,
                program: self.agents_program,
            }),
            AgentNames::DialIn(address) => {
                let (Some(expect), Some(token_file)) = (self.expect, self.token_file) else {
                    return usage(
                        "--agents tcp://ADDR:PORT needs --expect N, the number of agents, and \
                         --token-file FILE, the secret that they know"
                            .to_owned(),
                    );
                };
                if !(1..=Agents::MAX).contains(&expect) {
                    return usage(format!("--expect must lie between 1 and {}", Agents::MAX));
                }
                AgentSource::DialIn(DialInAgents {
                    address,
                    expect,
                    token: token(&token_file)?,
                    within: *self.agents_timeout,
                })
            }
        };
        Ok(Some(Agents { source, words: words_for_agents()? }))
    }
}

/// The words after the program, for agents, which have another environment.
fn words_for_agents() -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    for word in env::args_os().skip(1) {
        words.push(word.into_string().map_err(|word| {
            Error::Usage(format!("--agents: '{}' is no text in UTF-8", word.display()))
        })?);
    }
    // The last of a repeated flag wins, so one on the command line does.
    if let Ok(credentials) = env::var("LOADGEN_AUTHENTICATE") {
        words.insert(1.min(words.len()), format!("--authenticate={credentials}"));
    }
    Ok(words)
}

/// The secret in a file.
pub(crate) fn token(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File {
        operation: "read the token (--token-file)",
        path: path.to_owned(),
        source,
    })?;
    match text.trim() {
        "" => usage(format!("--token-file {}: it is empty; write a secret", path.display())),
        token => Ok(token.to_owned()),
    }
}

/// Refuses what agents cannot do together.
pub(super) fn expect_possible(options: &Options) -> Result<(), Error> {
    let Some(key_value) = &options.traffic.key_value else { return Ok(()) };
    let is_mix = matches!(key_value.commands, Commands::Mix(_));
    if options.agents.is_some() && is_mix && options.traffic.verify == Verify::Full {
        return usage(
            "--agents: an agent knows only the writes of its own, so values cannot be verified; \
             add --verify none"
                .to_owned(),
        );
    }
    Ok(())
}

fn usage<T>(text: String) -> Result<T, Error> {
    Err(Error::Usage(text))
}

/// Help below the flags.
pub(super) const AGENT_HELP: &str = "\
An agent drives a part of the connections of a coordinator, which is a 'loadgen run --agents'. \
The coordinator starts it with ssh or on its own machine, and sends it the plan with all files. \
Without --connect it speaks with the coordinator over standard input and output. It ends when that \
stream ends.

With --connect it dials in. The token and the plan go over the network in clear text: use it only \
on a network that you trust, or use ssh://.

Example:
  loadgen run 10.0.0.7:7000 --rate 200k -c 2000 --agents tcp://0.0.0.0:7700 --expect 4 \\
      --token-file secret                                     the coordinator
  loadgen agent --connect 10.0.0.1:7700 --token-file secret   each of four agents";

/// The flags of `loadgen agent`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    /// Dial in to the coordinator that listens here
    #[arg(long, value_name = "ADDR:PORT", requires = "token_file")]
    pub(crate) connect: Option<String>,

    /// File with the secret that the coordinator wants to know
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub(crate) token_file: Option<PathBuf>,

    /// Its rank among the agents, from 0 [default: JOB_COMPLETION_INDEX, SLURM_PROCID,
    /// OMPI_COMM_WORLD_RANK or PMI_RANK of the environment, otherwise one that is free]
    #[arg(long, value_name = "N", requires = "connect")]
    pub(crate) rank: Option<u32>,

    /// How long to try to reach the coordinator
    #[arg(long, value_name = "D", default_value = "1m", requires = "connect")]
    pub(crate) connect_timeout: humantime::Duration,
}
