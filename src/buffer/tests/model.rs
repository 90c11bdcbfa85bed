//! Random operations on two buffers against two vectors.

use std::io::{BufRead, Read, Seek, Write};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::buffer::Changes;

/// How many steps all cases together have, unless the environment says so.
const STEPS: u32 = 20_000;
/// The environment variable with another number of steps.
const STEPS_VARIABLE: &str = "EVSHARD_BUFFER_STEPS";
const STEPS_OF_CASE: usize = 200;

/// Lengths around the sizes where something changes.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..100_usize,
        2 => 900..1100_usize,
        1 => 4000..5000_usize,
        1 => prop::sample::select(vec![16_384, 65_535, 65_536, 65_537, 100_000]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    TryAppend(usize),
    Prepend(usize),
    AppendShared(usize),
    AppendFile(usize, usize),
    AppendWith(usize, usize),
    Reserve(usize, usize),
    Drain(usize),
    Remove(usize),
    Read(usize),
    FillBuf(usize),
    CopyOut(usize, usize),
    PullUp(usize),
    Load(usize),
    AppendBuffer,
    PrependBuffer,
    MoveTo(usize),
    Share,
    Find(Vec<u8>, usize, usize),
    FindEol(Eol, usize),
    ReadLine(Eol),
    Swap,
}

fn step() -> impl Strategy<Value = Step> {
    let eol =
        || prop::sample::select(vec![Eol::Any, Eol::CrLf, Eol::CrLfStrict, Eol::Lf, Eol::Nul]);
    let needle = prop::collection::vec(prop::sample::select(b"a\r\n\0".to_vec()), 0..4);
    prop_oneof![
        4 => length().prop_map(Step::Append),
        4 => length().prop_map(Step::TryAppend),
        2 => length().prop_map(Step::Prepend),
        2 => length().prop_map(Step::AppendShared),
        1 => (0..FILE_LENGTH, length()).prop_map(|(start, n)| Step::AppendFile(start, n)),
        2 => (length(), length()).prop_map(|(n, commit)| Step::AppendWith(n, commit)),
        2 => (length(), length()).prop_map(|(n, commit)| Step::Reserve(n, commit)),
        4 => length().prop_map(Step::Drain),
        3 => length().prop_map(Step::Remove),
        1 => length().prop_map(Step::Read),
        1 => length().prop_map(Step::FillBuf),
        2 => (length(), length()).prop_map(|(from, n)| Step::CopyOut(from, n)),
        2 => length().prop_map(Step::PullUp),
        1 => length().prop_map(Step::Load),
        2 => Just(Step::AppendBuffer),
        2 => Just(Step::PrependBuffer),
        3 => length().prop_map(Step::MoveTo),
        1 => Just(Step::Share),
        3 => (needle, length(), length()).prop_map(|(needle, a, b)| Step::Find(needle, a, b)),
        2 => (eol(), length()).prop_map(|(eol, from)| Step::FindEol(eol, from)),
        2 => eol().prop_map(Step::ReadLine),
        3 => Just(Step::Swap),
    ]
}

const FILE_LENGTH: usize = 70_000;

/// Bytes that differ from append to append, with ends of lines among them.
struct Source {
    next: u8,
    file: Arc<std::fs::File>,
    file_bytes: Vec<u8>,
}

impl Source {
    fn new() -> Self {
        let mut file = tempfile::tempfile().unwrap();
        let mut source =
            Self { next: 0, file_bytes: Vec::new(), file: Arc::new(file.try_clone().unwrap()) };
        source.file_bytes = source.bytes(FILE_LENGTH);
        file.write_all(&source.file_bytes).unwrap();
        file.rewind().unwrap();
        source
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let byte = |value: u8| match value % 29 {
            0 | 5 => b'\r',
            1 | 6 | 20 => b'\n',
            2 => 0,
            3 | 4 => b'a',
            _ => value,
        };
        let bytes = (0..n).map(|i| byte(self.next.wrapping_add((i % 251) as u8))).collect();
        self.next = self.next.wrapping_mul(5).wrapping_add(17);
        bytes
    }
}

/// A buffer and what it must be: its bytes, how many of them are in memory, and its changes.
#[derive(Default)]
struct Pair {
    buffer: Buffer,
    bytes: Vec<u8>,
    /// Which bytes are in a file.
    in_file: Vec<bool>,
    changes: Changes,
}

impl Pair {
    fn add(&mut self, at: usize, bytes: &[u8], in_file: bool) {
        self.bytes.splice(at..at, bytes.iter().copied());
        self.in_file.splice(at..at, vec![in_file; bytes.len()]);
        self.changes.added += bytes.len() as u64;
    }

