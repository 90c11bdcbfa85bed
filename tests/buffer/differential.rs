//! The same random operations on libevent's evbuffer, in a C program, and on `Buffer`: results,
//! bytes and changes are equal after each.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use evshard::{Buffer, Eol};
use test_needs::Need;

/// How many operations there are, unless the environment says so.
const STEPS: usize = 20_000;
/// The environment variable with another number of operations.
const STEPS_VARIABLE: &str = "EVSHARD_BUFFER_STEPS";
/// The environment variable with another seed.
const SEED_VARIABLE: &str = "EVSHARD_BUFFER_SEED";
/// Operations in a batch: few pipe writes, and an error is found soon.
const BATCH: usize = 500;
const FILE_LENGTH: usize = 70_000;
/// A longer buffer is drained, so that a step stays cheap.
const LENGTH_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Operation {
    Append,
    Prepend,
    Drain,
    Remove,
    CopyOut,
    AppendBuffer,
    PrependBuffer,
    MoveTo,
    AppendShared,
    PullUp,
    Reserve,
    Find,
    FindEol,
    ReadLine,
    Share,
    Expand,
    Stream,
    AppendFile,
}

/// Each operation with its weight.
const WEIGHTS: [(Operation, usize); 18] = [
    (Operation::Append, 14),
    (Operation::Prepend, 6),
    (Operation::Drain, 8),
    (Operation::Remove, 8),
    (Operation::CopyOut, 4),
    (Operation::AppendBuffer, 5),
    (Operation::PrependBuffer, 5),
    (Operation::MoveTo, 8),
    (Operation::AppendShared, 6),
    (Operation::PullUp, 5),
    (Operation::Reserve, 8),
    (Operation::Find, 6),
    (Operation::FindEol, 6),
    (Operation::ReadLine, 6),
    (Operation::Share, 2),
    (Operation::Expand, 2),
    (Operation::Stream, 2),
    (Operation::AppendFile, 1),
];

/// The styles in the order of libevent's `enum evbuffer_eol_style`.
const EOLS: [Eol; 5] = [Eol::Any, Eol::CrLf, Eol::CrLfStrict, Eol::Lf, Eol::Nul];

/// One operation; evbuffer.c has the same structure.
#[derive(Clone, Copy, Debug)]
struct Order {
    operation: Operation,
    buffer: usize,
    seed: u32,
    a: usize,
    b: usize,
    c: usize,
}

impl Order {
    fn encode(&self, into: &mut Vec<u8>) {
        let Self { operation, buffer, seed, a, b, c } = *self;
        let word = |number: usize| u32::try_from(number).unwrap();
        for word in [operation as u32, word(buffer), seed, word(a), word(b), word(c)] {
            into.extend(word.to_ne_bytes());
        }
    }
}

/// What an operation did; evbuffer.c has the same structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Report {
    result: i64,
    detail: u64,
    length: [u64; 2],
    hash: [u64; 2],
    added: [u64; 2],
    removed: [u64; 2],
}

impl Report {
    const BYTES: usize = 80;

    fn decode(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| u64::from_ne_bytes(words[at]);
        let pair = |at| [word(at), word(at + 1)];
        Self {
            result: word(0).cast_signed(),
            detail: word(1),
            length: pair(2),
            hash: pair(4),
            added: pair(6),
            removed: pair(8),
        }
    }
}

/// Bytes that depend on a seed, with ends of lines among them, as evbuffer.c makes them.
fn make(n: usize, seed: u32) -> Vec<u8> {
    const ALPHABET: &[u8; 16] = b"aab\r\n\0xyz\r\nabcde";
    let index = |i: usize| (seed as usize + i * 7 + i / 13 + i * i / 31) & 15;
    (0..n).map(|i| ALPHABET[index(i)]).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| {
        let hash = (hash ^ u64::from_ne_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 29
    });
    rest.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    /// Mostly short lengths, and some around the sizes of chunks.
    fn length(&mut self) -> usize {
        match self.below(20) {
            0 => 900 + self.below(300),
            1 => 4000 + self.below(300),
            2 => [8192, 16_384, 20_000, 65_536][self.below(4)],
            _ => self.below(120),
        }
    }
}

/// Two buffers of ours, and what random operations do to them.
struct Ours {
    buffers: [Buffer; 2],
    random: Random,
    file: Arc<File>,
    sockets: (UnixStream, UnixStream),
    scratch: Vec<u8>,
}

