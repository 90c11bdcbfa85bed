//! The keys of a configuration file, with their values as arguments of the command line.

use std::ops::Range;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, Id};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::{FileError, Source};

/// Flags that are no keys, with the reason.
const FLAGS_ONLY: &[(&str, &str)] = &[
    ("config", "one file has the whole configuration"),
    ("help", "it prints the help"),
    ("print-config", "it prints the configuration"),
    ("upgrade-from", "it is meant for one start, and not for each"),
];

/// A key whose value has a type that its flag can have.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) flag: Id,
    /// Where its key stands.
    pub(super) at: Range<usize>,
    /// None for a switch that is off and for an empty list.
    pub(super) arguments: Vec<Argument>,
}

/// A flag with its value, as `--key=value`.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) text: String,
    /// Where its value stands.
    pub(super) at: Range<usize>,
}

/// What a file contains.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// In the order of the file.
    pub(super) good: Vec<Entry>,
    /// The keys with errors.
    pub(super) wrong_keys: Vec<String>,
    pub(super) errors: Vec<FileError>,
}

/// Whether this flag can be a key.
pub(super) fn can_be_key(flag: &Arg) -> bool {
    flag.get_long().is_some_and(|key| reason_against(key).is_none())
}

fn reason_against(key: &str) -> Option<&'static str> {
    FLAGS_ONLY.iter().find(|(name, _)| *name == key).map(|(_, reason)| *reason)
}

impl Entries {
    /// Reads the keys of a file. `command` has the flags.
    pub(super) fn parse(source: &Source, command: &Command) -> Self {
        let (table, syntax_errors) = DeTable::parse_recoverable(&source.text);
        let mut entries = Self::default();
        let mut broken_lines = Vec::new();
        for error in syntax_errors {
            let at = error.span().unwrap_or(source.text.len()..source.text.len());
            let line = source.line(at.start);
            // A second error in a line mostly follows from the first.
            if !broken_lines.contains(&line) {
                broken_lines.push(line);
                let problem = error.message().replace('\n', "; ");
                let message = format!("{problem}; a line is KEY = VALUE, or a comment");
                entries.errors.push(source.error(at, message));
            }
        }
        let mut keys: Vec<_> = table.get_ref().iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            // What the parser takes from a broken line is a guess.
            if broken_lines.contains(&source.line(key.span().start)) {
                entries.wrong_keys.push(key.get_ref().to_string());
                continue;
            }
            match entry(command, key.get_ref(), key.span(), value) {
                Ok(entry) => entries.good.push(entry),
                Err((at, message)) => {
                    entries.wrong_keys.push(key.get_ref().to_string());
                    entries.errors.push(source.error(at, message));
                }
            }
        }
        entries
    }
}

/// Why a key is wrong, and where.
type Wrong = (Range<usize>, String);

fn entry(
    command: &Command,
    key: &str,
    at: Range<usize>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Entry, Wrong> {
    if let DeValue::Table(_) = value.get_ref() {
        let key = key.escape_debug();
        let message = format!("`{key}` is a table; write KEY = VALUE lines without tables");
        return Err((at, message));
    }
    if let Some(reason) = reason_against(key) {
        return Err((at, format!("--{key} works on the command line only: {reason}")));
    }
    let Some(flag) = command.get_arguments().find(|flag| flag.get_long() == Some(key)) else {
        return Err((at, unknown(command, key)));
    };
    let arguments = arguments(flag, key, value)?;
    Ok(Entry { key: key.to_owned(), flag: flag.get_id().clone(), at, arguments })
}

/// The error of an unknown key. clap knows the most similar flag.
fn unknown(command: &Command, key: &str) -> String {
    let error = command.clone().try_get_matches_from([format!("--{key}")]).err();
    let similar = match error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(flag)) => flag.trim_start_matches('-'),
        _ => "",
    };
    // A key in quotes may have control characters.
    let shown = key.escape_debug();
    if similar.is_empty() || reason_against(similar).is_some() {
        format!("there is no key `{shown}`; keys are the flags of `evshard serve --help`")
    } else {
        format!("there is no key `{shown}`; write `{similar}`, if that is meant")
    }
}

/// The arguments that a value means.
fn arguments(flag: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<Argument>, Wrong> {
    let at = value.span();
    match (flag.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => {
            Ok(vec![Argument { text: format!("--{key}"), at }])
        }
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err((at, format!("`{key}` is a switch: write true or false"))),
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| argument(flag, key, value)).collect()
        }
        _ => argument(flag, key, value).map(|argument| vec![argument]),
    }
}

fn argument(flag: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Argument, Wrong> {
    let at = value.span();
    let text = match value.get_ref() {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        // A mode such as 0o660 would become another number.
        DeValue::Integer(_) => {
            return Err((at, "write the number with decimal digits, or as a string".to_owned()));
        }
        DeValue::Float(number) => number.as_str(),
        other => {
            let names = flag.get_value_names().unwrap_or_default().iter();
            let name = names.map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" ");
            let repeated = match flag.get_action() {
                ArgAction::Append => ", or a list of them",
                _ => "",
            };
            let found = match other {
                DeValue::Array(_) => "a list",
                DeValue::Boolean(_) => "true or false",
                DeValue::Datetime(_) => "a date",
                _ => "a table",
            };
            let message =
                format!("`{key}` is {found}; write {name} as a string or a number{repeated}");
            return Err((at, message));
        }
    };
    Ok(Argument { text: format!("--{key}={text}"), at })
}
