//! The flags of several machines: of the coordinator, and of an agent.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command};

use crate::error::Error;
use crate::options::{
    AgentNames, AgentSource, Agents, CoordinatorAddress, DialInAgents, SshAgents,
};
use crate::units::counted;
use crate::wire::{Commands, TrafficSpec, Verify};

/// The agents of a command.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentsArgs {
    /// Load from several processes or machines, as one loader: local:N (processes of this machine),
    /// ssh://HOST,USER@HOST,... (starts 'loadgen agent' there), tls://ADDR:PORT or tcp://ADDR:PORT
    /// (agents dial in). Each drives its part of the --connections with --threads threads
    #[arg(long, value_name = "AGENTS")]
    pub(crate) agents: Option<AgentNames>,

    /// How many agents dial in (tls://, tcp://)
    #[arg(long, value_name = "N", requires = "agents")]
    pub(crate) expect: Option<u32>,

    /// How long to wait until all agents have dialled in (tls://, tcp://) [default: 5m]
    #[arg(long, value_name = "D", requires = "agents")]
    pub(crate) agents_timeout: Option<humantime::Duration>,

    /// File with the secret that the agents that dial in share with this command (tls://, tcp://)
    #[arg(long, value_name = "FILE", requires = "agents")]
    pub(crate) token_file: Option<PathBuf>,

    /// The program that logs in for ssh://, with its first arguments [env: LOADGEN_SSH] [default:
    /// ssh -o BatchMode=yes]
    #[arg(long, value_name = "CMD", requires = "agents")]
    pub(crate) agents_ssh: Option<String>,

    /// The loadgen on the machines of ssh://, as their shell finds it [env: LOADGEN_AGENT_PROGRAM]
    /// [default: loadgen]
    #[arg(long, value_name = "PATH", requires = "agents")]
    pub(crate) agents_program: Option<String>,
}

/// The values of flags and variables that are not given.
const AGENTS_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const AGENTS_SSH: &str = "ssh -o BatchMode=yes";
const AGENTS_PROGRAM: &str = "loadgen";

impl AgentsArgs {
    /// Whether this is the long name of one of these flags.
    pub(crate) fn has_flag(name: &str) -> bool {
        let flags = Self::augment_args(Command::new(""));
        flags.get_arguments().any(|flag| flag.get_long() == Some(name))
    }

    /// The agents, if there are some. They get the words that `words` returns.
    pub(super) fn agents(
        self,
        words: impl FnOnce() -> Result<Vec<String>, Error>,
    ) -> Result<Option<Agents>, Error> {
        let Some(names) = &self.agents else { return Ok(None) };
        self.expect_of_use(names)?;
        let source = match names {
            AgentNames::Local(count) => AgentSource::Local(*count),
            AgentNames::Ssh(hosts) => AgentSource::Ssh(self.ssh(hosts.clone())?),
            AgentNames::DialIn { address, over_tls } => {
                AgentSource::DialIn(self.dial_in(address.clone(), *over_tls)?)
            }
        };
        Ok(Some(Agents { source, words: words()? }))
    }

    /// Refuses flags that are about other agents. The variables may be set for all commands.
    fn expect_of_use(&self, names: &AgentNames) -> Result<(), Error> {
        let is_dial_in = matches!(names, AgentNames::DialIn { .. });
        let is_ssh = matches!(names, AgentNames::Ssh(_));
        let (dial_in, ssh) = ("tls://ADDR:PORT or tcp://ADDR:PORT", "ssh://HOST,...");
        for (flag, is_given, is_of_use, kind) in [
            ("--expect", self.expect.is_some(), is_dial_in, dial_in),
            ("--token-file", self.token_file.is_some(), is_dial_in, dial_in),
            ("--agents-timeout", self.agents_timeout.is_some(), is_dial_in, dial_in),
            ("--agents-ssh", self.agents_ssh.is_some(), is_ssh, ssh),
            ("--agents-program", self.agents_program.is_some(), is_ssh, ssh),
        ] {
            if is_given && !is_of_use {
                return usage(format!(
                    "{flag} has no effect without --agents {kind}; leave it out"
                ));
            }
        }
        Ok(())
    }

    fn ssh(&self, hosts: Vec<String>) -> Result<SshAgents, Error> {
        let given = |flag: &Option<String>, variable, default: &str| {
            flag.clone().or_else(|| env::var(variable).ok()).unwrap_or_else(|| default.to_owned())
        };
        let ssh = given(&self.agents_ssh, "LOADGEN_SSH", AGENTS_SSH);
        let ssh = shlex::split(&ssh).filter(|words| !words.is_empty()).ok_or_else(|| {
            Error::Usage("--agents-ssh: name a program, and close each quote".to_owned())
        })?;
        let program = given(&self.agents_program, "LOADGEN_AGENT_PROGRAM", AGENTS_PROGRAM);
        Ok(SshAgents { hosts, ssh, program })
    }

