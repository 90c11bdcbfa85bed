//! The bytes of a command, with places for its key and its value.

use std::sync::Arc;

use super::super::frame::append_rest;
use super::super::framing::HeadBuffer;
use super::super::payload::Payload;
use super::command_file::{DATA, KEY};
use super::mix::Verb;
use super::request::Request;
use super::spec::KeyPrefix;
use super::value::{Value, Values};

/// Digits of the number of a key. So all keys have the same length.
const KEY_DIGITS: usize = 12;

/// The language of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// RESP, version 2 or 3: requests are the same in both.
    Resp,
    /// memcached's text protocol.
    Text,
    /// memcached's meta commands.
    Meta,
}

/// A part of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// A whole command, whose bytes a file has.
    Literal(Arc<[u8]>),
    /// The digits of the key. Its prefix is part of the text before them.
    Key,
    /// The length of the value and so many bytes beside it, in decimal digits.
    ValueLength {
        beside: u32,
    },
    Value,
}

/// The bytes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// Length of all parts but those of the value.
    constant_bytes: u64,
    has_value: bool,
}

impl Template {
    /// The command of a mix in this language.
    pub(super) fn of_verb(verb: Verb, dialect: Dialect, prefix: &KeyPrefix) -> Self {
        use Part::{Key, Text, Value};
        let text = |text: &str| Text(text.as_bytes().to_vec());
        let key_bytes = prefix.as_bytes().len() + KEY_DIGITS;
        let bulk = |words: &str| text(&format!("{words}\r\n${key_bytes}\r\n"));
        let end = || text("\r\n");
        let parts = match (dialect, verb) {
            (Dialect::Resp, Verb::Get) => vec![bulk("*2\r\n$3\r\nGET"), Key, end()],
            (Dialect::Resp, Verb::Delete) => vec![bulk("*2\r\n$3\r\nDEL"), Key, end()],
            (Dialect::Resp, Verb::Set) => {
                vec![bulk("*3\r\n$3\r\nSET"), Key, text("\r\n$"), LENGTH, end(), Value, end()]
            }
            (Dialect::Text, Verb::Get) => vec![text("get "), Key, end()],
            (Dialect::Text, Verb::Delete) => vec![text("delete "), Key, end()],
            (Dialect::Text, Verb::Set) => {
                vec![text("set "), Key, text(" 0 0 "), LENGTH, end(), Value, end()]
            }
            (Dialect::Meta, Verb::Get) => vec![text("mg "), Key, text(" v\r\n")],
            (Dialect::Meta, Verb::Delete) => vec![text("md "), Key, end()],
            (Dialect::Meta, Verb::Set) => {
                vec![text("ms "), Key, text(" "), LENGTH, end(), Value, end()]
            }
        };
        Self::new(parts, prefix)
    }

    /// The command of these words in this language, in which `__key__` and `__data__` stand for
    /// key and value.
    pub(super) fn of_words(words: &[String], dialect: Dialect, prefix: &KeyPrefix) -> Self {
        let mut parts = Vec::new();
        match dialect {
            Dialect::Resp => {
                push_text(&mut parts, format!("*{}\r\n", words.len()));
                words.iter().for_each(|word| push_bulk(&mut parts, word, prefix));
            }
            Dialect::Text | Dialect::Meta => push_line(&mut parts, words),
        }
        Self::new(parts, prefix)
    }

    /// The command that has these bytes.
    pub(super) fn literal(bytes: &Arc<[u8]>) -> Self {
        Self::of_parts(vec![Part::Literal(Arc::clone(bytes))])
    }

