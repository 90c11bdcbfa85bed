//! The command line: parses the command, or explains in one line what is wrong.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use super::completions::Completions;
use super::config_file::{CheckConfig, Configuration, Refusal};
use super::ctl::Ctl;
use super::flags::Serve;
use super::man_pages::ManPages;
use super::top::Top;
use super::usage_error::in_one_line;
use super::{exit_code, print_error, written};

/// An event-driven TCP server, one core per shard.
#[derive(Parser)]
#[command(
    name = "evshard",
    version = env!("VERSION_WITH_COMMIT"),
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server; by default the echo service, which sends back every byte.
    #[command(after_help = "\
Examples:
  evshard serve
  evshard serve --listen 0.0.0.0:7000 --listen unix:/run/echo.sock --workers 2
  evshard serve --admin 127.0.0.1:9100 --idle-timeout 60s --max-connections 10000
  evshard serve --config /etc/evshard/evshard.toml --log-level debug
  evshard serve --listen tls:0.0.0.0:7443 --tls-cert server.pem --tls-key server.key
  evshard serve --upgrade-from /run/evshard.upgrade     take over from a running server
  taskset -c 0 evshard serve --listen 127.0.0.1:0 --workers 1

Standard output begins with a line `listening on ADDR` for each listener, once connections are
accepted. SIGINT, SIGTERM or SIGQUIT stops accepting, drains, prints a table with a line per shard
and exits with 0; a second one exits at once. SIGHUP or SIGUSR1 opens the --log-file again. SIGHUP
also reads the --config file and the certificates again and applies what can change. SIGUSR2 has no
effect.")]
    Serve(Box<Serve>),
    /// Show live statistics of a running server, shard by shard; `q` quits.
    Top(Top),
    /// Act on a running server.
    Ctl(Ctl),
    /// Check a configuration file of `serve`, and report all its errors. One with errors ends with
    /// status 2.
    CheckConfig(CheckConfig),
    /// Print a script with which a shell completes the commands and flags of evshard.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(Completions),
    /// Write the manual pages of all commands into a directory.
    #[command(name = "man", after_help = MAN_HELP)]
    ManPages(ManPages),
}

const COMPLETIONS_HELP: &str = "\
Examples:
  evshard completions bash > ~/.local/share/bash-completion/completions/evshard
  evshard completions zsh > ~/.zfunc/_evshard          a directory of $fpath
  evshard completions fish > ~/.config/fish/completions/evshard.fish";

const MAN_HELP: &str = "\
Example:
  evshard man ~/.local/share/man/man1 && man evshard-serve";

/// What to do, with all that it needs.
pub(crate) enum Action {
    Serve(Box<Configuration>),
    Top(Top),
    Ctl(Ctl),
    CheckConfig(CheckConfig),
    Completions(Completions),
    ManPages(ManPages),
}

/// The commands and their flags.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// What to do, or the exit code.
pub(crate) fn parse() -> Result<Action, ExitCode> {
    parse_from(std::env::args_os()).map_err(|refusal| refuse(&refusal))
}

/// Prints what is wrong, or the help. Returns the exit code.
pub(crate) fn refuse(refusal: &Refusal) -> ExitCode {
    match refusal {
        // Help and version are successes.
        Refusal::Usage(help) if !help.use_stderr() => exit_code(written(help.print())),
        _ => {
            print_error(&complaint(refusal));
            ExitCode::from(2)
        }
    }
}

/// What these arguments, whose first is the program's name, mean.
fn parse_from(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Action, Refusal> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if let [_, verb, flags @ ..] = &arguments[..]
        && verb == "serve"
    {
        match Configuration::of(flags) {
            Err(Refusal::Usage(help)) if !help.use_stderr() => {}
            configuration => return Ok(Action::Serve(Box::new(configuration?))),
        }
    }
    let Cli { command } = Cli::try_parse_from(arguments).map_err(Refusal::Usage)?;
    Ok(match command {
        Command::Serve(_) => unreachable!("it asks for help, which is no command"),
        Command::Top(top) => Action::Top(top),
        Command::Ctl(ctl) => Action::Ctl(ctl),
        Command::CheckConfig(check) => Action::CheckConfig(check),
        Command::Completions(completions) => Action::Completions(completions),
        Command::ManPages(pages) => Action::ManPages(pages),
    })
}

