//! The command line: flags to a [`ServerConfig`], or one line that says what is wrong with them.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand};
use evshard::server::{Drain, ListenAddress, ServerConfig};
use evshard::{BackendKind, ChangelistPolicy, Config};

use super::ctl::Ctl;
use super::top::Top;

/// More threads than this are a typing error, not a plan.
const WORKERS_MAX: usize = 1024;

/// An event-driven TCP server, one core per shard.
#[derive(Parser)]
#[command(name = "evshard", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the echo service: every byte received is sent back.
    #[command(after_help = "\
Examples:
  evshard serve
  evshard serve --listen 0.0.0.0:7000 --workers 2
  taskset -c 0 evshard serve --listen 127.0.0.1:0 --workers 1

The first line on standard output is `listening on ADDR:PORT`, once connections are accepted.
SIGINT or SIGTERM stops accepting, drains, prints a table with a line per shard and exits with 0;
a second one exits at once.")]
    Serve(Serve),
    /// Show live what a running server does, shard by shard; `q` leaves.
    Top(Top),
    /// Act on a running server.
    Ctl(Ctl),
}

/// What was asked for.
pub(crate) enum Asked {
    Serve(Box<ServerConfig>),
    Top(Top),
    Ctl(Ctl),
}

#[derive(Args)]
struct Serve {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5555", value_parser = address)]
    listen: SocketAddr,

    /// Worker threads [default: one per usable core, by affinity and cgroup quota].
    #[arg(long, value_name = "N", value_parser = workers)]
    workers: Option<NonZeroUsize>,

    /// Mechanism to wait for readiness with.
    #[arg(long, value_name = "NAME", default_value = BackendKind::ALL[0].name(),
          value_parser = backend())]
    backend: BackendKind,

    /// When the kernel learns of changed interest: at once, or folded before the next wait.
    #[arg(long, value_name = "POLICY", default_value = "deferred", value_parser = changelist())]
    changelist: ChangelistPolicy,

    /// Connections the kernel may queue before they are accepted (it caps this at somaxconn).
    #[arg(long, value_name = "N", default_value_t = ServerConfig::BACKLOG,
          value_parser = clap::value_parser!(u32).range(1..))]
    backlog: u32,

    /// Let workers move between cores instead of pinning each to one.
    #[arg(long)]
    no_pin: bool,

    /// How long open connections may go on after SIGINT or SIGTERM.
    #[arg(long, value_name = "DURATION", default_value = "3s",
          value_parser = humantime::parse_duration)]
    drain_timeout: Duration,
}

impl From<Serve> for ServerConfig {
    fn from(serve: Serve) -> Self {
        let defaults = Self::default();
        Self {
            listen: vec![ListenAddress::Tcp(serve.listen)],
            workers: serve.workers.unwrap_or(defaults.workers),
            base: Config::default().backend(serve.backend).changelist(serve.changelist),
            backlog: serve.backlog,
            pin: !serve.no_pin,
            drain: Drain { timeout: serve.drain_timeout, ..Drain::default() },
            ..defaults
        }
    }
}

/// What was asked for, or how to exit instead.
pub(crate) fn parse() -> Result<Asked, ExitCode> {
    match Cli::try_parse().map(|cli| cli.command) {
        Ok(Command::Serve(serve)) => Ok(Asked::Serve(Box::new(serve.into()))),
        Ok(Command::Top(top)) => Ok(Asked::Top(top)),
        Ok(Command::Ctl(ctl)) => Ok(Asked::Ctl(ctl)),
        Err(error) if error.use_stderr() => {
            let _ = io::stderr().write_all(complaint(&error).as_bytes());
            Err(ExitCode::from(2))
        }
        // Help and version are what was asked for.
        Err(help) => {
            let _ = help.print();
            Err(ExitCode::SUCCESS)
        }
    }
}

/// clap explains over several lines; a log wants one. Help that nobody asked for stays whole.
fn complaint(error: &clap::Error) -> String {
    let text = error.render().to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said = said.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = said.collect::<Vec<_>>().join("; ");
    let line = line.trim_start_matches("error: ");
    let verb = std::env::args().nth(1).filter(|verb| matches!(verb.as_str(), "top" | "ctl"));
    let verb = verb.as_deref().unwrap_or("serve");
    format!("evshard: {line}; see `evshard {verb} --help`\n")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| match text.rsplit_once(':') {
        None => "a port is missing, write ADDR:PORT such as 127.0.0.1:5555".to_owned(),
        Some((_, port)) if port.parse::<u16>().is_err() => {
            format!("\"{port}\" is no port, write a number from 0 to 65535")
        }
        Some((host, _)) => format!("the host \"{host}\" is not known ({error})"),
    })?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    text.parse::<NonZeroUsize>()
        .ok()
        .filter(|workers| workers.get() <= WORKERS_MAX)
        .ok_or_else(|| format!("write a number from 1 to {WORKERS_MAX}"))
}

fn backend() -> impl TypedValueParser<Value = BackendKind> {
    let names = BackendKind::ALL.iter().map(|kind| kind.name());
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| BackendKind::by_name(&name).expect("clap let only known names pass"))
}

fn changelist() -> impl TypedValueParser<Value = ChangelistPolicy> {
    clap::builder::PossibleValuesParser::new(["immediate", "deferred"]).map(|name| {
        match name.as_str() {
            "immediate" => ChangelistPolicy::Immediate,
            _ => ChangelistPolicy::Deferred,
        }
    })
}
