//! What the body of a reply must be, where the user says it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::super::mismatch::{Fault, printable_line};

/// How much of a body is quoted if it is wrong.
const QUOTED_BYTES_MAX: usize = 100;

/// What the body of a reply must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyExpectation {
    /// Anything.
    None,
    /// So many bytes, of any value.
    Length(u64),
    /// A body that contains this text.
    Substring(Substring),
    /// The body with this SHA-256.
    Sha256([u8; 32]),
}

/// A text to be found in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Substring {
    text: String,
    /// For each number of bytes that agree: how many still do if the next byte does not (Knuth,
    /// Morris and Pratt, 1977). So no received byte is needed again.
    fallbacks: Vec<usize>,
}

impl Substring {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut fallbacks = vec![0; bytes.len()];
        let mut agree = 0;
        for at in 1..bytes.len() {
            while agree > 0 && bytes[at] != bytes[agree] {
                agree = fallbacks[agree - 1];
            }
            agree += usize::from(bytes[at] == bytes[agree]);
            fallbacks[at] = agree;
        }
        Self { text: text.to_owned(), fallbacks }
    }

    /// How many bytes of the text agree behind `received`, if `agree` did before it. Stops at the
    /// end of the text.
    fn advance(&self, mut agree: usize, received: &[u8]) -> usize {
        let bytes = self.text.as_bytes();
        for byte in received {
            if agree == bytes.len() {
                break;
            }
            while agree > 0 && bytes[agree] != *byte {
                agree = self.fallbacks[agree - 1];
            }
            agree += usize::from(bytes[agree] == *byte);
        }
        agree
    }
}

impl FromStr for BodyExpectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("none", "") => Ok(Self::None),
            ("length", length) => length
                .parse()
                .map(Self::Length)
                .map_err(|_| format!("'{length}' is no length of a body; write a number of bytes")),
            ("substring", "") => {
                Err("every body contains an empty text; write one, or none".into())
            }
            ("substring", part) => Ok(Self::Substring(Substring::new(part))),
            ("sha256", digits) => hash(digits).map(Self::Sha256).ok_or_else(|| {
                format!("'{digits}' is no SHA-256; write the 64 digits that sha256sum prints")
            }),
            _ => Err(format!(
                "'{text}' is no body to expect; write none, length:N, substring:TEXT or sha256:HEX"
            )),
        }
    }
}

impl fmt::Display for BodyExpectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Length(length) => write!(formatter, "length:{length}"),
            Self::Substring(part) => write!(formatter, "substring:{}", part.text),
            Self::Sha256(hash) => {
                formatter.write_str("sha256:")?;
                write_hash(formatter, hash)
            }
        }
    }
}

