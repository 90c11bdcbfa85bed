//! A line of the log, as text for people or as JSON for programs.

use std::fmt::Write as _;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;
use log::Record;
use log::kv::{self, Key, Value, VisitSource};
use serde_json::{Map, Value as Json};

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// `2026-11-24T11:22:33.123Z WARN accept: accepting pauses; … error=… pause_ms=10`
    #[default]
    Text,
    /// An object with `ts`, `level`, `target`, `message` and `fields`.
    Json,
}

impl LogFormat {
    pub(super) fn line(self, record: &Record<'_>, time: SystemTime) -> String {
        let mut fields = Fields::default();
        // A field that cannot be formatted must not suppress the message.
        let _ = record.key_values().visit(&mut fields);
        match self {
            Self::Text => text(record, time, &fields.0),
            Self::Json => json(record, time, fields.0),
        }
    }
}

fn text(record: &Record<'_>, time: SystemTime, fields: &[Field]) -> String {
    let (ts, level, target) = (format_rfc3339_millis(time), record.level(), record.target());
    let mut line = format!("{ts} {level} {target}: {}", OneLine(&record.args().to_string()));
    for (key, value) in fields {
        let written = match value {
            Json::String(text) if is_plain(text) => write!(line, " {key}={text}"),
            value => write!(line, " {key}={}", one_line(value)),
        };
        written.expect("a string takes everything");
    }
    line.push('\n');
    line
}

fn json(record: &Record<'_>, time: SystemTime, fields: Vec<Field>) -> String {
    let mut line = one_line(&serde_json::json!({
        "ts": format_rfc3339_millis(time).to_string(),
        "level": record.level().as_str(),
        "target": record.target(),
        "message": record.args().to_string(),
        "fields": fields.into_iter().collect::<Map<_, _>>(),
    }));
    line.push('\n');
    line
}

/// Whether a value can stand without quotes.
fn is_plain(text: &str) -> bool {
    let needs_quotes = |c: char| c.is_whitespace() || is_unsafe(c) || matches!(c, '"' | '=');
    !text.is_empty() && !text.contains(needs_quotes)
}

/// Whether a character could end a line or control a terminal: control characters, line and
/// paragraph separators, and those that change the direction of what follows.
fn is_unsafe(c: char) -> bool {
    let changes_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || changes_direction
}

/// A value as JSON, with every unsafe character escaped. In JSON they stand in strings only.
fn one_line(value: &Json) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        match c {
            c if is_unsafe(c) => {
                write!(line, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
            }
            c => line.push(c),
        }
    }
    line
}

/// Escapes a message to one line, because it may quote what clients sent.
struct OneLine<'a>(&'a str);

impl std::fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_unsafe(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

type Field = (String, Json);

/// In the order they were given.
#[derive(Default)]
struct Fields(Vec<Field>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let number = || value.to_f64().and_then(serde_json::Number::from_f64).map(Json::Number);
        let json = value
            .to_bool()
            .map(Json::from)
            .or_else(|| value.to_u64().map(Json::from))
            .or_else(|| value.to_i64().map(Json::from))
            .or_else(number)
            .unwrap_or_else(|| Json::String(value.to_string()));
        self.0.push((key.as_str().to_owned(), json));
        Ok(())
    }
}

