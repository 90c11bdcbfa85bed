//! The configuration of a server: its flags, from the command line and from a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, Id};

use super::super::flags::Serve;
use super::super::usage_error::in_one_line;
use super::diagnosis::diagnose;
use super::entries::{Entries, Entry};
use super::settings::Settings;
use super::source::{FileErrors, Source};

/// The configuration of a server.
pub(crate) struct Configuration {
    pub(crate) flags: Serve,
    /// The same, as text by the name of each flag.
    pub(crate) settings: Settings,
    /// What was written after `evshard serve`, for a reload.
    pub(crate) arguments: Vec<OsString>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Refusal {
    Usage(clap::Error),
    File(FileErrors),
}

/// The flags of `evshard serve`, for the arguments after these two words.
pub(super) fn serve_command() -> Command {
    let mut command = Serve::augment_args(Command::new("serve")).no_binary_name(true);
    command.build();
    command
}

/// The file that these arguments of `evshard serve` name. They may lack what the file has.
fn config_path(arguments: &[OsString]) -> Option<PathBuf> {
    // Parsing looks up the names of hosts.
    if !arguments.iter().any(|text| text.as_encoded_bytes().starts_with(b"--config")) {
        return None;
    }
    given_matches(arguments)?.get_one("config").cloned()
}

/// What these arguments have, even if they are not complete; `None` if they ask for help.
fn given_matches(arguments: &[OsString]) -> Option<ArgMatches> {
    serve_command().ignore_errors(true).try_get_matches_from(arguments).ok()
}

/// The flags among these arguments.
fn given_flags(command: &Command, arguments: &[OsString]) -> Vec<Id> {
    let Some(matches) = given_matches(arguments) else { return Vec::new() };
    let ids = command.get_arguments().map(clap::Arg::get_id);
    let given = ids.filter(|id| is_given(&matches, id));
    given.cloned().collect()
}

fn is_given(matches: &ArgMatches, flag: &Id) -> bool {
    let flag = flag.as_str();
    matches.try_contains_id(flag).is_ok()
        && matches.value_source(flag) == Some(ValueSource::CommandLine)
}

/// Whether the command line decides a key: it has the same flag, or one that excludes it.
fn is_replaced(command: &Command, entry: &Entry, given: &[Id]) -> bool {
    let excludes = |one: &Id, other: &Id| {
        let one = command.get_arguments().find(|flag| flag.get_id() == one);
        let excluded = one.map(|one| command.get_arg_conflicts_with(one)).unwrap_or_default();
        excluded.iter().any(|flag| flag.get_id() == other)
    };
    given.iter().any(|flag| {
        *flag == entry.flag || excludes(flag, &entry.flag) || excludes(&entry.flag, flag)
    })
}

impl Configuration {
    /// The configuration of these arguments of `evshard serve`; of the file, too, if they name one.
    pub(crate) fn of(arguments: &[OsString]) -> Result<Self, Refusal> {
        Self::read_by(Source::read, arguments)
    }

    /// The same, for a server that has read the file before.
    pub(crate) fn again(arguments: &[OsString]) -> Result<Self, Refusal> {
        Self::read_by(Source::read_again, arguments)
    }

    fn read_by(
        read: fn(&Path) -> Result<Source, FileErrors>,
        arguments: &[OsString],
    ) -> Result<Self, Refusal> {
        match config_path(arguments) {
            Some(path) => Self::from_file(&read(&path)?, arguments),
            None => Self::complete(&mut serve_command(), &[], arguments).map_err(Refusal::Usage),
        }
    }

    /// The configuration of a file. The arguments take precedence.
    pub(crate) fn from_file(source: &Source, arguments: &[OsString]) -> Result<Self, Refusal> {
        let mut command = serve_command();
        let given = given_flags(&command, arguments);
        let mut entries = Entries::parse(source, &command);
        entries.good.retain(|entry| !is_replaced(&command, entry, &given));
        match Self::complete(&mut command, &entries.good, arguments) {
            Ok(configuration) if entries.errors.is_empty() => Ok(configuration),
            _ => Err(diagnose(&mut command, source, entries, arguments)),
        }
    }

    /// Parses the arguments of a file and of the command line together.
    pub(super) fn complete(
        command: &mut Command,
        entries: &[Entry],
        arguments: &[OsString],
    ) -> Result<Self, clap::Error> {
        let of_file = entries.iter().flat_map(|entry| &entry.arguments);
        let of_file = of_file.map(|argument| OsString::from(&argument.text));
        let all = of_file.chain(arguments.iter().cloned());
        let matches = command.try_get_matches_from_mut(all)?;
        let mut flags = Serve::from_arg_matches(&matches)?;
        if let Some(conflict) = flags.conflict() {
            return Err(command.error(ErrorKind::ArgumentConflict, conflict));
        }
        // A flag may come from the file, so this is the first place where all are known.
        flags
            .load_certificates()
            .map_err(|error| command.error(ErrorKind::ValueValidation, error))?;
        let settings = Settings::of(command, &matches, entries);
        Ok(Self { flags, settings, arguments: arguments.to_vec() })
    }
}

impl Refusal {
    /// A line for each error.
    pub(crate) fn in_lines(&self) -> String {
        match self {
            Self::Usage(error) => format!("{}\n", in_one_line(error)),
            Self::File(FileErrors(errors)) => {
                errors.iter().map(|error| error.in_one_line() + "\n").collect()
            }
        }
    }
}

impl From<FileErrors> for Refusal {
    fn from(errors: FileErrors) -> Self {
        Self::File(errors)
    }
}
