//! Commands that a file lists.
//!
//! ```text
//! # a comment
//! 9 GET __key__
//! 1 LPUSH list:__key__ "a value: __data__"
//! {"at": 0.25, "command": ["SET", "a key", {"base64": "/w=="}]}
//! ```
//!
//! A line is a command, as it is typed: words that a shell would take, with quotes around blanks.
//! A number before it is its weight. `__key__` stands for a key, and `__data__` for a value, as in
//! memtier_benchmark. In memcached's protocol, `__data__` at the end of a line stands for the
//! length of a value and the value on a line of its own.
//!
//! A line that begins with `{` is a command of Redis as JSON. Its words are sent as they are, and
//! nothing in them stands for a key or a value. A word that is no UTF-8 text is written in base64.
//! A JSON string cannot hold it, and an escape for each byte could be a character, too. Lines with
//! the same words share the memory of one command.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::super::lines::{self, BYTES_MAX, Line, REQUESTS_MAX};
use super::super::order::Order;
use super::super::spec::Protocol;

/// What stands for a key and for a value.
pub(super) const KEY: &str = "__key__";
pub(super) const DATA: &str = "__data__";

/// Most names of commands, each with a count in the record. Redis has some 250.
const NAMES_MAX: usize = 1_000;

/// The commands of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandFile {
    path: PathBuf,
    /// All different ones.
    commands: Vec<FileCommand>,
    /// Each line, and the number of its command; at least one.
    lines: Vec<(Line, u32)>,
    names: Vec<String>,
}

/// A command of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileCommand {
    pub(super) words: Words,
    /// The number of its name.
    pub(super) name: u16,
    /// The first line that has it.
    line: usize,
}

/// The words of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Words {
    /// As they are typed, with places for keys and values. At least one.
    Typed(Vec<String>),
    /// All bytes of a command of Redis.
    Literal(Arc<[u8]>),
}

impl CommandFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A sentence that names the line and the remedy.
    pub(crate) fn read_shared(name: &str) -> Result<Arc<Self>, String> {
        let text = lines::read(name, "a file of commands")?;
        Self::of_text(name, &text).map(Arc::new)
    }

    /// The commands of a text.
    pub(super) fn of_text(name: &str, text: &str) -> Result<Self, String> {
        let mut parser = Parser::default();
        for (number, line) in lines::numbered(text) {
            parser.take(number, line).map_err(|why| format!("{name}, line {number}: {why}"))?;
        }
        let Parser { commands, lines, names, .. } = parser;
        if lines.is_empty() {
            return Err(format!(
                "{name} has no command; write one on each line, such as GET {KEY}"
            ));
        }
        Ok(Self { path: name.into(), commands, lines, names })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many commands there are to choose from.
    pub(crate) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Whether a command has a key or a value that the loader makes.
    pub(crate) fn has_placeholders(&self) -> bool {
        let is_one = |word: &String| word.contains(KEY) || word.contains(DATA);
        self.commands.iter().any(|command| match &command.words {
            Words::Typed(words) => words.iter().any(is_one),
            Words::Literal(_) => false,
        })
    }

    /// The different commands.
    pub(super) fn commands(&self) -> &[FileCommand] {
        &self.commands
    }

    /// The names of the commands, by their number.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What each line states beside its command.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line> + Clone {
        self.lines.iter().map(|(line, _)| *line)
    }

    /// The number of the command of a line, which is numbered from 0.
    pub(super) fn command_of(&self, line: u32) -> u32 {
        self.lines[line as usize].1
    }

    /// The weight of a line, which is numbered from 0.
    pub(super) fn weight_of(&self, line: u32) -> u32 {
        self.lines[line as usize].0.weight.unwrap_or(1)
    }

    /// Whether the commands can be sent in this order.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub(crate) fn expect_usable(&self, order: Order) -> Result<(), String> {
        lines::expect_usable(order, "commands", self.lines())
    }

    /// Whether this protocol can have these commands.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub(crate) fn fits(&self, protocol: Protocol) -> Result<(), String> {
        self.commands.iter().try_for_each(|command| {
            let name = &self.names[usize::from(command.name)];
            let unfit = match (&command.words, protocol.is_resp()) {
                (words, true) => unfit_for_redis(name, words),
                (Words::Typed(words), false) => unfit_for_memcached(words),
                (Words::Literal(_), false) => {
                    Some("a command in JSON is one of Redis; write it as a line")
                }
            };
            let text = match &command.words {
                Words::Typed(words) => words.join(" "),
                Words::Literal(_) => name.clone(),
            };
            let path = self.path.display();
            unfit.map_or(Ok(()), |why| {
                Err(format!("{path}, line {}: '{text}': {why}", command.line))
            })
        })
    }
}