    fn remove(&mut self, n: usize) {
        self.bytes.drain(..n);
        self.in_file.drain(..n);
        self.changes.removed += n as u64;
    }

    fn in_memory(&self) -> &[u8] {
        let end = self.in_file.iter().position(|in_file| *in_file).unwrap_or(self.bytes.len());
        &self.bytes[..end]
    }

    fn loaded(&mut self, n: usize) {
        self.in_file[..n].fill(false);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.buffer.append(bytes);
        self.add(self.bytes.len(), bytes, false);
    }

    fn try_append(&mut self, bytes: &[u8]) {
        let memory = self.buffer.memory() + self.buffer.growth(bytes.len());
        self.buffer.try_append(bytes).unwrap();
        assert_eq!(self.buffer.memory(), memory, "it grew by as much as was asked before");
        self.add(self.bytes.len(), bytes, false);
    }

    fn check(&mut self) {
        self.buffer.check();
        assert_eq!(self.buffer.len(), self.bytes.len());
        assert!(self.buffer.to_vec() == self.in_memory(), "the bytes differ");
        assert_eq!(self.buffer.take_changes(), std::mem::take(&mut self.changes));
    }
}

fn find(bytes: &[u8], needle: &[u8], start: usize, end: usize) -> Option<usize> {
    let range = start.min(bytes.len())..end.min(bytes.len()).max(start.min(bytes.len()));
    let windows = bytes[range].windows(needle.len().max(1));
    (!needle.is_empty())
        .then(|| windows.into_iter().position(|window| window == needle))?
        .map(|at| at + start)
}

fn find_eol(bytes: &[u8], eol: Eol, from: usize) -> Option<std::ops::Range<usize>> {
    let one = |needle: &[u8]| find(bytes, needle, from, usize::MAX).map(|at| at..at + needle.len());
    let is_end = |byte: &u8| b"\r\n".contains(byte);
    match eol {
        Eol::Lf => one(b"\n"),
        Eol::Nul => one(b"\0"),
        Eol::CrLfStrict => one(b"\r\n"),
        Eol::CrLf => match (one(b"\n"), one(b"\r\n")) {
            (Some(lf), Some(crlf)) if crlf.end == lf.end => Some(crlf),
            (lf, _) => lf,
        },
        Eol::Any => {
            let start = from + bytes.get(from..)?.iter().position(is_end)?;
            let length = bytes[start..].iter().take_while(|byte| is_end(byte)).count();
            Some(start..start + length)
        }
    }
}

