//! One connection's requests and replies over any byte stream: what is outstanding, what the next
//! bytes to send are, whether the bytes that came are right.
//!
//! It decides neither when to send (the schedule does) nor what to wait for (the worker does).

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use crate::engine::recorder::{Failure, Mismatch, Recorder};
use crate::wire::payload::{Cursor, Payload, SLICE_BYTES_MAX};

/// Bytes one call to [`Connection::send`] or [`Connection::receive`] moves at most, so that one
/// busy connection cannot delay the timestamps of the others for long.
pub(crate) const BYTES_PER_WAKE_MAX: usize = SLICE_BYTES_MAX;

/// A request whose reply has not come back whole.
#[derive(Debug)]
struct Outstanding {
    sent_ns: u64,
}

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    transport: T,
    number: u32,
    size_bytes: u64,
    /// Oldest first; replies come in this order and are told apart by byte count alone.
    outstanding: VecDeque<Outstanding>,
    /// Bytes of the newest outstanding request that the kernel has not taken yet.
    unsent_bytes: u64,
    /// Verified bytes of the oldest outstanding request's reply.
    partial_reply_bytes: u64,
    replies: u64,
    send_cursor: Cursor,
    receive_cursor: Cursor,
    last_progress_ns: u64,
}

impl<T: Read + Write> Connection<T> {
    /// Connection number `number`, which sends requests of `size_bytes`.
    pub(crate) fn new(transport: T, number: u32, size_bytes: u64, payload: &Payload) -> Self {
        let start = payload.start(number);
        Self {
            transport,
            number,
            size_bytes,
            outstanding: VecDeque::new(),
            unsent_bytes: 0,
            partial_reply_bytes: 0,
            replies: 0,
            send_cursor: start,
            receive_cursor: start,
            last_progress_ns: 0,
        }
    }

    /// The byte stream itself.
    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    /// How many requests are unanswered, a partly sent one included.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// When the last byte moved, in either direction.
    pub(crate) fn last_progress_ns(&self) -> u64 {
        self.last_progress_ns
    }

    /// Finishes a partly sent request and starts up to `allowance` new ones, in one write.
    ///
    /// Returns whether bytes are left that the socket, or the limit per wake-up, did not take. A
    /// request counts as sent, and is stamped, with the write that takes its first byte.
    pub(crate) fn send(
        &mut self,
        allowance: usize,
        payload: &Payload,
        recorder: &mut Recorder,
        now_ns: impl Fn() -> u64,
    ) -> Result<bool, Failure> {
        let wanted = self.unsent_bytes + allowance as u64 * self.size_bytes;
        if wanted == 0 {
            return Ok(false);
        }
        let slice = payload.slice(self.send_cursor, wanted);
        let sent_ns = now_ns();
        let taken = match self.transport.write(slice) {
            Ok(0) => return Err(Failure::Other(io::ErrorKind::WriteZero.into())),
            Ok(taken) => taken,
            Err(error) if is_transient(&error) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.send_cursor.advance(taken);
        self.last_progress_ns = sent_ns;
        recorder.sent(self.begin_requests(taken as u64, sent_ns), taken);
        Ok((taken as u64) < wanted)
    }

    /// Books `taken` bytes as the rest of the newest request and as new ones; returns how many
    /// were new.
    fn begin_requests(&mut self, taken: u64, sent_ns: u64) -> u64 {
        let rest = taken.min(self.unsent_bytes);
        self.unsent_bytes -= rest;
        let mut left = taken - rest;
        let mut begun = 0;
        while left > 0 {
            let first = left.min(self.size_bytes);
            self.outstanding.push_back(Outstanding { sent_ns });
            self.unsent_bytes = self.size_bytes - first;
            left -= first;
            begun += 1;
        }
        begun
    }

    /// Reads once into `buffer` and checks what came, in place.
    ///
    /// All replies that this read completes share the stamp taken directly after it.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        payload: &Payload,
        recorder: &mut Recorder,
        now_ns: impl Fn() -> u64,
    ) -> Result<(), Failure> {
        let count = match self.transport.read(buffer) {
            Ok(0) => return Err(Failure::ClosedByServer),
            Ok(count) => count,
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let reply_ns = now_ns();
        self.last_progress_ns = reply_ns;
        recorder.received(count);
        let came = &buffer[..count];
        let right = self.verify(came, payload);
        self.accept(right, reply_ns, recorder);
        match came.get(right) {
            None => Ok(()),
            Some(&got) => Err(Failure::Mismatch(self.locate(got, payload))),
        }
    }

    /// How many of the bytes that came, from the first on, are the bytes owed.
    fn verify(&self, came: &[u8], payload: &Payload) -> usize {
        let owed = self.outstanding.len() as u64 * self.size_bytes - self.partial_reply_bytes;
        let expected = payload.slice(self.receive_cursor, owed.min(came.len() as u64));
        if came == expected {
            return came.len();
        }
        let pairs = came.iter().zip(expected);
        pairs.take_while(|(came, expected)| came == expected).count()
    }

    /// Books `right` verified bytes: the replies they complete leave the queue.
    fn accept(&mut self, right: usize, reply_ns: u64, recorder: &mut Recorder) {
        self.receive_cursor.advance(right);
        self.partial_reply_bytes += right as u64;
        while self.partial_reply_bytes >= self.size_bytes {
            self.partial_reply_bytes -= self.size_bytes;
            let answered = self.outstanding.pop_front();
            let request = answered.expect("verified bytes belong to outstanding requests");
            self.replies += 1;
            recorder.completed(request.sent_ns, reply_ns);
        }
    }

    /// Names the next owed byte, in whose place `got` came.
    fn locate(&self, got: u8, payload: &Payload) -> Mismatch {
        let owed = !self.outstanding.is_empty();
        Mismatch {
            connection: self.number,
            request: self.replies,
            offset_bytes: self.partial_reply_bytes,
            expected: owed.then(|| payload.slice(self.receive_cursor, 1)[0]),
            got,
        }
    }
}

/// Whether the operation is merely to be tried again when the socket is ready.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schedule::Window;

