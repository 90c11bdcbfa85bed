//! What `redis-cli MONITOR` prints: a line for each command that Redis executes.
//!
//! ```text
//! 1700000000.123456 [0 127.0.0.1:50000] "SET" "key" "va\x00lue"
//! 1700000000.123457 [0 lua] "GET" "key"
//! 1700000000.123458 [0 unix:/run/redis.sock] "PING"
//! ```
//!
//! A word is in quotation marks. In it, Redis escapes these, the backslash, `\n`, `\r`, `\t`, `\a`,
//! `\b`, and as `\x00` each other byte that is not printable (`sdscatrepr`). A line does not state
//! whether the command succeeded.

use std::io::{BufRead, Read as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Import, Request, at_s};

const SECOND_NS: u64 = 1_000_000_000;

/// Longest line. Most of the bytes of a value may be escapes of four characters.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// Most bytes that RESP has around a word.
const FRAME_BYTES: usize = 16;

/// A command, and when it was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MonitoredCommand {
    at_ns: u64,
    /// The words as a list of JSON, as the file of commands has them.
    words: String,
    bytes: usize,
}

impl Request for MonitoredCommand {
    fn at_ns(&self) -> u64 {
        self.at_ns
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn line(&self, start_ns: u64) -> String {
        format!("{{\"at\":{},\"command\":{}}}", at_s(self.at_ns, start_ns), self.words)
    }
}

/// Reads the first `most` commands on a database.
pub(super) fn read(
    mut input: impl BufRead,
    database: u32,
    most: usize,
) -> Result<Import<MonitoredCommand>, String> {
    let mut import = Import::default();
    let (mut number, mut before_ns, mut bytes) = (0_u64, 0, Vec::new());
    while import.requests.len() < most {
        bytes.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| {
            format!("{error}, after line {number}; can the file be read to its end?")
        })?;
        if read == 0 {
            break;
        }
        number += 1;
        let place = || format!("line {number}");
        if read as u64 == LINE_BYTES_MAX {
            return Err(format!(
                "line {number} has 256 MiB or more; is it what redis-cli MONITOR has printed?"
            ));
        }
        match command(&bytes, database) {
            Ok(None) => {}
            Ok(Some(mut command)) => {
                if command.at_ns < before_ns {
                    let reason = "times that go back, instead of which the time before is used";
                    import.left_out.add(reason, place);
                }
                command.at_ns = command.at_ns.max(before_ns);
                before_ns = command.at_ns;
                import.requests.push(command);
            }
            Err(reason) => import.left_out.add(reason, place),
        }
    }
    Ok(import)
}

/// The command of a line; nothing if the line has none, and should not. An error is why it cannot
/// be used.
fn command(line: &[u8], database: u32) -> Result<Option<MonitoredCommand>, &'static str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // Without redis-cli, a line is a simple string of RESP.
    let line = line.strip_prefix(b"+").unwrap_or(line);
    if matches!(line, b"" | b"OK") {
        return Ok(None);
    }
    let (at_ns, rest) = time(line).ok_or("lines without a time such as 1700000000.123456")?;
    let (of, client, rest) =
        source(rest).ok_or("lines without a database and a client, such as [0 127.0.0.1:50000]")?;
    let words = words(rest).ok_or("lines that are cut or damaged")?;
    let name = words.first().ok_or("lines that are cut or damaged")?.to_ascii_uppercase();
    if client == b"lua" {
        return Err("commands of scripts, which EVAL, EVALSHA and FCALL execute again");
    }
    if let Some(reason) = unfit(&name, &words) {
        return Err(reason);
    }
    if of != database {
        return Err("commands on other databases (--select-db)");
    }
    let bytes = words.iter().map(|word| word.len() + FRAME_BYTES).sum();
    let words = words.iter().map(|word| as_json(word)).collect();
    Ok(Some(MonitoredCommand { at_ns, words: Value::Array(words).to_string(), bytes }))
}

/// Why a command cannot be sent again.
fn unfit(name: &[u8], words: &[Vec<u8>]) -> Option<&'static str> {
    let has = |wanted: &[u8]| words.iter().any(|word| word.eq_ignore_ascii_case(wanted));
    Some(match name {
        b"AUTH" => "AUTH, whose password Redis does not show (--authenticate)",
        b"HELLO" | b"SELECT" | b"CLIENT" | b"READONLY" | b"READWRITE" | b"ASKING" | b"RESET"
        | b"QUIT" => {
            "commands about their connection: HELLO, SELECT, CLIENT, READONLY, READWRITE, ASKING, \
             RESET, QUIT"
        }
        b"MULTI" | b"EXEC" | b"DISCARD" | b"WATCH" | b"UNWATCH" => {
            "MULTI, EXEC, DISCARD, WATCH, UNWATCH: the commands of a transaction are sent one by \
             one"
        }
        b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
        | b"SUNSUBSCRIBE" => "subscriptions, which have not one reply",
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BLMPOP" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX"
        | b"BZMPOP" | b"WAIT" | b"WAITAOF" => BLOCKING,
        b"XREAD" | b"XREADGROUP" if has(b"BLOCK") => BLOCKING,
        b"SYNC" | b"PSYNC" | b"REPLCONF" | b"REPLICAOF" | b"SLAVEOF" => "commands of replication",
        b"MONITOR" => "MONITOR",
        b"ACL" | b"BGREWRITEAOF" | b"BGSAVE" | b"CLUSTER" | b"CONFIG" | b"DEBUG" | b"FAILOVER"
        | b"MIGRATE" | b"MODULE" | b"SAVE" | b"SHUTDOWN" => {
            "commands that change the server: ACL, BGREWRITEAOF, BGSAVE, CLUSTER, CONFIG, DEBUG, \
             FAILOVER, MIGRATE, MODULE, SAVE, SHUTDOWN"
        }
        _ if has(b"(redacted)") => "commands with a word that Redis does not show",
        _ => return None,
    })
}

