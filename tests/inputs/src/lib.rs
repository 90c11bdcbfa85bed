//! Bytes for the parsers of what comes from outside: examples that are cut, joined, repeated and
//! damaged, and bytes that resemble none.
//!
//! A parser has a function that takes any bytes and panics unless what it promises holds. `cargo
//! test` calls it with these inputs, `PROPTEST_CASES` of them. A fuzzer calls it with its own
//! (`fuzz/`).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes at which parsers decide, in one encoding or another.
const SPECIAL: &[&[u8]] = &[
    b"\0",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\"",
    b"%",
    b",",
    b"-",
    b"/",
    b"0",
    b"9",
    b":",
    b"=",
    b"?",
    b"[",
    b"\\",
    b"]",
    b"{",
    b"}",
    b"\x1b[2J",
    b"\x7f",
    b"\x80",
    b"\xff",
    "\u{85}".as_bytes(),
    "\u{9b}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{202e}".as_bytes(),
    b"18446744073709551615",
    b"99999999999999999999999",
    b"-1",
    b"1e999",
];

/// The configuration of a property test whose cases are so large that `usual` of them are enough.
/// `PROPTEST_CASES` sets another number, as for all others.
#[must_use]
pub fn config(usual: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig::with_cases(usual)
}

/// A change of bytes, at a place and for a length that are parts of what there is.
#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<u8>),
    Replace(u8),
    Remove,
    Repeat(usize),
    CutOff,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => select(SPECIAL).prop_map(|bytes| Change::Insert(bytes.to_vec())),
        2 => vec(any::<u8>(), 1..8).prop_map(Change::Insert),
        4 => any::<u8>().prop_map(Change::Replace),
        2 => Just(Change::Remove),
        2 => (2..200_usize).prop_map(Change::Repeat),
        1 => Just(Change::CutOff),
    ]
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>, from: &Index, to: &Index) {
        let at = from.index(bytes.len() + 1);
        let end = at + to.index(bytes.len() - at + 1);
        match self {
            Self::Insert(new) => drop(bytes.splice(at..at, new)),
            Self::Replace(new) => bytes.get_mut(at).map_or((), |byte| *byte = new),
            Self::Remove => drop(bytes.drain(at..end)),
            Self::Repeat(times) => {
                let repeated = bytes[at..end].repeat(times);
                bytes.splice(at..end, repeated.into_iter().take(REPEATED_BYTES_MAX));
            }
            Self::CutOff => bytes.truncate(at),
        }
    }
}

/// More than any of the parsers accepts, or twice as much as a line that is compared byte by byte.
const REPEATED_BYTES_MAX: usize = 10_000;

/// Some of the examples one after another, with a few changes; sometimes any bytes.
pub fn like(examples: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let joined = vec(select(examples), 1..3).prop_map(|parts| parts.concat());
    let changes = vec((change(), any::<Index>(), any::<Index>()), 0..5);
    let changed = (joined, changes).prop_map(|(mut bytes, changes)| {
        changes.into_iter().for_each(|(change, from, to)| change.apply(&mut bytes, &from, &to));
        bytes
    });
    prop_oneof![9 => changed, 1 => vec(any::<u8>(), 0..300)]
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn inputs_are_of_every_kind_and_of_bounded_size() {
        let mut runner = TestRunner::deterministic();
        let mut input = || like(&[b"ab\n"]).new_tree(&mut runner).unwrap().current();
        let inputs: Vec<Vec<u8>> = (0..10_000).map(|_| input()).collect();
        assert!(inputs.iter().any(|input| input == b"ab\n"));
        assert!(inputs.iter().any(Vec::is_empty));
        assert!(inputs.iter().any(|input| input.starts_with(b"ab\nab\n")));
        assert!(inputs.iter().any(|input| input.len() > 30));
        assert!(inputs.iter().all(|input| input.len() < 10 * REPEATED_BYTES_MAX));
    }
}