/// Panics unless a line of each format keeps what it promises for a message and a field with this
/// text, which may be what a client sent.
#[cfg(any(test, fuzzing))]
pub(crate) fn log_line(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    let fields = [("sent", Value::from(text)), ("length", bytes.len().into())];
    for format in [LogFormat::Text, LogFormat::Json] {
        let mut record = Record::builder();
        record.level(log::Level::Warn).target("test").key_values(&fields);
        let line =
            format.line(&record.args(format_args!("{text}")).build(), SystemTime::UNIX_EPOCH);
        let content = line.strip_suffix('\n').expect("it has an end");
        assert!(!content.contains(|c: char| c.is_control() || is_unsafe(c)), "{content:?}");
        // An escape is at most six times as long as its character.
        assert!(line.len() <= 200 + 2 * 6 * text.len(), "{} bytes", line.len());
        match format {
            LogFormat::Text => {
                let begin = format!("1970-01-01T00:00:00.000Z WARN test: {} sent=", OneLine(text));
                let (sent, length) =
                    (content.strip_prefix(&begin), format!(" length={}", bytes.len()));
                let sent = sent.and_then(|rest| rest.strip_suffix(&length)).expect("both fields");
                let is_quoted = sent.starts_with('"');
                let read: String =
                    if is_quoted { serde_json::from_str(sent).unwrap() } else { sent.into() };
                assert_eq!(read, text);
            }
            LogFormat::Json => {
                let read: Json = serde_json::from_str(content).expect("it is JSON");
                assert_eq!(read["message"], text);
                assert_eq!(read["fields"]["sent"], text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::Level;
    use proptest::prelude::*;
    use test_inputs::like;

    use super::*;

    const TEXTS: &[&[u8]] = &[
        b"cannot accept: Too many open files (os error 24)",
        b"2026-11-24T11:22:33.123Z INFO drain: forged\n",
        b"a \"quoted\" word=1",
        "\u{9b}2J \u{202e}gnp.exe \u{2028}".as_bytes(),
    ];

    proptest! {
        #[test]
        fn any_text_is_one_line_and_is_read_back(bytes in like(TEXTS)) {
            log_line(&bytes);
        }
    }

    /// evshard: a field could hold the control characters U+0080 to U+009F, which some terminals
    /// obey.
    #[test]
    fn a_field_with_characters_that_terminals_obey_is_printed_as_it_is() {
        for c in ['\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{200f}', '\u{2028}', '\u{202e}'] {
            let text = format!("a{c}b");
            for format in [LogFormat::Text, LogFormat::Json] {
                let line = line(format, &text, &[("sent", text.as_str().into())]);
                assert!(!line.contains(c), "{line:?}");
            }
            log_line(text.as_bytes());
        }
    }

    fn line(format: LogFormat, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_519_353_123);
        let mut record = Record::builder();
        record.level(Level::Warn).target("accept").key_values(&fields);
        format.line(&record.args(format_args!("{message}")).build(), time)
    }

    #[test]
    fn a_line_of_text_is_time_level_target_message_and_fields() {
        let fields = [("errno", 24.into()), ("peer", "unix".into()), ("why", "no room".into())];
        assert_eq!(
            line(LogFormat::Text, "out of descriptors", &fields),
            "2026-11-24T11:22:33.123Z WARN accept: out of descriptors \
             errno=24 peer=unix why=\"no room\"\n"
        );
    }

    #[test]
    fn what_a_client_sent_cannot_look_like_another_line() {
        let forged = "a\n2026-11-24T11:22:33.123Z INFO drain: b\x1b[2J";
        let text = line(LogFormat::Text, forged, &[("sent", forged.into()), ("empty", "".into())]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\x1b') && text.ends_with("empty=\"\"\n"), "{text}");
        assert_eq!(line(LogFormat::Json, forged, &[]).lines().count(), 1);
    }

    #[test]
    fn a_line_of_json_is_an_object_with_typed_fields() {
        let fields = [
            ("errno", Value::from(24)),
            ("delta", Value::from(-3)),
            ("share", Value::from(0.5)),
            ("armed", Value::from(true)),
            ("peer", Value::from("[::1]:9")),
        ];
        let line = line(LogFormat::Json, "quote \"it\"", &fields);
        let found: Json = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "ts": "2026-11-24T11:22:33.123Z", "level": "WARN", "target": "accept",
            "message": "quote \"it\"",
            "fields": { "errno": 24, "delta": -3, "share": 0.5, "armed": true, "peer": "[::1]:9" },
        });
        assert_eq!(found, expected);
    }
}