const BLOCKING: &str = "commands that block their connection: BLPOP and its like, XREAD and \
                        XREADGROUP with BLOCK, WAIT";

/// The seconds and microseconds at the beginning of a line, and what follows the blank behind them.
fn time(line: &[u8]) -> Option<(u64, &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    let (seconds, fraction) = str::from_utf8(&line[..end]).ok()?.split_once('.')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(seconds) || !is_digits(fraction) || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse::<u64>().ok()?;
    let at_ns = seconds.parse::<u64>().ok()?.checked_mul(SECOND_NS)?.checked_add(nanoseconds)?;
    Some((at_ns, &line[end + 1..]))
}

/// The database, the client, and what follows the blank behind the brackets around them.
fn source(rest: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let inside = rest.strip_prefix(b"[")?;
    // The path of a socket may have a bracket; the first word has a quotation mark.
    let end = inside.windows(3).position(|three| three == b"] \"")?;
    let (inside, rest) = (&inside[..end], &inside[end + 2..]);
    let blank = inside.iter().position(|&byte| byte == b' ')?;
    let database = str::from_utf8(&inside[..blank]).ok()?.parse().ok()?;
    Some((database, &inside[blank + 1..], rest))
}

/// The words of a command; nothing if they are not whole.
fn words(mut rest: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    loop {
        let (word, behind) = word(rest.strip_prefix(b"\"")?)?;
        words.push(word);
        match behind {
            [] => return Some(words),
            [b' ', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// A word up to its closing quotation mark, and what is behind that.
fn word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut word, mut rest) = (Vec::new(), text);
    loop {
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        word.extend_from_slice(&rest[..plain]);
        let behind = &rest[plain + 1..];
        if rest[plain] == b'"' {
            return Some((word, behind));
        }
        let (byte, behind) = match behind {
            [b'x', high, low, behind @ ..] => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                ((digit(high)? << 4 | digit(low)?) as u8, behind)
            }
            [escaped, behind @ ..] => (unescaped(*escaped)?, behind),
            [] => return None,
        };
        word.push(byte);
        rest = behind;
    }
}

/// The byte that is written as a backslash and this one.
fn unescaped(escaped: u8) -> Option<u8> {
    Some(match escaped {
        b'\\' | b'"' => escaped,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        _ => return None,
    })
}

/// A word in the file of commands.
fn as_json(word: &[u8]) -> Value {
    match str::from_utf8(word) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(word) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A word as Redis prints it, written from its rules and from nothing else here.
    fn printed(word: &[u8]) -> String {
        let mut text = "\"".to_owned();
        for &byte in word {
            text += &match byte {
                0x5c => r"\\".to_owned(),
                0x22 => r#"\""#.to_owned(),
                0x0a => r"\n".to_owned(),
                0x0d => r"\r".to_owned(),
                0x09 => r"\t".to_owned(),
                0x07 => r"\a".to_owned(),
                0x08 => r"\b".to_owned(),
                0x20..=0x7e => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
        }
        text + "\""
    }

    fn line(database: u32, client: &str, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| printed(word.as_bytes())).collect();
        format!("1700000000.000001 [{database} {client}] {}\n", words.join(" "))
    }

    fn imported(text: &str) -> (Vec<String>, String) {
        let import = read(text.as_bytes(), 0, usize::MAX).unwrap();
        let words = import.requests.iter().map(|command| command.words.clone()).collect();
        (words, import.left_out.to_string())
    }

    proptest! {
        #[test]
        fn the_words_of_a_line_are_those_that_redis_has_printed(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            seconds in 0_u64..1 << 33,
            microseconds in 0_u64..1_000_000,
            client in "(127\\.0\\.0\\.1:[0-9]{1,5}|\\[::1\\]:[0-9]{1,5}|unix:/[a-z\\] ]{0,9})",
            end in "(\n|\r\n|)",
        ) {
            let texts: Vec<String> = words.iter().map(|word| printed(word)).collect();
            let line =
                format!("{seconds}.{microseconds:06} [3 {client}] {}{end}", texts.join(" "));
            let bytes = line.trim_end().as_bytes();
            let (at_ns, rest) = time(bytes).unwrap();
            prop_assert_eq!(at_ns, seconds * SECOND_NS + microseconds * 1_000);
            let (database, of, rest) = source(rest).unwrap();
            prop_assert_eq!((database, of), (3, client.as_bytes()));
            prop_assert_eq!(super::words(rest), Some(words));
            // A line that is cut is no other command.
            prop_assert_eq!(super::words(&rest[..rest.len() - 1]), None);
        }

        #[test]
        fn no_bytes_end_the_program(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes[..], 0, usize::MAX);
            let head = b"1.5 [0 a] \"";
            let _ = read(&[head, &bytes[..]].concat()[..], 0, usize::MAX);
        }
    }

    #[test]
    fn commands_have_their_times_and_all_bytes_of_their_words() {
        let text = "OK\n\
             1700000000.250000 [0 127.0.0.1:5] \"SET\" \"a \\\"b\\\"\" \"\\x00\\xff\"\n\
             +1700000001.5 [0 unix:/a] s] \"get\" \"\\xc3\\xa9\\x01\"\r\n";
        let import = read(text.as_bytes(), 0, usize::MAX).unwrap();
        assert!(import.left_out.is_empty(), "{}", import.left_out);
        let start_ns = import.requests[0].at_ns;
        let lines: Vec<_> = import.requests.iter().map(|one| one.line(start_ns)).collect();
        let first = r#"{"at":0.0,"command":["SET","a \"b\"",{"base64":"AP8="}]}"#;
        assert_eq!(lines, [first, r#"{"at":1.25,"command":["get","é\u0001"]}"#]);
    }

    #[test]
    fn what_cannot_be_sent_again_is_left_out_and_counted() {
        let mut text = line(0, "lua", &["GET", "a"]) + &line(7, "1.2.3.4:5", &["GET", "a"]);
        for words in [
            &["MONITOR"][..],
            &["auth", "(redacted)"],
            &["Hello", "3"],
            &["select", "7"],
            &["multi"],
            &["exec"],
            &["watch", "a"],
            &["subscribe", "a"],
            &["blpop", "a", "0"],
            &["XREAD", "block", "0", "STREAMS", "a", "$"],
            &["replconf", "ack", "1"],
            &["shutdown"],
            &["SET", "a", "(redacted)"],
            &["XREAD", "STREAMS", "a", "0"],
        ] {
            text += &line(0, "1.2.3.4:5", words);
        }
        text += "1700000000.1 [0 1.2.3.4:5] \"SET\" \"a\n";
        text += "1700000000.1 [0 1.2.3.4:5] \"SET\" \"\\y\"\n";
        text += "1700000000.1 \"SET\"\nError: Server closed the connection\n";
        let (commands, left_out) = imported(&text);
        assert_eq!(commands, [r#"["XREAD","STREAMS","a","0"]"#]);
        for said in [
            "scripts, which EVAL, EVALSHA and FCALL execute again: 1 (the first: line 1)",
            "commands on other databases (--select-db): 1 (the first: line 2)",
            "MONITOR: 1 (the first: line 3)",
            "AUTH, whose password Redis does not show (--authenticate): 1",
            "RESET, QUIT: 2 (the first: line 5)",
            "are sent one by one: 3 (the first: line 7)",
            "subscriptions, which have not one reply: 1",
            "with BLOCK, WAIT: 2 (the first: line 11)",
            "commands of replication: 1",
            "SAVE, SHUTDOWN: 1",
            "a word that Redis does not show: 1 (the first: line 15)",
            "lines that are cut or damaged: 2 (the first: line 17)",
            "a database and a client, such as [0 127.0.0.1:50000]: 1",
            "lines without a time such as 1700000000.123456: 1",
        ] {
            assert!(left_out.contains(said), "{said}: {left_out}");
        }
        let of_seven = read(text.as_bytes(), 7, usize::MAX).unwrap();
        assert_eq!(of_seven.requests.len(), 1);
    }

    #[test]
    fn a_time_that_goes_back_is_that_of_the_command_before() {
        let at = |time: &str| format!("{time} [0 1.2.3.4:5] \"PING\"\n");
        let text = at("10.5") + &at("10.4") + &at("11.0");
        let import = read(text.as_bytes(), 0, usize::MAX).unwrap();
        let times: Vec<u64> = import.requests.iter().map(|one| one.at_ns / 100_000_000).collect();
        assert_eq!(times, [105, 105, 110]);
        let said = import.left_out.to_string();
        assert!(said.starts_with("times that go back") && said.contains("line 2"), "{said}");
    }

    #[test]
    fn the_first_commands_are_read_and_no_more() {
        let text = line(0, "1.2.3.4:5", &["PING"]).repeat(5) + "damaged";
        let import = read(text.as_bytes(), 0, 3).unwrap();
        assert_eq!((import.requests.len(), import.left_out.is_empty()), (3, true));
    }
}
