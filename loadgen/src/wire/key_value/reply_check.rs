//! What a reply means to its request: done, a value, no value, an error, or a value that the server
//! must not return now.

use super::super::mismatch::{printable_line, server_message};
use super::super::payload::Payload;
use super::super::reply::{ErrorWord, Outcome, WrongKind};
use super::reply_reader::{Piece, decimal};
use super::request::Request;
use super::template::Dialect;
use super::traffic::{KeyValueTraffic, Meaning};
use super::value::{Found, Value, ValueCheck};
use super::versions::is_before;

/// How error lines of memcached begin.
const MEMCACHED_ERRORS: [&[u8]; 5] =
    [b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"NOT_STORED", b"NS"];

/// Most bytes of an error that are stored.
const ERROR_BYTES_MAX: usize = 256;

/// What the lines so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    Done,
    Hit,
    Miss,
    Error,
    /// The server says that the value is another key's.
    OtherKey,
}

/// The check of the reply that is being received.
#[derive(Debug)]
pub(super) struct ReplyCheck {
    state: State,
    value: Option<ValueCheck>,
    /// The beginning of an error.
    error: Vec<u8>,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) kind: WrongKind,
    pub(super) words: String,
}

impl ReplyCheck {
    /// Before the first reply.
    pub(super) fn new() -> Self {
        Self { state: State::Nothing, value: None, error: Vec::new() }
    }

    /// Begins with the next reply.
    pub(super) fn restart(&mut self) {
        self.state = State::Nothing;
        self.value = None;
        self.error.clear();
    }

    /// Takes a piece of the reply to `request`. An error says what the server has sent instead of a
    /// reply.
    pub(super) fn take(
        &mut self,
        piece: Piece<'_>,
        request: &Request,
        traffic: &KeyValueTraffic,
        payload: &Payload,
    ) -> Result<(), String> {
        match piece {
            Piece::Line(line) => {
                let meaning = traffic.command(request).meaning;
                let state = match traffic.dialect {
                    Dialect::Resp => self.resp_line(line, meaning),
                    Dialect::Text | Dialect::Meta => {
                        self.text_line(line, request, traffic, meaning)
                    }
                };
                self.state = state.ok_or_else(|| server_message(line))?;
                if self.state == State::Error {
                    self.add_to_error(line);
                }
            }
            Piece::Block(bytes) if self.state == State::Error => self.add_to_error(bytes),
            Piece::Block(bytes) => {
                if let Some(value) = &mut self.value {
                    value.receive(bytes, &traffic.values, payload);
                }
            }
        }
        Ok(())
    }

