//! TLS against a queue: every byte arrives, once and in order, whatever the sizes of writes, reads,
//! watermarks and buffers of the sockets.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;

use evshard::{BuffereventId, Interest, Watermarks, What};
use proptest::prelude::*;

use crate::app::{Bench, Seen, bench};
use crate::tls::{Authority, connected_on};

#[derive(Clone, Debug)]
enum Step {
    /// Appends so many bytes to the output of an end.
    Write(usize, usize),
    /// Removes so many bytes from the input of an end.
    Drain(usize, usize),
    Enable(usize, bool),
    HighWatermark(usize, usize),
    MaxSingle(usize, usize),
    /// Ends the stream of an end.
    End(usize),
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    let end = 0..2_usize;
    let size = || prop_oneof![1..10_usize, 16_000..17_000_usize, 1..300_000_usize];
    prop_oneof![
        6 => (end.clone(), size()).prop_map(|(end, n)| Step::Write(end, n)),
        6 => (end.clone(), size()).prop_map(|(end, n)| Step::Drain(end, n)),
        2 => (end.clone(), any::<bool>()).prop_map(|(end, on)| Step::Enable(end, on)),
        2 => (end.clone(), prop_oneof![Just(0), 1..5_usize, 1..100_000_usize])
            .prop_map(|(end, high)| Step::HighWatermark(end, high)),
        1 => (end.clone(), prop_oneof![Just(0), 1..100_usize, 1..40_000_usize])
            .prop_map(|(end, max)| Step::MaxSingle(end, max)),
        1 => end.prop_map(Step::End),
        6 => Just(Step::Turn),
    ]
}

/// A server and a client, what each has sent and the other has not removed, and whether each has
/// ended its stream.
struct Ends {
    ids: [BuffereventId; 2],
    on_the_way: [VecDeque<u8>; 2],
    has_ended: [bool; 2],
    high: [usize; 2],
    next: u8,
}

impl Ends {
    fn connect(bench: &mut Bench, send_buffer: usize) -> Self {
        let authority = Authority::new();
        let sockets = UnixStream::pair().unwrap();
        for socket in [&sockets.0, &sockets.1] {
            socket2::SockRef::from(socket).set_send_buffer_size(send_buffer).unwrap();
        }
        let ids = connected_on(bench, sockets, &authority.server(), &authority.client());
        let on_the_way = [VecDeque::new(), VecDeque::new()];
        Self { ids, on_the_way, has_ended: [false; 2], high: [0; 2], next: 0 }
    }

    fn step(&mut self, bench: &mut Bench, step: Step) {
        match step {
            Step::Write(end, n) if !self.has_ended[end] => {
                let bytes: Vec<u8> = (0..n).map(|_| self.next_byte()).collect();
                bench.get(self.ids[end]).write(&bytes);
                self.on_the_way[end].extend(bytes);
            }
            Step::Drain(end, n) => self.drain(bench, end, n),
            // After the end of its stream a direction stays disabled.
            Step::Enable(end, true) if !self.has_ended[1 - end] => {
                bench.get(self.ids[end]).enable(Interest::READ);
            }
            Step::Enable(end, false) => bench.get(self.ids[end]).disable(Interest::READ),
            Step::Write(..) | Step::Enable(..) => {}
            Step::HighWatermark(end, mark) => {
                // What is there already may be above it.
                self.high[end] = mark.max(bench.get(self.ids[end]).input().len());
                let marks = Watermarks { low: 0, high: self.high[end] };
                bench.get(self.ids[end]).set_watermarks(Interest::READ, marks);
            }
            Step::MaxSingle(end, max) => bench.get(self.ids[end]).set_max_single(max, max),
            Step::End(end) => {
                self.has_ended[end] = true;
                bench.get(self.ids[end]).end_write().unwrap();
            }
            Step::Turn => bench.turn(),
        }
    }

    fn next_byte(&mut self) -> u8 {
        self.next = self.next.wrapping_mul(5).wrapping_add(7);
        self.next
    }

    fn drain(&mut self, bench: &mut Bench, end: usize, n: usize) {
        let mut bytes = vec![0; n];
        let n = bench.get(self.ids[end]).read(&mut bytes);
        let expected = self.on_the_way[1 - end].drain(..n);
        assert!(expected.eq(bytes[..n].iter().copied()), "the bytes differ");
    }

    fn check_watermarks(&self, bench: &mut Bench) {
        for (id, high) in self.ids.iter().zip(self.high) {
            let input = bench.get(*id).input().len();
            assert!(high == 0 || input <= high, "{input} > {high}");
        }
    }

    /// Ends both streams, and waits until all has come.
    fn finish(mut self, bench: &mut Bench) {
        let is_end = self.ids.map(|id| Seen::Event(id, What::EOF | What::READING));
        for (id, is_end) in self.ids.iter().zip(is_end) {
            if !bench.app.seen.contains(&is_end) {
                bench.get(*id).enable(Interest::READ);
            }
            bench.get(*id).set_max_single(0, 0);
            bench.get(*id).set_watermarks(Interest::READ, Watermarks::default());
            bench.get(*id).end_write().unwrap();
        }
        bench.run_until("all bytes and both ends", |bench| {
            for end in [0, 1] {
                let length = bench.get(self.ids[end]).input().len();
                self.drain(bench, end, length);
            }
            self.on_the_way.iter().all(VecDeque::is_empty)
                && is_end.iter().all(|end| bench.app.seen.contains(end))
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_once_and_in_order_and_then_the_end(
        send_buffer in prop_oneof![Just(1_000_usize), Just(20_000), Just(200_000)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut bench = bench();
        let mut ends = Ends::connect(&mut bench, send_buffer);
        for step in steps {
            ends.step(&mut bench, step);
            ends.check_watermarks(&mut bench);
        }
        ends.finish(&mut bench);
    }
}