impl Ours {
    fn new(seed: u64) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&make(FILE_LENGTH, 0)).unwrap();
        let sockets = UnixStream::pair().unwrap();
        sockets.0.set_nonblocking(true).unwrap();
        sockets.1.set_nonblocking(true).unwrap();
        Self {
            buffers: Default::default(),
            random: Random(seed),
            file: Arc::new(file),
            sockets,
            scratch: vec![0; 1 << 20],
        }
    }

    /// The next operation: one that both implementations define.
    fn order(&mut self) -> Order {
        let random = &mut self.random;
        let buffer = random.below(2);
        let len = self.buffers[buffer].len();
        let seed = random.below(1 << 16) as u32;
        let mut order = Order { operation: Operation::Drain, buffer, seed, a: 0, b: 0, c: 0 };
        if len > LENGTH_MAX {
            return Order { a: len - random.below(1000), ..order };
        }
        let mut choice = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let chosen = WEIGHTS.iter().find(|(_, weight)| {
            let is_it = choice < *weight;
            choice = choice.saturating_sub(*weight);
            is_it
        });
        order.operation = chosen.unwrap().0;
        let position = |random: &mut Random| if len == 0 { 0 } else { random.below(len) };
        match order.operation {
            Operation::CopyOut => (order.a, order.b) = (position(random), random.length()),
            Operation::PullUp => order.a = 1 + random.length(),
            Operation::Reserve => {
                order.a = 1 + random.length();
                order.b = random.below(order.a + 1);
            }
            Operation::Find => {
                order.a = position(random);
                order.b = order.a + random.below(len - order.a + 1);
                order.c = 1 + random.below(4);
            }
            Operation::FindEol => (order.a, order.c) = (position(random), random.below(5)),
            Operation::ReadLine => order.c = random.below(5),
            Operation::Stream => order.a = random.length().min(len),
            Operation::AppendFile => {
                order.a = random.below(FILE_LENGTH - 1);
                order.b = 1 + random.length().min(FILE_LENGTH - order.a - 1);
            }
            _ => order.a = random.length(),
        }
        order
    }

    fn apply(&mut self, order: &Order) -> Report {
        let [first, second] = &mut self.buffers;
        let (buffer, other) = if order.buffer == 0 { (first, second) } else { (second, first) };
        let Order { seed, a, b, .. } = *order;
        let mut report = Report::default();
        match order.operation {
            Operation::Append => buffer.append(&make(a, seed)),
            Operation::Prepend => buffer.prepend(&make(a, seed)),
            Operation::AppendShared => buffer.append_shared(make(a, seed)),
            Operation::Drain => drop(buffer.drain(a)),
            Operation::AppendBuffer => buffer.append_buffer(other),
            Operation::PrependBuffer => buffer.prepend_buffer(other),
            Operation::Share => other.append_buffer(&mut buffer.share()),
            Operation::Expand => drop(buffer.reserve(a).unwrap()),
            Operation::MoveTo => report.result = buffer.move_to(other, a) as i64,
            Operation::AppendFile => {
                buffer.append_file(Arc::clone(&self.file), a as u64..(a + b) as u64).unwrap();
                buffer.load(usize::MAX).unwrap();
            }
            Operation::Reserve => {
                let bytes = make(b, seed);
                let mut space = buffer.reserve(a).unwrap();
                let n = (&bytes[..]).read_vectored(&mut space.slices()).unwrap();
                space.commit(n).unwrap();
            }
            Operation::Stream => stream(buffer, other, &self.sockets, a),
            _ => look(buffer, order, &mut self.scratch, &mut report),
        }
        self.finish(report)
    }

    fn finish(&mut self, mut report: Report) -> Report {
        for (which, buffer) in self.buffers.iter_mut().enumerate() {
            let changes = buffer.take_changes();
            let n = buffer.copy_out(0, &mut self.scratch);
            report.length[which] = buffer.len() as u64;
            report.hash[which] = hash(&self.scratch[..n]);
            (report.added[which], report.removed[which]) = (changes.added, changes.removed);
        }
        report
    }
}