/// Why Redis does not answer a command with one reply.
fn unfit_for_redis(name: &str, words: &Words) -> Option<&'static str> {
    let without = ["subscribe", "psubscribe", "ssubscribe", "monitor", "quit", "reset"];
    // CLIENT REPLY takes away the replies of the commands after it.
    let is_reply = || match words {
        Words::Typed(words) => words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("reply")),
        Words::Literal(bytes) => {
            bytes.split(|byte| *byte == b'\n').any(|line| line.eq_ignore_ascii_case(b"reply\r"))
        }
    };
    (without.contains(&name) || name == "client" && is_reply())
        .then_some("it has not one reply; leave it out")
}

/// Why a command cannot be sent to memcached.
fn unfit_for_memcached(words: &[String]) -> Option<&'static str> {
    let (first, last) = (&words[0], words.len() - 1);
    let has_data = |word: &String| word.contains(DATA);
    if words.iter().any(|word| ["noreply", "quit", "q"].contains(&word.as_str())) {
        Some("it has not one reply; leave out noreply, q and quit")
    } else if words[..last].iter().any(has_data) || first == DATA {
        Some("only the last word of a line can be __data__")
    } else if has_data(&words[last]) && words[last] != DATA {
        Some("write __data__ as a word of its own")
    } else {
        None
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Parser {
    commands: Vec<FileCommand>,
    lines: Vec<(Line, u32)>,
    names: Vec<String>,
    numbers_of_names: HashMap<String, u16>,
    /// The commands whose bytes are known, by these bytes.
    known: HashMap<Arc<[u8]>, u32>,
    bytes: usize,
}

/// A line as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine {
    at: Option<f64>,
    command: Vec<Word>,
}

/// A word of a command.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a word is a text, or bytes as {\"base64\": \"/w==\"}")]
enum Word {
    Text(String),
    Bytes { base64: String },
}

impl Parser {
    fn take(&mut self, number: usize, line: &str) -> Result<(), String> {
        if self.lines.len() == REQUESTS_MAX {
            return Err(format!(
                "{REQUESTS_MAX} commands are before it, and no more are possible; leave out the \
                 rest"
            ));
        }
        let line = match line.starts_with('{') {
            true => self.json(number, line)?,
            false => self.typed(number, line)?,
        };
        self.lines.push(line);
        Ok(())
    }

    /// A line that is a command as it is typed.
    fn typed(&mut self, number: usize, line: &str) -> Result<(Line, u32), String> {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (weight, text) = match first.parse::<u32>() {
            Ok(0) => return Err("a weight must be at least 1".to_owned()),
            Ok(weight) => (Some(weight), rest.trim()),
            Err(_) => (None, line),
        };
        let words = shlex::split(text).ok_or("a quote does not end")?;
        let first = words.first().ok_or("there is no command behind the weight")?.clone();
        let command = self.push(number, first.as_bytes(), Words::Typed(words))?;
        Ok((Line { number, weight, at_ns: None }, command))
    }