fn take(pairs: &mut [Pair; 2], source: &mut Source, step: &Step) {
    let [pair, other] = pairs;
    match step {
        Step::Append(n) => pair.append(&source.bytes(*n)),
        Step::TryAppend(n) => pair.try_append(&source.bytes(*n)),
        Step::Prepend(n) => {
            let bytes = source.bytes(*n);
            pair.buffer.prepend(&bytes);
            pair.add(0, &bytes, false);
        }
        Step::AppendShared(n) => {
            let bytes = source.bytes(*n);
            pair.buffer.append_shared(bytes.clone());
            pair.add(pair.bytes.len(), &bytes, false);
        }
        Step::AppendFile(start, n) => {
            let end = (start + n).min(FILE_LENGTH);
            let range = *start as u64..end as u64;
            pair.buffer.append_file(Arc::clone(&source.file), range).unwrap();
            pair.add(pair.bytes.len(), &source.file_bytes[*start..end], true);
        }
        Step::AppendWith(n, commit) => {
            let bytes = source.bytes(*commit.min(n));
            let written = pair.buffer.append_with(*n, |space| {
                assert_eq!(space.len(), *n);
                space[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            });
            assert_eq!(written, Ok(bytes.len()));
            pair.add(pair.bytes.len(), &bytes, false);
        }
        Step::Reserve(n, commit) => {
            let bytes = source.bytes(*commit.min(n));
            let mut space = pair.buffer.reserve(*n).unwrap();
            let read = (&bytes[..]).read_vectored(&mut space.slices()).unwrap();
            assert_eq!(read, bytes.len());
            space.commit(bytes.len()).unwrap();
            pair.add(pair.bytes.len(), &bytes, false);
        }
        Step::Share => {
            let mut second = pair.buffer.share();
            second.check();
            assert!(second.to_vec() == pair.in_memory());
            other.buffer.append_buffer(&mut second);
            other.bytes.extend(&pair.bytes);
            other.in_file.extend(&pair.in_file);
            other.changes.added += pair.bytes.len() as u64;
        }
        Step::AppendBuffer | Step::PrependBuffer => {
            let at = if matches!(step, Step::AppendBuffer) {
                pair.buffer.append_buffer(&mut other.buffer);
                pair.bytes.len()
            } else {
                pair.buffer.prepend_buffer(&mut other.buffer);
                0
            };
            move_bytes(other, pair, at, other.bytes.len());
        }
        Step::MoveTo(n) => {
            let moved = pair.buffer.move_to(&mut other.buffer, *n);
            assert_eq!(moved, *n.min(&pair.bytes.len()));
            move_bytes(pair, other, other.bytes.len(), moved);
        }
        Step::Swap => pairs.swap(0, 1),
        step => take_from(pair, step),
    }
}

fn move_bytes(from: &mut Pair, to: &mut Pair, at: usize, n: usize) {
    to.bytes.splice(at..at, from.bytes[..n].iter().copied());
    to.in_file.splice(at..at, from.in_file[..n].iter().copied());
    to.changes.added += n as u64;
    from.remove(n);
}

/// The steps that look at bytes or remove them.
fn take_from(pair: &mut Pair, step: &Step) {
    let in_memory = pair.in_memory().to_vec();
    match step {
        Step::Drain(n) => {
            let drained = pair.buffer.drain(*n);
            assert_eq!(drained, *n.min(&pair.bytes.len()));
            pair.remove(drained);
        }
        Step::Remove(n) => {
            let mut into = vec![0; *n];
            let removed = pair.buffer.remove(&mut into);
            assert!(into[..removed] == in_memory[..*n.min(&in_memory.len())]);
            pair.remove(removed);
        }
        Step::Read(n) => {
            let mut into = vec![0; *n];
            let read = pair.buffer.read(&mut into).unwrap();
            assert_eq!(read == 0, *n == 0 || pair.bytes.is_empty());
            assert!(into[..read] == pair.bytes[..read]);
            // A file segment may have been loaded farther than was read.
            let loaded = pair.buffer.len_in_memory() + read;
            pair.loaded(loaded);
            pair.remove(read);
        }
        Step::FillBuf(n) => {
            let filled = pair.buffer.fill_buf().unwrap();
            let n = *n.min(&filled.len());
            assert_eq!(filled.is_empty(), pair.bytes.is_empty());
            assert!(*filled == pair.bytes[..filled.len()]);
            let loaded = pair.buffer.len_in_memory();
            pair.loaded(loaded);
            pair.buffer.consume(n);
            pair.remove(n);
        }
        Step::CopyOut(from, n) => {
            let mut into = vec![0; *n];
            let copied = pair.buffer.copy_out(*from, &mut into);
            let expected = in_memory.get(*from..).unwrap_or_default();
            assert!(into[..copied] == expected[..*n.min(&expected.len())]);
        }
        Step::PullUp(n) => {
            assert!(pair.buffer.pull_up(*n) == in_memory.get(..*n));
        }
        Step::Load(n) => {
            let loaded = pair.buffer.load(*n).unwrap();
            assert_eq!(loaded, *n.min(&pair.bytes.len()));
            pair.loaded(loaded);
        }
        Step::Find(needle, a, b) => {
            let expected = find(&in_memory, needle, *a, *b);
            assert_eq!(pair.buffer.find(needle, *a..*b), expected);
            let expected = find(&in_memory, needle, *a, usize::MAX);
            assert_eq!(pair.buffer.find(needle, *a..), expected);
        }
        Step::FindEol(eol, from) => {
            assert_eq!(pair.buffer.find_eol(*eol, *from), find_eol(&in_memory, *eol, *from));
        }
        Step::ReadLine(eol) => {
            let end = find_eol(&in_memory, *eol, 0);
            let line = pair.buffer.read_line(*eol);
            assert_eq!(line.as_deref(), end.clone().map(|end| &in_memory[..end.start]));
            pair.remove(end.map_or(0, |end| end.end));
        }
        step => unreachable!("{step:?} adds or moves"),
    }
}

/// A million steps and more: `EVSHARD_BUFFER_STEPS=1000000 cargo test --release --lib buffer`.
#[test]
fn a_buffer_agrees_with_a_vector() {
    let steps = std::env::var(STEPS_VARIABLE).map_or(STEPS, |steps| steps.parse().unwrap());
    let cases = steps.div_ceil(STEPS_OF_CASE as u32);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(step(), STEPS_OF_CASE);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut pairs = [Pair::default(), Pair::default()];
        let mut source = Source::new();
        for step in &steps {
            take(&mut pairs, &mut source, step);
            for pair in &mut pairs {
                pair.check();
            }
            // Sharing and moving back and forth would double the bytes each time.
            let [pair, _] = &mut pairs;
            if pair.bytes.len() > 1 << 16 {
                let excess = pair.buffer.drain(pair.bytes.len() - 1000);
                pair.remove(excess);
            }
        }
        Ok(())
    });
    result.unwrap();
}
