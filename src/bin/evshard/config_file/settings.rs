//! What each flag of `evshard serve` is set to, as text, and by what.

use std::fmt;

use clap::builder::PossibleValue;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::entries::{Entry, can_be_key};

/// The settings of a server: all flags that can be keys, in the order of the help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings(pub(crate) Vec<Setting>);

/// What one flag is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// Its heading in the help.
    pub(super) heading: String,
    pub(super) help: String,
    /// As the help names its value.
    pub(super) value_name: String,
}

/// What a flag is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Switch(bool),
    /// `None` leaves the choice to the server.
    One(Option<Text>),
    List(Vec<Text>),
}

/// A value, as its flag takes it; `None` if it is not Unicode.
pub(crate) type Text = Option<String>;

/// What set a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File,
    Flag,
}

impl Settings {
    /// The settings of a command line that includes the entries of a file.
    pub(super) fn of(command: &Command, matches: &ArgMatches, entries: &[Entry]) -> Self {
        let flags = command.get_arguments().filter(|flag| can_be_key(flag));
        Self(flags.map(|flag| Setting::of(flag, matches, entries)).collect())
    }
}

impl Setting {
    fn of(flag: &Arg, matches: &ArgMatches, entries: &[Entry]) -> Self {
        let id = flag.get_id().as_str();
        let raw = matches.get_raw(id).into_iter().flatten();
        let mut texts = raw.map(|value| value.to_str().map(str::to_owned));
        let value = match flag.get_action() {
            ArgAction::SetTrue => Value::Switch(matches.get_flag(id)),
            ArgAction::Append => Value::List(texts.collect()),
            _ => Value::One(texts.next()),
        };
        let origin = if entries.iter().any(|entry| entry.flag == *flag.get_id()) {
            Origin::File
        } else if matches.value_source(id) == Some(ValueSource::CommandLine) {
            Origin::Flag
        } else {
            Origin::Default
        };
        let names = flag.get_value_names().unwrap_or_default();
        let named = flag.get_possible_values();
        let mut help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        if flag.get_action().takes_values() && !named.is_empty() {
            let named: Vec<&str> = named.iter().map(PossibleValue::get_name).collect();
            help += &format!(". Values: {}", named.join(", "));
        }
        Self {
            key: flag.get_long().unwrap_or_default().to_owned(),
            value,
            origin,
            heading: flag.get_help_heading().unwrap_or("Options").to_owned(),
            help,
            value_name: names.first().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl Value {
    /// Whether the flag has no value.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Switch(is_on) => !is_on,
            Self::One(text) => text.is_none(),
            Self::List(texts) => texts.is_empty(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &Text| text.clone().unwrap_or_else(|| "another text".to_owned());
        match self {
            Self::Switch(is_on) => is_on.fmt(f),
            Self::One(Some(text)) => f.write_str(&shown(text)),
            Self::One(None) => f.write_str("the default"),
            Self::List(texts) if texts.is_empty() => f.write_str("the default"),
            Self::List(texts) => {
                f.write_str(&texts.iter().map(shown).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl Origin {
    /// As a comment says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Flag => "flag",
        }
    }
}