    fn dial_in(&self, address: String, over_tls: bool) -> Result<DialInAgents, Error> {
        let (Some(expect), Some(token_file)) = (self.expect, &self.token_file) else {
            return usage(
                "--agents tls://ADDR:PORT and tcp://ADDR:PORT need --expect N, the number of \
                 agents, and --token-file FILE, the secret that they share with this command"
                    .to_owned(),
            );
        };
        if !(1..=Agents::MAX).contains(&expect) {
            return usage(format!("--expect must lie between 1 and {}", Agents::MAX));
        }
        let within = self.agents_timeout.map_or(AGENTS_TIMEOUT, |within| *within);
        Ok(DialInAgents { address, over_tls, expect, token: token(token_file)?, within })
    }
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
pub(super) fn expect_possible(
    agents: Option<&Agents>,
    connections: u32,
    traffic: &TrafficSpec,
) -> Result<(), Error> {
    let Some(count) = agents.map(Agents::count) else { return Ok(()) };
    if count > connections {
        return usage(format!(
            "--agents: {count} agents for {}; each needs one (--connections)",
            counted(connections.into(), "connection")
        ));
    }
    let key_value = traffic.key_value.as_ref();
    let is_mix = key_value.is_some_and(|spec| matches!(spec.commands, Commands::Mix(_)));
    if is_mix && traffic.verify == Verify::Full {
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
An agent drives a part of the connections of a coordinator, which is a 'loadgen run', search, \
sweep or ab with --agents. The coordinator starts it with ssh or on its own machine, and sends it \
the plan with all files. Without --connect it speaks with the coordinator over standard input and \
output.

With --connect it dials in. Both sides prove that they know the token, which is never sent. Over \
tls:// no one can read or change what they send. Over tcp:// the plan goes in clear text, with all \
its files and passwords: use it only on a network that you trust.

Exit codes:
  0 the coordinator has ended the agent, whatever it found    1 the coordinator has gone, or \
refuses the agent    64 usage    130 a signal ended the agent itself

Example:
  loadgen run 10.0.0.7:7000 --rate 200k -c 2000 --agents tls://0.0.0.0:7700 --expect 4 \\
      --token-file secret                                           the coordinator
  loadgen agent --connect tls://10.0.0.1:7700 --token-file secret   each of four agents";

/// The flags of `loadgen agent`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    /// Dial in to the coordinator that listens here: tls://HOST:PORT or tcp://HOST:PORT, as its
    /// --agents says; without a scheme it is tcp://
    #[arg(long, value_name = "ADDR", requires = "token_file")]
    pub(crate) connect: Option<CoordinatorAddress>,

    /// File with the secret that this agent shares with the coordinator
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

#[cfg(test)]
mod tests {
    use super::super::options_from_flags::tests::{options, refusal};
    use super::super::{Command, Invocation, load::LoadArgs, load::SloArgs, parse};
    use super::*;
    use crate::options::{Options, OutputOptions};

    /// The load of a command with these flags; quotes keep words together.
    fn load(line: &str) -> Options {
        let words = shlex::split(&format!("loadgen {line}")).unwrap();
        let (mut load, target): (LoadArgs, _) = match parse(words).unwrap() {
            Invocation::Do(Command::Run(args)) => (args.load, None),
            Invocation::Do(Command::Search(args)) => (args.load, None),
            Invocation::Do(Command::Sweep(args)) => (args.load, None),
            Invocation::Do(Command::Ab(args)) => (args.load, args.b_target),
            other => panic!("unexpected: {other:?}"),
        };
        load.target = target.unwrap_or(load.target);
        Options::new(load, SloArgs { slo: Vec::new() }).unwrap()
    }

    /// Fails unless an agent reads the options of its coordinator.
    #[track_caller]
    fn expect_same_load(coordinator: &Options) {
        let line = coordinator.agents.as_ref().unwrap().command_line(coordinator);
        let words = ["loadgen".to_owned()].into_iter().chain(line.iter().cloned());
        let Invocation::Do(Command::Run(args)) = parse(words).unwrap() else {
            panic!("unexpected: {line:?}");
        };
        let agent = Options::try_from(*args).unwrap();
        assert!(agent.agents.is_none(), "{line:?}");
        let of_load = |options: &Options| Options {
            agents: None,
            output: OutputOptions::default(),
            slo: Vec::new(),
            runs: 1,
            ..options.clone()
        };
        assert_eq!(of_load(&agent), of_load(coordinator), "{line:?}");
    }

    #[test]
    fn an_agent_reads_the_load_of_each_command_from_its_words() {
        let folder = test_needs::folder();
        let requests = folder.path().join("my requests");
        fs::write(&requests, "{\"path\":\"/a\"}\n{\"path\":\"/b\"}\n").unwrap();
        let file = requests.display();
        for line in [
            "run h:1 -c 9 -t2 --rate 1.5k..2k --arrival constant --slo 'p99<1ms' --runs 3",
            "run https://h/x?a=b --rate 10,20@1s --warmup 3ms --duration 1m1ms --tls-insecure",
            "run unix:/a/b.sock --connect-per-request --source 127.0.0.2,127.0.0.5-127.0.0.7 \
             --source 127.0.0.9 --pin 0",
            "run redis://h --mix get:1 --verify none --preload --authenticate 'a b' \
             --size 90:1,80:2",
            "search --slo 'p99<1ms' --from 5 --to 9 --confirm 2 --max-time 1h -c7 --seed 4 --quiet",
            "sweep --var size=1,2 --runs 2 --out x --server-cmd 's {addr}' --size 7 --force",
            "ab --a old --b-target http://h:2/y --metric p50 --json - --no-progress \
             --http-header 'A: b' --http-header 'C: d'",
            "ab --a old --b new h:1 --size 64..4KiB --churn 9",
            "ab --null --a old --ws-text --protocol websocket --lifetime 3s --pipeline 5",
        ] {
            expect_same_load(&load(&format!("{line} --agents local:3")));
        }
        let line = format!("run http://h --requests '{file}' --order random --agents ssh://a,b");
        expect_same_load(&load(&format!("{line} --agents-program p --agents-ssh 'x -v'")));
    }

    #[test]
    fn an_agent_reads_what_a_command_changes_from_run_to_run() {
        let options = load("search --slo 'p99<1ms' --agents local:2 --duration 3s");
        let rate = crate::schedule::Rate::per_s(12_345.678_901_234_5);
        let seed = options.seed + 5;
        let duration = options.duration * 7;
        let probe = Options { seed, duration, ..options.at_rate(Some(rate)) };
        // An open loop has another pipeline, which the plan of a search chooses.
        expect_same_load(&Options { pipeline: 1_024, ..probe });
        let streamed = options_of("h:1 --agents local:2 --interval 20ms --seed 8");
        expect_same_load(&streamed);
    }

    fn options_of(flags: &str) -> Options {
        options(flags).unwrap()
    }

    #[test]
    fn the_password_of_the_environment_is_among_the_words() {
        let given = super::super::definition();
        let given =
            given.mut_subcommand("run", |run| run.mut_arg("authenticate", |flag| flag.env("PATH")));
        let given = given.get_matches_from(["loadgen", "run", "--agents", "local:2"]);
        let (_, given) = given.subcommand().unwrap();
        let words = super::super::load::LoadWords::of(given).to("h:1").unwrap();
        assert_eq!(words, ["h:1", &format!("--authenticate={}", env::var("PATH").unwrap())]);
    }

    #[test]
    fn flags_about_other_agents_are_refused() {
        let token = "--token-file /no/such";
        for (flags, said) in [
            ("--agents local:2 --expect 2", "--expect has no effect without --agents tls://"),
            ("--agents ssh://a --token-file x", "--token-file has no effect without --agents tls"),
            ("--agents local:2 --agents-timeout 1s", "--agents-timeout has no effect without"),
            ("--agents local:2 --agents-ssh x", "--agents-ssh has no effect without --agents ssh"),
            (
                &format!("--agents tcp://:1 --expect 1 {token} --agents-program p"),
                "--agents-program has no effect without --agents ssh://HOST,...; leave it out",
            ),
            ("--agents ssh://a --agents-ssh 'x", "--agents-ssh: name a program"),
            ("--agents tls://:1 --expect 3", "need --expect N, the number of agents, and --token"),
            (&format!("--agents tls://:1 --expect 0 {token}"), "--expect must lie between 1 and"),
            ("-c 3 --agents local:4", "4 agents for 3 connections"),
            ("-c 1 --agents ssh://a,b", "2 agents for 1 connection; each"),
        ] {
            let text = refusal(flags);
            assert!(text.contains(said), "{flags}: {text}");
        }
        for flag in ["--expect 2", "--agents-ssh x", "--agents-program x", "--agents-timeout 1s"] {
            let text = refusal(flag);
            assert!(text.contains("--agents <AGENTS>"), "{flag}: {text}");
        }
    }
}