fn hash(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

fn write_hash(out: &mut impl fmt::Write, hash: &[u8; 32]) -> fmt::Result {
    hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// The check of the body that a connection is receiving. It allocates nothing.
#[derive(Debug, Clone)]
pub(super) struct ExpectationCheck {
    length: u64,
    /// The beginning of the body.
    beginning: [u8; QUOTED_BYTES_MAX],
    /// How many bytes of the substring agree.
    agree: usize,
    sha256: Sha256,
}

impl ExpectationCheck {
    /// Before the first byte of a body.
    pub(super) fn new() -> Self {
        Self { length: 0, beginning: [0; QUOTED_BYTES_MAX], agree: 0, sha256: Sha256::new() }
    }

    /// Reads the next bytes of the body.
    pub(super) fn receive(&mut self, bytes: &[u8], expected: &BodyExpectation) {
        if let Ok(at) = usize::try_from(self.length)
            && at < QUOTED_BYTES_MAX
        {
            let taken = bytes.len().min(QUOTED_BYTES_MAX - at);
            self.beginning[at..at + taken].copy_from_slice(&bytes[..taken]);
        }
        self.length += bytes.len() as u64;
        match expected {
            BodyExpectation::None | BodyExpectation::Length(_) => {}
            BodyExpectation::Substring(part) => self.agree = part.advance(self.agree, bytes),
            BodyExpectation::Sha256(_) => self.sha256.update(bytes),
        }
    }

    /// Ends the body, and begins another. `last` is the byte that ended it, `offset` bytes into
    /// the reply. Returns what is wrong with the body.
    pub(super) fn end(
        &mut self,
        last: u8,
        offset: u64,
        expected: &BodyExpectation,
    ) -> Option<Fault> {
        let found = match expected {
            BodyExpectation::None => None,
            BodyExpectation::Length(length) => {
                (self.length != *length).then(|| format!("has {} bytes", self.length))
            }
            BodyExpectation::Substring(part) => {
                (self.agree < part.text.len()).then(|| "does not contain the text".to_owned())
            }
            BodyExpectation::Sha256(hash) => {
                let found: [u8; 32] = self.sha256.finalize_reset().into();
                (found != *hash).then(|| {
                    let mut text = "has the SHA-256 ".to_owned();
                    let _ = write_hash(&mut text, &found);
                    text
                })
            }
        };
        let fault = found.map(|found| {
            let quoted = usize::try_from(self.length).unwrap_or(usize::MAX).min(QUOTED_BYTES_MAX);
            let begins = match quoted {
                0 => "is empty".to_owned(),
                _ => format!("begins '{}'", printable_line(&self.beginning[..quoted])),
            };
            let note = format!("the body {found}, expected is {expected}; it {begins}");
            Fault { offset_bytes: offset, expected: None, got: last, note: Some(note) }
        });
        self.restart();
        fault
    }

    /// Begins another body.
    pub(super) fn restart(&mut self) {
        (self.length, self.agree) = (0, 0);
        self.sha256.reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn wrong(expected: &str, body: &[u8], pieces: usize) -> Option<String> {
        let expected: BodyExpectation = expected.parse().unwrap();
        let mut check = ExpectationCheck::new();
        // What is left of another body must not count.
        check.receive(b"el", &expected);
        check.restart();
        body.chunks(pieces).for_each(|piece| check.receive(piece, &expected));
        check.end(b'\n', 9, &expected).map(|fault| fault.note.unwrap())
    }

    #[test]
    fn a_body_is_what_is_expected_or_is_quoted() {
        for pieces in [1, 2, 100] {
            for right in ["none", "length:5", "substring:ell", "substring:hello", HELLO] {
                assert_eq!(wrong(right, b"hello", pieces), None, "{right}");
            }
            for (expected, said) in [
                ("length:4", "has 5 bytes, expected is length:4; it begins 'hallo'"),
                (
                    "substring:ell",
                    "does not contain the text, expected is substring:ell; it begins",
                ),
                (HELLO, "has the SHA-256 d3751d33f9cd5049c4af2b462735457e4d3baf130bcbb87f389e349"),
            ] {
                let said_of_it = wrong(expected, b"hallo", pieces).unwrap();
                assert!(said_of_it.contains(said), "{said_of_it}");
            }
        }
        assert!(wrong("substring:ell", b"lo", 1).is_some(), "'el' was of another body");
        assert!(wrong("length:1", b"", 1).unwrap().ends_with("it is empty"));
    }

    #[test]
    fn an_expectation_is_printed_as_it_is_written() {
        for text in ["none", "length:0", "substring:a: b", HELLO] {
            assert_eq!(text.parse::<BodyExpectation>().unwrap().to_string(), text);
        }
        for (text, said) in [
            ("", "write none, length:N"),
            ("length:x", "'x' is no length"),
            ("substring:", "every body contains"),
            ("sha256:12", "'12' is no SHA-256"),
        ] {
            assert!(text.parse::<BodyExpectation>().unwrap_err().contains(said), "{text}");
        }
    }

    proptest! {
        #![proptest_config(test_inputs::config(500))]

        #[test]
        fn a_substring_is_found_where_a_search_finds_it_however_the_body_is_cut(
            part in "[ab]{1,5}",
            body in "[ab]{0,30}",
            pieces in 1_usize..8,
        ) {
            let found = wrong(&format!("substring:{part}"), body.as_bytes(), pieces).is_none();
            prop_assert_eq!(found, body.contains(&part));
        }
    }
}