    /// A line that is a JSON object.
    fn json(&mut self, number: usize, line: &str) -> Result<(Line, u32), String> {
        let JsonLine { at, command } = serde_json::from_str(line).map_err(|error| {
            format!(
                "{}; write it as {{\"at\":0.25,\"command\":[\"GET\",\"key\"]}}",
                lines::json_error(&error)
            )
        })?;
        let line = Line { number, weight: None, at_ns: at.map(lines::at_ns).transpose()? };
        let words: Vec<Vec<u8>> = command.into_iter().map(Word::bytes).collect::<Result<_, _>>()?;
        let first = words.first().ok_or("there is no word in the command")?;
        let bytes = resp(&words);
        if let Some(command) = self.known.get(&*bytes) {
            return Ok((line, *command));
        }
        self.bytes += bytes.len();
        if self.bytes > BYTES_MAX {
            return Err("the commands up to it have more than 1GiB, which is the most that is \
                        possible; leave out the rest"
                .to_owned());
        }
        let bytes: Arc<[u8]> = bytes.into();
        let command = self.push(number, first, Words::Literal(Arc::clone(&bytes)))?;
        self.known.insert(bytes, command);
        Ok((line, command))
    }

    fn push(&mut self, line: usize, first: &[u8], words: Words) -> Result<u32, String> {
        let name = String::from_utf8_lossy(first).to_lowercase();
        let name = match self.numbers_of_names.get(&name) {
            Some(name) => *name,
            None if self.names.len() == NAMES_MAX => {
                return Err(format!(
                    "{NAMES_MAX} different commands are before it; is the first word of each line \
                     the name of a command?"
                ));
            }
            None => {
                let number = self.names.len() as u16;
                self.numbers_of_names.insert(name.clone(), number);
                self.names.push(name);
                number
            }
        };
        self.commands.push(FileCommand { words, name, line });
        Ok((self.commands.len() - 1) as u32)
    }
}

impl Word {
    fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Bytes { base64 } => BASE64_STANDARD
                .decode(&base64)
                .map_err(|error| format!("'{base64}' is not base64: {error}")),
        }
    }
}

