//! Commands with keys: how many replies there were, what reads found, and the errors by kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::wire::{Commands, Outcome, WrongKind, WrongValue};

/// Of so many kinds of errors, each has a count of its own. Those of further kinds are added up.
const KINDS_MAX: usize = 32;

/// The kind of all errors beyond those.
const FURTHER_KINDS: &str = "(other kinds)";

/// The keys and commands of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyValueArgsRecord {
    /// Number of keys.
    pub(crate) keys: u32,
    /// How requests choose among the keys, as given.
    pub(crate) key_dist: String,
    /// Commands and their weights, as given; nothing if they come from a file.
    pub(crate) mix: Option<String>,
    /// The file of the commands.
    pub(crate) commands: Option<String>,
    /// How connections choose among them: "weighted", "sequential", "timed", "random",
    /// "zipf:EXPONENT"; nothing with a mix.
    #[serde(default)]
    pub(crate) order: Option<String>,
    /// Whether every key is written before the load.
    pub(crate) preload: bool,
    /// Whether the commands have keys or values that the loader makes. Otherwise they are sent as
    /// they are, and `keys`, `key_dist` and the size of the plan mean nothing.
    #[serde(default = "with_placeholders")]
    pub(crate) has_placeholders: bool,
}

/// Earlier records do not say it.
fn with_placeholders() -> bool {
    true
}

impl KeyValueArgsRecord {
    /// The keys and commands of these options; nothing for other protocols.
    pub(crate) fn of(options: &Options) -> Option<Self> {
        let spec = options.traffic.key_value.as_ref()?;
        let (mix, file) = match &spec.commands {
            Commands::Mix(mix) => (Some(mix.to_string()), None),
            Commands::File { file, order } => (None, Some((file, order))),
        };
        Some(Self {
            keys: spec.keys.get(),
            key_dist: spec.distribution.to_string(),
            mix,
            commands: file.map(|(file, _)| file.path().display().to_string()),
            order: file.map(|(_, order)| order.to_string()),
            preload: spec.preload,
            has_placeholders: file.is_none_or(|(file, _)| file.has_placeholders()),
        })
    }
}

/// What came of the commands, warm-up and drain included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyValueRecord {
    /// Keys that were written before the load; `commands` does not contain them.
    pub(crate) preloaded: u64,
    /// Complete replies by command, errors included.
    pub(crate) commands: BTreeMap<String, u64>,
    /// Reads that returned a value, wrong ones not included.
    pub(crate) hits: u64,
    /// Of these, the ones whose every byte was compared: a version that this run has written to
    /// that key, and that no later write had replaced before the read was sent.
    pub(crate) verified_hits: u64,
    /// Reads that returned no value.
    pub(crate) misses: u64,
    /// Of these, the ones of a key for which the server had acknowledged a write of this run.
    pub(crate) misses_of_written: u64,
    /// `hits` divided by `hits` and `misses`; nothing without both.
    pub(crate) hit_rate: Option<f64>,
    /// Reads that returned a value which they must not return, by what is wrong with it.
    pub(crate) wrong_values: WrongValuesRecord,
    /// The first of them.
    pub(crate) first_wrong_value: Option<WrongValue>,
    /// Errors by their first word, the most frequent first.
    pub(crate) errors: Vec<ErrorRecord>,
}

/// Wrong values by what is wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrongValuesRecord {
    /// Another key's, or one that this run has not written.
    pub(crate) foreign: u64,
    /// A version that a later write had replaced before the read was sent.
    pub(crate) old: u64,
    /// Not all bytes are those of one version.
    pub(crate) torn: u64,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorRecord {
    /// The first word of the error.
    pub(crate) kind: String,
    pub(crate) count: u64,
    /// The first of them in the server's words.
    pub(crate) words: Option<String>,
}

/// The counts of a thread while it runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeyValueCounts {
    /// Replies by number of the command's name.
    commands: Vec<u64>,
    counts: KeyValueRecord,
}

impl KeyValueCounts {
    /// Counts the reply to a command whose name has this number.
    pub(crate) fn add(&mut self, name: u16, outcome: &Outcome) {
        let name = usize::from(name);
        if self.commands.len() <= name {
            self.commands.resize(name + 1, 0);
        }
        self.commands[name] += 1;
        let counts = &mut self.counts;
        match outcome {
            Outcome::Done => {}
            Outcome::Hit { is_verified } => {
                counts.hits += 1;
                counts.verified_hits += u64::from(*is_verified);
            }
            Outcome::Miss { was_written } => {
                counts.misses += 1;
                counts.misses_of_written += u64::from(*was_written);
            }
            Outcome::Error { word, quote } => {
                let words = quote.as_ref().map(|quote| &quote.first_line);
                counts.add_errors(word.as_str(), 1, words);
            }
            Outcome::Wrong { kind, found } => {
                *match kind {
                    WrongKind::Foreign => &mut counts.wrong_values.foreign,
                    WrongKind::Old => &mut counts.wrong_values.old,
                    WrongKind::Torn => &mut counts.wrong_values.torn,
                } += 1;
                if let (None, Some(found)) = (&counts.first_wrong_value, found) {
                    counts.first_wrong_value = Some((**found).clone());
                }
            }
        }
    }

