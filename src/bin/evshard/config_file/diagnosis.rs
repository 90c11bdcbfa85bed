//! All errors of a configuration file, each at its position.

use std::ffi::OsString;

use clap::Command;
use clap::error::ErrorKind;

use super::super::usage_error::in_one_line;
use super::configuration::{Configuration, Refusal};
use super::entries::{Argument, Entries, Entry};
use super::source::{FileError, FileErrors, Source};

/// Finds the errors of a file that is no configuration together with these arguments.
pub(super) fn diagnose(
    command: &mut Command,
    source: &Source,
    entries: Entries,
    arguments: &[OsString],
) -> Refusal {
    let Entries { mut good, mut wrong_keys, mut errors } = entries;
    good.retain(|entry| {
        let wrong = entry.arguments.iter().filter_map(|argument| {
            let error = value_error(command, argument)?;
            Some(source.error(argument.at.clone(), in_one_line(&error)))
        });
        let before = errors.len();
        errors.extend(wrong);
        let is_good = errors.len() == before;
        if !is_good {
            wrong_keys.push(entry.key.clone());
        }
        is_good
    });
    // What is left may not fit together. Each round removes a key.
    while let Err(error) = Configuration::complete(command, &good, arguments) {
        let text = in_one_line(&error);
        let culprit = first_named(&text, &good);
        let Some(culprit) = culprit.or_else(|| in_need(command, &text, &mut good, arguments))
        else {
            // It is an error of the flags.
            if errors.is_empty() {
                return Refusal::Usage(error);
            }
            break;
        };
        let entry = good.remove(culprit);
        // A key may only lack one that is wrong itself.
        if wrong_keys.iter().all(|key| position_of_flag(&text, key).is_none()) {
            errors.push(source.error(entry.at, text));
        }
        wrong_keys.push(entry.key);
    }
    errors.sort_by_key(FileError::line_and_column);
    Refusal::File(FileErrors(errors))
}

/// The error of a value alone.
fn value_error(command: &mut Command, argument: &Argument) -> Option<clap::Error> {
    let error = command.try_get_matches_from_mut([&argument.text]).err()?;
    let is_of_several = [ErrorKind::ArgumentConflict, ErrorKind::MissingRequiredArgument];
    (!is_of_several.contains(&error.kind())).then_some(error)
}

/// The key that an error names first.
fn first_named(error: &str, entries: &[Entry]) -> Option<usize> {
    let named = entries.iter().enumerate().filter_map(|(index, entry)| {
        let at = position_of_flag(error, &entry.key)?;
        Some((at, index))
    });
    named.min().map(|(_, index)| index)
}

/// The first key without which this error, which names only what is missing, would not be.
fn in_need(
    command: &mut Command,
    error: &str,
    entries: &mut Vec<Entry>,
    arguments: &[OsString],
) -> Option<usize> {
    (0..entries.len()).find(|&index| {
        let entry = entries.remove(index);
        let without = Configuration::complete(command, entries, arguments);
        entries.insert(index, entry);
        without.err().is_none_or(|other| in_one_line(&other) != error)
    })
}

/// Where a text has this flag as `--key`.
fn position_of_flag(text: &str, key: &str) -> Option<usize> {
    let flag = format!("--{key}");
    let mut positions = text.match_indices(&flag).map(|(at, _)| at);
    positions.find(|at| {
        let next = text[at + flag.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || next == '-')
    })
}