/// The operations that return bytes or positions.
fn look(buffer: &mut Buffer, order: &Order, scratch: &mut [u8], report: &mut Report) {
    let Order { a, b, c, .. } = *order;
    let position = |at: Option<usize>| at.map_or(-1, |at| at as i64);
    match order.operation {
        Operation::Remove => {
            let n = buffer.remove(&mut scratch[..a]);
            (report.result, report.detail) = (n as i64, hash(&scratch[..n]));
        }
        Operation::CopyOut => {
            let n = buffer.copy_out(a, &mut scratch[..b]);
            (report.result, report.detail) = (n as i64, hash(&scratch[..n]));
        }
        Operation::PullUp => {
            let pulled = buffer.pull_up(a);
            report.result = pulled.is_some().into();
            report.detail = pulled.map_or(0, hash);
        }
        Operation::Find => {
            // evbuffer has no range that ends at the front.
            let end = if b == 0 { usize::MAX } else { b };
            report.result = position(buffer.find(&make(c, order.seed), a..end));
        }
        Operation::FindEol => {
            let end = buffer.find_eol(EOLS[c], a);
            report.detail = end.as_ref().map_or(0, |end| end.len() as u64);
            report.result = position(end.map(|end| end.start));
        }
        Operation::ReadLine => {
            let line = buffer.read_line(EOLS[c]);
            report.detail = line.as_deref().map_or(0, hash);
            report.result = position(line.map(|line| line.len()));
        }
        operation => unreachable!("{operation:?} returns neither"),
    }
}

/// Sends `n` bytes through a socket.
fn stream(from: &mut Buffer, to: &mut Buffer, sockets: &(UnixStream, UnixStream), n: usize) {
    let (mut sent, mut received) = (0, 0);
    while received < n {
        sent += from.write_to(&sockets.0, n - sent).unwrap_or(0);
        received += to.read_from(&sockets.1, n - received).unwrap_or(0);
    }
}

/// The C program, and the pipes to and from it.
struct Evbuffer {
    child: Child,
    orders: ChildStdin,
    reports: ChildStdout,
}

impl Evbuffer {
    fn start(folder: &Path, mode: &str) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/buffer/evbuffer.c");
        let program = folder.join("evbuffer");
        let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-o"];
        let compiler =
            Command::new("cc").args(flags).arg(&program).args([source, "-levent_core"]).status();
        assert!(compiler.unwrap().success(), "compiling {source}");
        let mut child = Command::new(program)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was just compiled");
        let (orders, reports) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, reports }
    }

    fn apply(&mut self, orders: &[Order]) -> Vec<Report> {
        let mut encoded = u32::try_from(orders.len()).unwrap().to_ne_bytes().to_vec();
        orders.iter().for_each(|order| order.encode(&mut encoded));
        self.orders.write_all(&encoded).expect("libevent's program takes a batch");
        let mut reports = vec![0; Report::BYTES * orders.len()];
        self.reports.read_exact(&mut reports).expect("libevent's program reports a batch");
        reports.chunks(Report::BYTES).map(Report::decode).collect()
    }
}

impl Drop for Evbuffer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn from_environment<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"))
}

/// `scripts/fuzz_buffer.sh` runs it longer.
#[test]
fn a_buffer_agrees_with_evbuffer() {
    if test_needs::missing(Need::Libevent) {
        return;
    }
    let steps = from_environment(STEPS_VARIABLE, STEPS);
    let seed = from_environment(SEED_VARIABLE, 88_172_645_463_325_252);
    let folder = test_needs::folder();
    // evbuffer can either share chains or pull up; evbuffer.c says why.
    for mode in ["pull up", "share"] {
        let evbuffer = Evbuffer::start(folder.path(), mode);
        let place = format!("{mode}; {SEED_VARIABLE}={seed}");
        compare(evbuffer, Ours::new(seed), steps.div_ceil(2 * BATCH), &place);
    }
}

fn compare(mut evbuffer: Evbuffer, mut ours: Ours, batches: usize, place: &str) {
    for _ in 0..batches {
        let (orders, found): (Vec<Order>, Vec<Report>) = (0..BATCH)
            .map(|_| {
                let order = ours.order();
                (order, ours.apply(&order))
            })
            .unzip();
        let expected = evbuffer.apply(&orders);
        for ((order, found), expected) in orders.iter().zip(&found).zip(&expected) {
            assert_eq!(found, expected, "{order:?}; {place}");
        }
    }
}
