//! The command line: parses the command, or explains in one line what is wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::ctl::Ctl;
use super::flags::Serve;
use super::top::Top;

/// An event-driven TCP server, one core per shard.
#[derive(Parser)]
#[command(name = "evshard", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a server; by default the echo service, which sends back every byte.
    #[command(after_help = "\
Examples:
  evshard serve
  evshard serve --listen 0.0.0.0:7000 --listen unix:/run/echo.sock --workers 2
  evshard serve --admin 127.0.0.1:9100 --idle-timeout 60s --max-connections 10000
  evshard serve --upgrade-from /run/evshard.upgrade     take over from a running server
  taskset -c 0 evshard serve --listen 127.0.0.1:0 --workers 1

Standard output begins with a line `listening on ADDR` for each listener, once connections are
accepted. SIGINT, SIGTERM or SIGQUIT stops accepting, drains, prints a table with a line per shard
and exits with 0; a second one exits at once. SIGHUP or SIGUSR1 opens the --log-file again. SIGUSR2
has no effect.")]
    Serve(Box<Serve>),
    /// Show live statistics of a running server, shard by shard; `q` quits.
    Top(Top),
    /// Act on a running server.
    Ctl(Ctl),
}

/// The command to run, or the exit code.
pub(crate) fn parse() -> Result<Command, ExitCode> {
    match Cli::try_parse() {
        Ok(Cli { command }) => Ok(command),
        Err(error) if error.use_stderr() => {
            let _ = io::stderr().write_all(complaint(&error).as_bytes());
            Err(ExitCode::from(2))
        }
        // Help and version are successes.
        Err(help) => {
            let _ = help.print();
            Err(ExitCode::SUCCESS)
        }
    }
}

/// clap explains over several lines, and a log needs one. Help after a missing argument stays
/// complete.
fn complaint(error: &clap::Error) -> String {
    let text = error.render().to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join("; ");
    let line = line.trim_start_matches("error: ");
    let verb = std::env::args().nth(1).filter(|verb| matches!(verb.as_str(), "top" | "ctl"));
    let verb = verb.as_deref().unwrap_or("serve");
    format!("evshard: {line}; see `evshard {verb} --help`\n")
}