    /// Adds the counts of another thread.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.commands.len() < other.commands.len() {
            self.commands.resize(other.commands.len(), 0);
        }
        self.commands.iter_mut().zip(&other.commands).for_each(|(ours, theirs)| *ours += theirs);
        self.counts.merge(&other.counts);
    }

    /// The record of a run whose commands have these names.
    pub(crate) fn into_record(self, names: impl Iterator<Item = String>) -> KeyValueRecord {
        let replies = self.commands.into_iter().chain(std::iter::repeat(0));
        let mut record = self.counts;
        for (name, replies) in names.zip(replies) {
            *record.commands.entry(name).or_default() += replies;
        }
        record.complete();
        record
    }
}

impl KeyValueRecord {
    /// The counts of several runs together.
    pub(crate) fn sum<'a>(runs: impl Iterator<Item = Option<&'a Self>>) -> Option<Self> {
        runs.flatten().fold(None, |sum: Option<Self>, run| {
            let mut sum = sum.unwrap_or_default();
            sum.merge(run);
            sum.complete();
            Some(sum)
        })
    }

    fn merge(&mut self, other: &Self) {
        for (name, replies) in &other.commands {
            *self.commands.entry(name.clone()).or_default() += replies;
        }
        self.preloaded += other.preloaded;
        self.hits += other.hits;
        self.verified_hits += other.verified_hits;
        self.misses += other.misses;
        self.misses_of_written += other.misses_of_written;
        self.wrong_values.foreign += other.wrong_values.foreign;
        self.wrong_values.old += other.wrong_values.old;
        self.wrong_values.torn += other.wrong_values.torn;
        if self.first_wrong_value.is_none() {
            self.first_wrong_value.clone_from(&other.first_wrong_value);
        }
        for error in &other.errors {
            self.add_errors(&error.kind, error.count, error.words.as_ref());
        }
    }

    fn add_errors(&mut self, kind: &str, count: u64, words: Option<&String>) {
        let place =
            |errors: &[ErrorRecord], kind: &str| errors.iter().position(|error| error.kind == kind);
        if let Some(known) = place(&self.errors, kind) {
            let known = &mut self.errors[known];
            known.count += count;
            if known.words.is_none() {
                known.words = words.cloned();
            }
        } else if self.errors.len() < KINDS_MAX {
            self.errors.push(ErrorRecord { kind: kind.to_owned(), count, words: words.cloned() });
        } else {
            match place(&self.errors, FURTHER_KINDS) {
                Some(further) => self.errors[further].count += count,
                None => self.errors.push(ErrorRecord {
                    kind: FURTHER_KINDS.to_owned(),
                    count,
                    words: None,
                }),
            }
        }
    }

    /// Computes what follows from the counts.
    fn complete(&mut self) {
        let reads = self.hits + self.misses;
        self.hit_rate = (reads > 0).then(|| self.hits as f64 / reads as f64);
        self.errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorWord;

    fn error(kind: &str) -> Outcome {
        Outcome::Error { word: ErrorWord::of(kind), quote: None }
    }

    #[test]
    fn replies_are_counted_by_command_and_by_what_came_of_them() {
        let (mut one, mut other) = (KeyValueCounts::default(), KeyValueCounts::default());
        one.add(0, &Outcome::Hit { is_verified: true });
        one.add(0, &Outcome::Hit { is_verified: false });
        one.add(0, &Outcome::Miss { was_written: true });
        one.add(0, &error("LOADING"));
        other.add(0, &Outcome::Miss { was_written: false });
        other.add(1, &Outcome::Done);
        (0..2).for_each(|_| other.add(1, &error("OOM")));
        other.add(0, &Outcome::Wrong { kind: WrongKind::Old, found: None });
        one.merge(&other);
        let names = ["get", "set"].into_iter().map(str::to_owned);
        let record = one.into_record(names);
        let replies: Vec<u64> = record.commands.values().copied().collect();
        assert_eq!(replies, [6, 3]);
        assert_eq!((record.hits, record.verified_hits), (2, 1));
        assert_eq!((record.misses, record.misses_of_written), (2, 1));
        assert_eq!((record.hit_rate, record.wrong_values.old), (Some(0.5), 1));
        let errors: Vec<_> =
            record.errors.iter().map(|error| (error.kind.as_str(), error.count)).collect();
        assert_eq!(errors, [("OOM", 2), ("LOADING", 1)]);
        let sum = KeyValueRecord::sum([Some(&record), None, Some(&record)].into_iter()).unwrap();
        assert_eq!((sum.commands["get"], sum.errors[0].count, sum.hits), (12, 4, 4));
        assert_eq!(sum.hit_rate, Some(0.5));
    }

    #[test]
    fn the_kinds_of_errors_are_bounded() {
        let mut counts = KeyValueCounts::default();
        (0..100).for_each(|number| counts.add(0, &error(&format!("E{number}"))));
        let record = counts.into_record(std::iter::empty());
        assert_eq!(record.errors.len(), KINDS_MAX + 1);
        assert_eq!(record.errors[0].kind, FURTHER_KINDS);
        assert_eq!(record.errors[0].count, 100 - KINDS_MAX as u64);
    }
}