    fn add_to_error(&mut self, bytes: &[u8]) {
        let room = ERROR_BYTES_MAX - self.error.len();
        self.error.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn resp_line(&mut self, line: &[u8], meaning: Meaning) -> Option<State> {
        match (self.state, line, meaning) {
            (State::Nothing, [b'-', ..], _) => Some(State::Error),
            // The words are in the block behind the line.
            (State::Nothing, [b'!', ..], _) => Some(State::Error),
            (State::Nothing | State::Done, _, Meaning::Any) => Some(State::Done),
            (State::Nothing, b"+OK", Meaning::Set)
            | (State::Nothing, [b':', ..], Meaning::Delete) => Some(State::Done),
            (State::Nothing, b"$-1" | b"_", Meaning::Get | Meaning::Read) => Some(State::Miss),
            (State::Nothing, _, Meaning::Read) => Some(State::Hit),
            (State::Nothing, [b'$', length @ ..], Meaning::Get) => {
                self.value = Some(ValueCheck::new(decimal(length)?));
                Some(State::Hit)
            }
            _ => None,
        }
    }

    fn text_line(
        &mut self,
        line: &[u8],
        request: &Request,
        traffic: &KeyValueTraffic,
        meaning: Meaning,
    ) -> Option<State> {
        let mut words = line.split(|&byte| byte == b' ');
        let first = words.next()?;
        match (self.state, first, meaning) {
            (State::Nothing, _, _) if MEMCACHED_ERRORS.contains(&first) => Some(State::Error),
            (State::Nothing | State::Done, _, Meaning::Any) => Some(State::Done),
            (State::Nothing, b"STORED" | b"HD", Meaning::Set)
            | (State::Nothing, b"DELETED" | b"NOT_FOUND" | b"HD" | b"NF", Meaning::Delete) => {
                Some(State::Done)
            }
            (State::Nothing, b"END" | b"EN", Meaning::Get) => Some(State::Miss),
            (State::Hit | State::OtherKey, b"END", Meaning::Get) => Some(self.state),
            (State::Nothing, b"VA", Meaning::Get) => {
                self.value = Some(ValueCheck::new(decimal(words.next()?)?));
                Some(State::Hit)
            }
            (State::Nothing, b"VALUE", Meaning::Get) => {
                let is_key = traffic.is_key(words.next()?, request.key);
                self.value = Some(ValueCheck::new(decimal(words.nth(1)?)?));
                Some(if is_key { State::Hit } else { State::OtherKey })
            }
            _ => None,
        }
    }

    /// What the reply means, which is complete, and what is wrong with its value. Counts the write
    /// that it acknowledges.
    pub(super) fn conclude(
        &mut self,
        request: &Request,
        traffic: &KeyValueTraffic,
    ) -> (Outcome, Option<Complaint>) {
        let versions = traffic.versions.as_ref();
        let is_write = traffic.command(request).meaning == Meaning::Set;
        if let Some(versions) = versions.filter(|_| is_write) {
            match self.state {
                State::Error => versions.refused(request.key),
                _ => versions.acknowledged(request.key, request.settled),
            }
        }
        let was_written = versions.is_some() && request.version != 0;
        match self.state {
            State::Nothing | State::Done => (Outcome::Done, None),
            State::Miss => (Outcome::Miss { was_written }, None),
            State::Error => {
                (Outcome::Error { word: self.word(traffic.dialect), quote: None }, None)
            }
            State::Hit if versions.is_none() => (Outcome::Hit { is_verified: false }, None),
            State::Hit | State::OtherKey => match self.judge(request, traffic) {
                Ok(is_verified) => (Outcome::Hit { is_verified }, None),
                Err(complaint) => {
                    (Outcome::Wrong { kind: complaint.kind, found: None }, Some(complaint))
                }
            },
        }
    }

    /// The first word of an error, which names its kind.
    fn word(&self, dialect: Dialect) -> ErrorWord {
        let text = match dialect {
            Dialect::Resp if self.error.starts_with(b"!") => {
                // `!21`, and then the text of the block.
                let digits = self.error[1..].iter().take_while(|byte| byte.is_ascii_digit());
                &self.error[1 + digits.count()..]
            }
            Dialect::Resp => &self.error[1..],
            Dialect::Text | Dialect::Meta => &self.error[..],
        };
        ErrorWord::first_of(text)
    }

    /// The error in the server's words.
    pub(super) fn words(&self) -> String {
        printable_line(&self.error)
    }

    /// Whether the read has returned a version that can be current, or, where this run has not
    /// written the key yet, another value.
    fn judge(&self, request: &Request, traffic: &KeyValueTraffic) -> Result<bool, Complaint> {
        let (Some(check), Some(versions)) = (&self.value, &traffic.versions) else {
            return Ok(false);
        };
        let complain = |kind, words| Err(Complaint { kind, words });
        let (floor, is_written) = (request.version, request.version != 0);
        if self.state == State::OtherKey {
            return complain(WrongKind::Foreign, "the reply names another key".to_owned());
        }
        match check.found() {
            Found::Whole(Value { key, version, .. })
            | Found::Torn { value: Value { key, version, .. }, .. }
                if key != request.key =>
            {
                let other = traffic.key_name(key);
                complain(WrongKind::Foreign, format!("it is version {version} of {other}"))
            }
            Found::Torn { value, at, expected, got } => {
                let bytes = match expected {
                    Some(expected) => format!("expected 0x{expected:02x}, got 0x{got:02x}"),
                    None => format!("the value has {} bytes", value.size),
                };
                let version = value.version;
                complain(
                    WrongKind::Torn,
                    format!("it is version {version} up to byte {at} only: {bytes}"),
                )
            }
            Found::Unknown { .. } if !is_written => Ok(false),
            Found::Unknown { first } => complain(
                WrongKind::Foreign,
                format!("this run has not written it; it begins with 0x{first:02x}"),
            ),
            Found::Whole(value) if is_before(versions.last(request.key), value.version) => {
                if !is_written {
                    // An earlier run with this seed may have left it.
                    return Ok(false);
                }
                complain(
                    WrongKind::Foreign,
                    format!("this run has not written version {} yet", value.version),
                )
            }
            Found::Whole(value) if is_written && is_before(value.version, floor) => complain(
                WrongKind::Old,
                format!(
                    "it is version {}, and version {floor} or a later one had replaced it before \
                     the read was sent",
                    value.version
                ),
            ),
            Found::Whole(_) => Ok(true),
        }
    }
}
