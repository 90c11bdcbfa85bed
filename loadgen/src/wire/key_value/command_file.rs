//! Commands that a file lists.
//!
//! ```text
//! # a comment
//! 9 GET __key__
//! 1 LPUSH list:__key__ "a value: __data__"
//! ```
//!
//! A line is a command, as it is typed: words that a shell would take, with quotes around blanks.
//! A number before it is its weight. `__key__` stands for a key, and `__data__` for a value, as in
//! memtier_benchmark. In memcached's protocol, `__data__` at the end of a line stands for the
//! length of a value and the value on a line of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::spec::Protocol;

/// Most commands of a file.
const COMMANDS_MAX: usize = 10_000;

/// What stands for a key and for a value.
pub(super) const KEY: &str = "__key__";
pub(super) const DATA: &str = "__data__";

/// The commands of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandFile {
    path: PathBuf,
    commands: Vec<FileCommand>,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileCommand {
    pub(super) weight: u32,
    /// At least one.
    pub(super) words: Vec<String>,
    /// The line as it is written, without its weight.
    pub(super) text: String,
}

impl CommandFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the line and the remedy.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("read {path}: {error}; name a file of commands"))?;
        let commands = parse(&text).map_err(|(line, why)| format!("{path}, line {line}: {why}"))?;
        match commands.len() {
            0 => Err(format!("{path} has no command; write one on each line, such as GET {KEY}")),
            count if count > COMMANDS_MAX => {
                Err(format!("{path} has {count} commands; at most {COMMANDS_MAX} are possible"))
            }
            _ => Ok(Self { path: path.into(), commands }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn commands(&self) -> &[FileCommand] {
        &self.commands
    }

    /// Whether this protocol can have these commands.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub(crate) fn fits(&self, protocol: Protocol) -> Result<(), String> {
        let complain = |command: &FileCommand, why: &str| {
            Err(format!("{}: '{}': {why}", self.path.display(), command.text))
        };
        for command in &self.commands {
            let (first, last) = (&command.words[0], command.words.len() - 1);
            if protocol.is_resp() {
                let word = first.to_ascii_uppercase();
                if ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "QUIT", "RESET"]
                    .contains(&word.as_str())
                {
                    return complain(command, "it has not one reply; leave it out");
                }
                continue;
            }
            if command.words.iter().any(|word| ["noreply", "quit", "q"].contains(&word.as_str())) {
                return complain(command, "it has not one reply; leave out noreply, q and quit");
            }
            let has_data = |word: &String| word.contains(DATA);
            if command.words[..last].iter().any(has_data) || first == DATA {
                return complain(command, "only the last word of a line can be __data__");
            }
            if has_data(&command.words[last]) && command.words[last] != DATA {
                return complain(command, "write __data__ as a word of its own");
            }
        }
        Ok(())
    }
}

impl FileCommand {
    /// Its name in the record: the first word, in lower case.
    pub(super) fn name(&self) -> String {
        self.words[0].to_ascii_lowercase()
    }
}

fn parse(text: &str) -> Result<Vec<FileCommand>, (usize, String)> {
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        commands.push(command(line).map_err(|why| (number, why))?);
    }
    Ok(commands)
}

fn command(line: &str) -> Result<FileCommand, String> {
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (weight, text) = match first.parse::<u32>() {
        Ok(0) => return Err("a weight must be at least 1".to_owned()),
        Ok(weight) => (weight, rest.trim()),
        Err(_) => (1, line),
    };
    let words = shlex::split(text).ok_or("a quote does not end")?;
    if words.is_empty() {
        return Err("there is no command behind the weight".to_owned());
    }
    Ok(FileCommand { weight, words, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> CommandFile {
        CommandFile { path: "c.txt".into(), commands: parse(text).unwrap() }
    }

    #[test]
    fn a_line_is_a_command_with_its_weight() {
        let file = file("# all\n\n9 GET __key__\n  LPUSH \"a b\" __data__ \n");
        let commands: Vec<_> = file
            .commands()
            .iter()
            .map(|command| (command.weight, command.name(), command.words.len()))
            .collect();
        assert_eq!(commands, [(9, "get".to_owned(), 2), (1, "lpush".to_owned(), 3)]);
        assert_eq!(file.commands()[1].words[1], "a b");
    }

    #[test]
    fn a_line_that_is_no_command_is_named() {
        assert_eq!(parse("GET a\nGET \"b").unwrap_err(), (2, "a quote does not end".to_owned()));
        assert_eq!(parse("0 GET a").unwrap_err().0, 1);
        assert!(parse("5").unwrap_err().1.contains("no command behind"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_with_the_remedy() {
        assert!(CommandFile::read("/no/such").unwrap_err().contains("name a file of commands"));
        let folder = test_needs::folder();
        let path = folder.path().join("empty").display().to_string();
        fs::write(&path, "# nothing\n").unwrap();
        assert!(CommandFile::read(&path).unwrap_err().contains("has no command"));
    }

    #[test]
    fn commands_without_one_reply_are_refused() {
        for (protocol, text) in [
            (Protocol::Resp2, "subscribe a"),
            (Protocol::MemcachedText, "set __key__ 0 0 __data__ noreply"),
            (Protocol::MemcachedText, "set __data__ 0 0 5"),
            (Protocol::MemcachedMeta, "ms __key__ x__data__"),
            (Protocol::MemcachedMeta, "mg __key__ v q"),
        ] {
            assert!(file(text).fits(protocol).unwrap_err().contains(text), "{text}");
        }
        file("set __key__ 0 0 __data__\nincr n 1\nmn").fits(Protocol::MemcachedText).unwrap();
        file("SET __key__ x__data__").fits(Protocol::Resp3).unwrap();
    }
}
