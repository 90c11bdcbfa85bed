//! A complete reply: right, with an unexpected status, or with a body that has changed.

use serde::{Deserialize, Serialize};

use super::mismatch::Mismatch;

/// A complete reply. Whatever it is, the connection can carry the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The expected reply. Over HTTP it has a status.
    Right { status: Option<u16> },
    /// The status is not an expected one; or, without a status, an error line of Redis or
    /// memcached. The first of each connection is quoted.
    Unexpected { status: Option<u16>, quote: Option<Box<UnexpectedReply>> },
    /// The status is expected, but the body is not that of the run's first reply with this status.
    BodyChanged { status: u16, change: Box<Mismatch> },
    /// The reply of Redis or memcached to a command with a key, by the number of its name.
    Command { name: u16, outcome: Outcome },
}

impl Reply {
    /// The status code. Only HTTP has one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Right { status } | Self::Unexpected { status, .. } => *status,
            Self::BodyChanged { status, .. } => Some(*status),
            Self::Command { .. } => None,
        }
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was executed, and is no read.
    Done,
    /// A value. It is verified if this run has written it, and it can be current.
    Hit { is_verified: bool },
    /// No value.
    Miss {
        /// Whether the server had acknowledged a write of the key before.
        was_written: bool,
    },
    /// An error. The first of each kind is quoted on each connection.
    Error { word: ErrorWord, quote: Option<Box<UnexpectedReply>> },
    /// A value that the server must not return now. The first of each connection is described.
    Wrong { kind: WrongKind, found: Option<Box<WrongValue>> },
}

/// The first word of an error, which names its kind: `WRONGTYPE`, `SERVER_ERROR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorWord {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl ErrorWord {
    /// Redis's longest words have some 20 bytes. A longer one is cut.
    const BYTES_MAX: usize = 30;

    /// The kind with this name.
    #[cfg(test)]
    pub(crate) fn of(name: &str) -> Self {
        Self::first_of(name.as_bytes())
    }

    /// The first word of an error, made printable.
    pub(super) fn first_of(text: &[u8]) -> Self {
        let mut word = Self { bytes: [0; Self::BYTES_MAX], length: 0 };
        let letters = text.iter().take_while(|&&byte| byte != b' ').take(Self::BYTES_MAX);
        for (place, &byte) in word.bytes.iter_mut().zip(letters) {
            *place = if byte.is_ascii_graphic() { byte } else { b'.' };
            word.length += 1;
        }
        word
    }

    /// The word.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length.into()]).unwrap_or_default()
    }
}

/// Why a read must not return a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WrongKind {
    /// It is another key's, or this run has not written it.
    Foreign,
    /// A later version had replaced it before the read was sent.
    Old,
    /// Its bytes are not those of one version.
    Torn,
}

/// A value that the server must not have returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrongValue {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    pub(crate) key: String,
    pub(crate) kind: WrongKind,
    /// What is wrong with it.
    pub(crate) words: String,
}

/// The words of a reply with an unexpected status, made printable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnexpectedReply {
    /// Number of the connection, from 0.
    pub(crate) connection: u32,
    /// Number of the request on that connection, from 0.
    pub(crate) request: u64,
    /// The first line: the status line of HTTP, the error line of Redis and memcached.
    pub(crate) first_line: String,
    /// The first line of the body that is not empty; HTTP only.
    pub(crate) body_line: Option<String>,
}