/// A command in RESP.
fn resp(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> CommandFile {
        CommandFile::of_text("c.txt", text).unwrap()
    }

    fn refusal(text: &str) -> String {
        CommandFile::of_text("c.txt", text).unwrap_err()
    }

    #[test]
    fn a_line_is_a_command_with_its_weight() {
        let file = file("# all\n\n9 GET __key__\n  LPUSH \"a b\" __data__ \n");
        let lines: Vec<_> = file.lines().map(|line| (line.number, line.weight)).collect();
        assert_eq!(lines, [(3, Some(9)), (4, None)]);
        assert_eq!((file.weight_of(0), file.weight_of(1)), (9, 1));
        assert_eq!(file.names(), ["get", "lpush"]);
        let words = ["LPUSH", "a b", "__data__"].map(str::to_owned).to_vec();
        assert_eq!(file.commands()[1].words, Words::Typed(words));
    }

    #[test]
    fn a_line_of_json_has_a_time_and_the_bytes_of_its_words_as_they_are() {
        let file = file(
            "{\"at\":0.25,\"command\":[\"SET\",\"__key__\",\"a\\u0000\\u00e9\"]}\n\
             {\"command\":[\"set\",{\"base64\":\"/w==\"},\"\"]}\n",
        );
        let literal = |bytes: &[u8]| Words::Literal(bytes.into());
        let words: Vec<_> = file.commands().iter().map(|command| command.words.clone()).collect();
        let first = b"*3\r\n$3\r\nSET\r\n$7\r\n__key__\r\n$4\r\na\0\xc3\xa9\r\n";
        let second = b"*3\r\n$3\r\nset\r\n$1\r\n\xff\r\n$0\r\n\r\n";
        assert_eq!(words, [literal(first), literal(second)]);
        let times: Vec<_> = file.lines().map(|line| line.at_ns).collect();
        assert_eq!(times, [Some(250_000_000), None]);
        assert_eq!(file.names(), ["set"]);
    }

    #[test]
    fn only_typed_words_have_places_for_keys_and_values() {
        for (text, has_placeholders) in [
            ("GET a\nGET x__key__\n", true),
            ("LPUSH a __data__\n", true),
            ("GET a\n", false),
            ("{\"command\":[\"GET\",\"__key__\"]}\n", false),
        ] {
            assert_eq!(file(text).has_placeholders(), has_placeholders, "{text}");
        }
    }

    #[test]
    fn lines_with_the_same_words_share_a_command() {
        let get = |key: &str, at: u32| format!("{{\"at\":{at},\"command\":[\"GET\",\"{key}\"]}}\n");
        let file = file(&(get("a", 0) + &get("b", 1) + &get("a", 2) + "GET a\n"));
        let commands: Vec<u32> = (0..4).map(|line| file.command_of(line)).collect();
        assert_eq!((commands, file.commands().len()), (vec![0, 1, 0, 2], 3));
    }

    #[test]
    fn a_line_that_is_no_command_is_named() {
        for (text, said) in [
            ("GET a\nGET \"b", "c.txt, line 2: a quote does not end"),
            ("0 GET a", "line 1: a weight must be at least 1"),
            ("5", "no command behind"),
            ("# nothing\n", "has no command"),
            ("{\"command\":[]}", "there is no word"),
            ("{\"command\":[3]}", "a word is a text, or bytes as"),
            ("{\"command\":[{\"base64\":\"?\"}]}", "'?' is not base64"),
            ("{\"command\":[\"GET\"],\"key\":1}", "unknown field `key`"),
            ("{\"at\":-1,\"command\":[\"GET\"]}", "at -1: write the seconds"),
            ("{\"at\":0,\"command\":[\"GET\"", "write it as {\"at\":0.25,\"command\":"),
        ] {
            assert!(refusal(text).contains(said), "{text}: {}", refusal(text));
        }
        let names: String = (0..=NAMES_MAX).map(|number| format!("c{number}\n")).collect();
        assert!(refusal(&names).contains("line 1001: 1000 different commands are before it"));
        assert!(CommandFile::read_shared("/no/such").unwrap_err().contains("a file of commands"));
    }

    #[test]
    fn commands_without_one_reply_are_refused() {
        for (protocol, text) in [
            (Protocol::Resp2, "subscribe a"),
            (Protocol::Resp3, "Client Reply Skip"),
            (Protocol::MemcachedText, "set __key__ 0 0 __data__ noreply"),
            (Protocol::MemcachedText, "set __data__ 0 0 5"),
            (Protocol::MemcachedMeta, "ms __key__ x__data__"),
            (Protocol::MemcachedMeta, "mg __key__ v q"),
        ] {
            let said = file(text).fits(protocol).unwrap_err();
            assert!(said.contains(&format!("c.txt, line 1: '{text}'")), "{said}");
        }
        file("set __key__ 0 0 __data__\nincr n 1\nmn").fits(Protocol::MemcachedText).unwrap();
        file("SET __key__ x__data__").fits(Protocol::Resp3).unwrap();
        let json = |name: &str| file(&format!("PING\n{{\"command\":[\"{name}\"]}}\n"));
        json("get").fits(Protocol::Resp2).unwrap();
        json(r#"client","id"#).fits(Protocol::Resp2).unwrap();
        let said = json(r#"CLIENT","REPLY","OFF"#).fits(Protocol::Resp2).unwrap_err();
        assert!(said.contains("line 2: 'client': it has not one reply"), "{said}");
        let said = json("MONITOR").fits(Protocol::Resp2).unwrap_err();
        assert!(said.contains("line 2: 'monitor': it has not one reply"), "{said}");
        let said = json("get").fits(Protocol::MemcachedText).unwrap_err();
        assert!(said.contains("a command in JSON is one of Redis"), "{said}");
    }
}