    /// A peer in memory: takes and gives bytes in pieces of the sizes a test chooses.
    #[derive(Debug, Default)]
    struct Peer {
        /// Bytes taken from the connection.
        taken: Vec<u8>,
        /// Bytes the connection will read.
        given: VecDeque<u8>,
        write_max: usize,
        read_max: usize,
        closed: bool,
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.write_max);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.read_max).min(self.given.len());
            if count == 0 && !self.closed {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            for (place, byte) in buffer.iter_mut().zip(self.given.drain(..count)) {
                *place = byte;
            }
            Ok(count)
        }
    }

    /// A connection to a [`Peer`] and all that its calls need.
    struct Bench {
        connection: Connection<Peer>,
        payload: Payload,
        recorder: Recorder,
        now_ns: Cell<u64>,
    }

    impl Bench {
        fn new(size_bytes: u64) -> Self {
            let payload = Payload::new(1);
            let peer = Peer { write_max: usize::MAX, read_max: usize::MAX, ..Peer::default() };
            Self {
                connection: Connection::new(peer, 5, size_bytes, &payload),
                payload,
                recorder: Recorder::new(Window::new(0, Duration::ZERO, Duration::from_secs(1))),
                now_ns: Cell::new(0),
            }
        }

        fn send(&mut self, allowance: usize) -> Result<bool, Failure> {
            let now = || self.now_ns.get();
            self.connection.send(allowance, &self.payload, &mut self.recorder, now)
        }

        fn receive(&mut self) -> Result<(), Failure> {
            let mut buffer = [0; 4096];
            let now = || self.now_ns.get();
            self.connection.receive(&mut buffer, &self.payload, &mut self.recorder, now)
        }

        fn peer(&mut self) -> &mut Peer {
            &mut self.connection.transport
        }

        /// The peer echoes the next `count` bytes it has not echoed yet.
        fn echo(&mut self, count: usize) {
            let peer = self.peer();
            let bytes: Vec<u8> = peer.taken.drain(..count).collect();
            peer.given.extend(bytes);
        }

        #[track_caller]
        fn expect_mismatch(&mut self) -> Mismatch {
            match self.receive() {
                Err(Failure::Mismatch(mismatch)) => mismatch,
                other => panic!("expected a mismatch, got {other:?}"),
            }
        }

        fn completed(&self) -> u64 {
            self.recorder.counters().completed
        }
    }

    #[test]
    fn a_reply_split_into_single_bytes_completes_with_its_last_byte() {
        let mut bench = Bench::new(8);
        bench.send(1).unwrap();
        bench.echo(8);
        bench.peer().read_max = 1;
        for _ in 0..7 {
            bench.receive().unwrap();
        }
        assert_eq!(bench.completed(), 0);
        bench.receive().unwrap();
        assert_eq!((bench.completed(), bench.connection.outstanding()), (1, 0));
    }

    #[test]
    fn coalesced_replies_complete_together_and_keep_their_own_send_times() {
        let mut bench = Bench::new(8);
        for sent_ns in [10, 20, 30] {
            bench.now_ns.set(sent_ns);
            bench.send(1).unwrap();
        }
        bench.echo(24);
        bench.now_ns.set(100);
        bench.receive().unwrap();
        assert_eq!(bench.completed(), 3);
        let service = bench.recorder.service();
        assert_eq!((service.min_ns(), service.max_ns()), (Some(70), Some(90)));
    }

    #[test]
    fn a_pipelined_batch_is_one_write() {
        let mut bench = Bench::new(16);
        assert!(!bench.send(32).unwrap());
        assert_eq!(bench.peer().taken.len(), 512);
        assert_eq!(bench.connection.outstanding(), 32);
    }

    #[test]
    fn a_request_is_stamped_when_its_first_byte_goes() {
        let mut bench = Bench::new(10);
        bench.peer().write_max = 15;
        bench.now_ns.set(1_000);
        assert!(bench.send(3).unwrap(), "15 of 30 bytes went");
        assert_eq!(bench.connection.outstanding(), 2, "the third has not begun");
        bench.now_ns.set(2_000);
        assert!(!bench.send(1).unwrap());
        bench.echo(30);
        bench.now_ns.set(5_000);
        bench.receive().unwrap();
        let service = bench.recorder.service();
        assert_eq!((service.min_ns(), service.max_ns()), (Some(3_000), Some(4_000)));
    }

    #[test]
    fn a_blocked_socket_leaves_the_bytes_for_later_and_counts_nothing() {
        let mut bench = Bench::new(10);
        bench.peer().write_max = 0;
        assert!(bench.send(2).unwrap());
        assert_eq!(bench.recorder.counters().sent, 0);
        assert_eq!(bench.connection.outstanding(), 0);
    }

    #[test]
    fn a_wrong_byte_is_located_and_replies_before_it_still_count() {
        let mut bench = Bench::new(10);
        bench.send(5).unwrap();
        bench.echo(50);
        let expected = bench.peer().given[37];
        bench.peer().given[37] = expected ^ 0x40;
        let mismatch = bench.expect_mismatch();
        assert_eq!(bench.completed(), 3);
        assert_eq!(
            mismatch,
            Mismatch {
                connection: 5,
                request: 3,
                offset_bytes: 7,
                expected: Some(expected),
                got: expected ^ 0x40,
            }
        );
    }

    #[test]
    fn a_byte_that_nobody_asked_for_is_a_mismatch_with_nothing_expected() {
        let mut bench = Bench::new(10);
        bench.send(1).unwrap();
        bench.echo(10);
        // Not even if it is the very byte that the next request would have begun with.
        let next = bench.payload.slice(bench.connection.send_cursor, 1)[0];
        bench.peer().given.push_back(next);
        let mismatch = bench.expect_mismatch();
        assert_eq!(bench.completed(), 1);
        assert_eq!((mismatch.expected, mismatch.got), (None, next));
        assert_eq!((mismatch.request, mismatch.offset_bytes), (1, 0));
    }

    #[test]
    fn a_byte_skipped_by_the_server_is_noticed() {
        let mut bench = Bench::new(64);
        bench.send(2).unwrap();
        bench.echo(128);
        bench.peer().given.remove(64);
        assert_eq!(bench.expect_mismatch().request, 1);
    }

    #[test]
    fn the_end_of_the_stream_inside_a_reply_is_a_close_with_the_request_outstanding() {
        let mut bench = Bench::new(10);
        bench.send(2).unwrap();
        bench.echo(14);
        bench.peer().closed = true;
        bench.receive().unwrap();
        assert!(matches!(bench.receive(), Err(Failure::ClosedByServer)));
        assert_eq!((bench.completed(), bench.connection.outstanding()), (1, 1));
    }

    #[test]
    fn progress_is_any_byte_in_either_direction() {
        let mut bench = Bench::new(10);
        bench.now_ns.set(5);
        bench.send(1).unwrap();
        assert_eq!(bench.connection.last_progress_ns(), 5);
        bench.now_ns.set(9);
        bench.receive().unwrap();
        assert_eq!(bench.connection.last_progress_ns(), 5, "nothing came");
        bench.echo(1);
        bench.receive().unwrap();
        assert_eq!(bench.connection.last_progress_ns(), 9);
    }

    /// One step of a random exchange.
    #[derive(Debug, Clone)]
    enum Step {
        Send { allowance: usize, write_max: usize },
        Echo { share: usize, read_max: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..6, 0_usize..300)
                .prop_map(|(allowance, write_max)| Step::Send { allowance, write_max }),
            (0_usize..=100, 1_usize..300)
                .prop_map(|(share, read_max)| Step::Echo { share, read_max }),
        ]
    }

    proptest! {
        /// However sends and replies are cut, the connection agrees with counting bytes naively.
        #[test]
        fn matching_agrees_with_a_naive_byte_count(
            size in 1_u64..120,
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut bench = Bench::new(size);
            let (mut bytes_out, mut bytes_back) = (0_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Send { allowance, write_max } => {
                        bench.peer().write_max = write_max;
                        let before = bench.peer().taken.len();
                        let pending = bench.send(allowance).unwrap();
                        let taken = (bench.peer().taken.len() - before) as u64;
                        let unfinished = bytes_out.next_multiple_of(size) - bytes_out;
                        prop_assert_eq!(pending, taken < unfinished + allowance as u64 * size);
                        bytes_out += taken;
                    }
                    Step::Echo { share, read_max } => {
                        let count = bench.peer().taken.len() * share / 100;
                        bench.echo(count);
                        bench.peer().read_max = read_max;
                        let before = bench.peer().given.len();
                        bench.receive().unwrap();
                        bytes_back += (before - bench.peer().given.len()) as u64;
                    }
                }
                let counters = bench.recorder.counters();
                let outstanding = bench.connection.outstanding() as u64;
                prop_assert_eq!(counters.bytes_sent, bytes_out);
                prop_assert_eq!(counters.bytes_received, bytes_back);
                prop_assert_eq!(counters.sent, bytes_out.div_ceil(size));
                prop_assert_eq!(counters.completed, bytes_back / size);
                prop_assert_eq!(outstanding, counters.sent - counters.completed);
            }
        }
    }
}