    fn new(parts: Vec<Part>, prefix: &KeyPrefix) -> Self {
        // One text instead of two is one copy less for each request.
        let mut merged = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => push_text(&mut merged, &text),
                Part::Key => {
                    push_text(&mut merged, prefix.as_bytes());
                    merged.push(Part::Key);
                }
                Part::Literal(_) | Part::ValueLength { .. } | Part::Value => merged.push(part),
            }
        }
        Self::of_parts(merged)
    }

    fn of_parts(parts: Vec<Part>) -> Self {
        let bytes = |part: &Part| match part {
            Part::Text(text) => text.len() as u64,
            Part::Literal(bytes) => bytes.len() as u64,
            Part::Key => KEY_DIGITS as u64,
            Part::ValueLength { .. } | Part::Value => 0,
        };
        Self {
            constant_bytes: parts.iter().map(bytes).sum(),
            has_value: parts.contains(&Part::Value),
            parts,
        }
    }

    /// Whether the command has a value, and so a size.
    pub(super) fn has_value(&self) -> bool {
        self.has_value
    }

    /// Length of the request.
    pub(super) fn bytes(&self, request: &Request) -> u64 {
        if !self.has_value {
            return self.constant_bytes;
        }
        let bytes = |part: &Part| match part {
            Part::ValueLength { beside } => {
                u64::from((request.size + beside).checked_ilog10().unwrap_or(0)) + 1
            }
            Part::Value => request.size.into(),
            Part::Text(_) | Part::Literal(_) | Part::Key => 0,
        };
        self.constant_bytes + self.parts.iter().map(bytes).sum::<u64>()
    }

    /// Appends the request from `offset` bytes on to `out`, until `out` has `limit` bytes.
    pub(super) fn append(
        &self,
        request: &Request,
        offset: u64,
        values: &Values,
        payload: &Payload,
        out: &mut Vec<u8>,
        limit: usize,
    ) {
        let mut skip = offset;
        for part in &self.parts {
            match part {
                Part::Text(text) => append_rest(text, &mut skip, out, limit),
                Part::Literal(bytes) => append_rest(bytes, &mut skip, out, limit),
                Part::Key => append_rest(&key_digits(request.key), &mut skip, out, limit),
                Part::ValueLength { beside } => {
                    let mut buffer = HeadBuffer::default();
                    let digits = buffer.push_decimal((request.size + beside).into()).written();
                    append_rest(digits, &mut skip, out, limit);
                }
                Part::Value if skip >= u64::from(request.size) => skip -= u64::from(request.size),
                Part::Value => {
                    let Request { key, version, size, .. } = *request;
                    values.append(Value { key, version, size }, skip, payload, out, limit);
                    skip = 0;
                }
            }
        }
    }
}

/// The length of a value.
const LENGTH: Part = Part::ValueLength { beside: 0 };

/// Appends text to the parts of a command.
fn push_text(parts: &mut Vec<Part>, text: impl AsRef<[u8]>) {
    match parts.last_mut() {
        Some(Part::Text(before)) => before.extend_from_slice(text.as_ref()),
        _ => parts.push(Part::Text(text.as_ref().to_vec())),
    }
}

/// The text, keys and values of a word.
fn parts_of_word(word: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, between) in word.split(KEY).enumerate() {
        if index > 0 {
            parts.push(Part::Key);
        }
        for (index, text) in between.split(DATA).enumerate() {
            if index > 0 {
                parts.push(Part::Value);
            }
            push_text(&mut parts, text);
        }
    }
    parts
}

/// Appends a word as a bulk string of RESP.
fn push_bulk(parts: &mut Vec<Part>, word: &str, prefix: &KeyPrefix) {
    let inner = parts_of_word(word);
    let beside: usize = inner
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Key => prefix.as_bytes().len() + KEY_DIGITS,
            Part::Literal(_) | Part::ValueLength { .. } | Part::Value => 0,
        })
        .sum();
    push_text(parts, "$");
    if inner.contains(&Part::Value) {
        parts.push(Part::ValueLength { beside: u32::try_from(beside).unwrap_or(u32::MAX) });
    } else {
        push_text(parts, beside.to_string());
    }
    push_text(parts, "\r\n");
    parts.extend(inner);
    push_text(parts, "\r\n");
}

/// Appends a line of memcached. A value at its end is stated by its length, and follows.
fn push_line(parts: &mut Vec<Part>, words: &[String]) {
    for (index, word) in words.iter().enumerate() {
        push_text(parts, if index == 0 { "" } else { " " });
        if word == DATA {
            parts.extend([LENGTH, Part::Text(b"\r\n".to_vec()), Part::Value]);
        } else {
            parts.extend(parts_of_word(word));
        }
    }
    push_text(parts, "\r\n");
}

/// The digits of a key, with zeros before them.
pub(super) fn key_digits(key: u32) -> [u8; KEY_DIGITS] {
    let mut digits = [b'0'; KEY_DIGITS];
    let mut left = key;
    for place in digits.iter_mut().rev() {
        if left == 0 {
            break;
        }
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    digits
}