/// What is wrong, and where to find help. Help after a missing argument stays complete.
fn complaint(refusal: &Refusal) -> String {
    let error = match refusal {
        Refusal::Usage(error) => error,
        Refusal::File(errors) => return format!("evshard: {errors}\n"),
    };
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error.render().to_string();
    }
    let verb = std::env::args_os().nth(1).and_then(|verb| verb.into_string().ok());
    let verb = verb.filter(|verb| definition().find_subcommand(verb).is_some());
    let verb = verb.as_deref().unwrap_or("serve");
    format!("evshard: {}; see `evshard {verb} --help`\n", in_one_line(error))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    /// Numbers and durations, of which many are out of every range.
    fn value() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            any::<u64>().prop_map(|n| n.to_string()),
            any::<i128>().prop_map(|n| n.to_string()),
            (0_u32..5000).prop_map(|n| n.to_string()),
            Just("0x10".to_owned()),
            Just(String::new()),
        ];
        let unit =
            vec!["", "ns", "us", "ms", "s", "m", "h", "days", "years", "KiB", "EiB", "%", "\u{fc}"];
        let work = vec!["", "", "spin:", "sleep:exp:"];
        (prop::sample::select(work), number, prop::sample::select(unit))
            .prop_map(|(work, number, unit)| format!("{work}{number}{unit}"))
    }

    /// A flag of `serve` that takes a value, and no address: the name of a host is looked up.
    fn flag() -> impl Strategy<Value = String> {
        let command = Cli::command();
        let flags = command.find_subcommand("serve").unwrap().get_arguments();
        let with_value = flags.filter(|flag| flag.get_action().takes_values());
        let names = with_value.filter_map(|flag| flag.get_long());
        let names = names.filter(|name| !["listen", "admin"].contains(name));
        prop::sample::select(names.map(|name| format!("--{name}")).collect::<Vec<_>>())
    }

    fn complaint_about(flags: &[&str]) -> String {
        let arguments = ["evshard", "serve"].into_iter().chain(flags.iter().copied());
        complaint(&parse_from(arguments).err().expect("wrong usage"))
    }

    #[test]
    fn flags_that_fit_one_by_one_ask_for_more_than_memory_holds() {
        let line = complaint_about(&["--handoff-capacity=1048576", "--workers=1024"]);
        let expected = "--handoff-capacity times --workers is 1073741824; choose from 1 to 4194304";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn an_address_whose_proxy_headers_are_trusted_had_to_be_written_as_a_network() {
        for address in ["10.0.0.1", "10.0.0.1/32", "::1", "10.0.0.0/8"] {
            let flags = ["evshard", "serve", "--proxy-protocol", "require", "--proxy-trust"];
            let parsed = parse_from(flags.into_iter().chain([address]));
            let Ok(Action::Serve(serve)) = parsed else { panic!("{address}") };
            let trusted = &serve.flags.config().proxy.trusted[0];
            assert_eq!(trusted.prefix_len() == trusted.max_prefix_len(), !address.ends_with("/8"));
        }
    }

    #[test]
    fn an_unknown_log_level_is_refused_without_the_known_ones() {
        let line = complaint_about(&["--log-level=foo"]);
        assert!(line.contains("write off, error, warn, info, debug or trace"), "{line}");
        assert!(parse_from(["evshard", "serve", "--log-level=INFO"]).is_ok());
    }

    proptest! {
        #[test]
        fn no_value_of_a_flag_panics_or_is_too_large_for_the_server(
            (flag, value) in (flag(), value()),
        ) {
            let all = ["evshard", "serve", "--service", "work"];
            let result = parse_from(all.into_iter().chain([format!("{flag}={value}").as_str()]));
            match result {
                Err(error) => {
                    let line = complaint(&error);
                    prop_assert_eq!(line.lines().count(), 1, "{}", line);
                }
                Ok(Action::Serve(serve)) => {
                    prop_assert_eq!(serve.flags.config().check(), Ok(()));
                }
                Ok(_) => prop_assert!(false, "another command"),
            }
        }

        #[test]
        fn no_interval_of_top_panics_or_is_too_long_for_the_clock(value in value()) {
            if let Ok(Action::Top(top)) = parse_from(["evshard", "top", "--interval", &value]) {
                prop_assert!(Instant::now().checked_add(top.interval).is_some());
            }
        }
    }
}
