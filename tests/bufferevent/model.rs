//! Bufferevents of each kind against a vector: every byte arrives, once and in order, whatever the
//! watermarks, sizes and pauses.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;

use evshard::{BuffereventId, BuffereventOptions, Filter, FlushMode, Interest, Watermarks};
use proptest::prelude::*;

use crate::app::{Bench, bench};

/// How the two ends are connected.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sockets,
    Pair,
    FiltersOnSockets,
    FiltersOnPair,
}

#[derive(Clone, Debug)]
enum Step {
    /// Appends so many bytes to the output of an end.
    Write(usize, usize),
    /// Removes so many bytes from the input of an end.
    Drain(usize, usize),
    Enable(usize, bool),
    HighWatermark(usize, usize),
    MaxSingle(usize, usize),
    Flush(usize),
    Turn,
}

struct Through;

impl Filter for Through {}

/// The two ends.
fn connect(bench: &mut Bench, kind: Kind, options: BuffereventOptions) -> [BuffereventId; 2] {
    let registry = bench.base.registry();
    let table = &mut bench.app.table;
    let mut ends = match kind {
        Kind::Pair | Kind::FiltersOnPair => {
            let (first, second) = table.pair(registry, options);
            [first, second]
        }
        Kind::Sockets | Kind::FiltersOnSockets => {
            let (first, second) = UnixStream::pair().unwrap();
            [first, second].map(|socket| table.socket(registry, socket, options).unwrap())
        }
    };
    if matches!(kind, Kind::FiltersOnSockets | Kind::FiltersOnPair) {
        ends = ends.map(|below| table.filter(registry, below, Through, options).unwrap());
    }
    ends
}

/// What one end has sent and the other has not removed yet.
#[derive(Default)]
struct Model {
    on_the_way: VecDeque<u8>,
    next: u8,
}

impl Model {
    fn write(&mut self, bench: &mut Bench, id: BuffereventId, n: usize) {
        let bytes: Vec<u8> = (0..n)
            .map(|_| {
                self.next = self.next.wrapping_mul(5).wrapping_add(7);
                self.next
            })
            .collect();
        bench.get(id).write(&bytes);
        self.on_the_way.extend(&bytes);
    }

    fn drain(&mut self, bench: &mut Bench, id: BuffereventId, n: usize) {
        let mut bytes = vec![0; n];
        let n = bench.get(id).read(&mut bytes);
        let expected: Vec<u8> = self.on_the_way.drain(..n).collect();
        assert!(bytes[..n] == expected, "the bytes differ");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let end = 0..2_usize;
    prop_oneof![
        4 => (end.clone(), prop_oneof![1..10_usize, 1..300_000_usize])
            .prop_map(|(end, n)| Step::Write(end, n)),
        4 => (end.clone(), prop_oneof![1..10_usize, 1..300_000_usize])
            .prop_map(|(end, n)| Step::Drain(end, n)),
        2 => (end.clone(), any::<bool>()).prop_map(|(end, on)| Step::Enable(end, on)),
        1 => (end.clone(), prop_oneof![Just(0), 1..5_usize, 1..100_000_usize])
            .prop_map(|(end, high)| Step::HighWatermark(end, high)),
        1 => (end.clone(), prop_oneof![Just(0), 1..100_usize])
            .prop_map(|(end, max)| Step::MaxSingle(end, max)),
        1 => end.prop_map(Step::Flush),
        4 => Just(Step::Turn),
    ]
}

proptest! {
    #![proptest_config(test_inputs::config(400))]

    #[test]
    fn every_byte_arrives_once_and_in_order(
        kind in prop_oneof![
            Just(Kind::Sockets),
            Just(Kind::Pair),
            Just(Kind::FiltersOnSockets),
            Just(Kind::FiltersOnPair),
        ],
        defers in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut bench = bench();
        let options =
            if defers { BuffereventOptions::DEFER_CALLBACKS } else { BuffereventOptions::empty() };
        let ends = connect(&mut bench, kind, options);
        let mut sent = [Model::default(), Model::default()];
        let mut high = [0; 2];
        for step in steps {
            match step {
                Step::Write(end, n) => sent[end].write(&mut bench, ends[end], n),
                Step::Drain(end, n) => sent[1 - end].drain(&mut bench, ends[end], n),
                Step::Enable(end, true) => bench.get(ends[end]).enable(Interest::READ),
                Step::Enable(end, false) => bench.get(ends[end]).disable(Interest::READ),
                Step::HighWatermark(end, mark) => {
                    // What is there already may be above it.
                    high[end] = mark.max(bench.get(ends[end]).input().len());
                    let marks = Watermarks { low: 0, high: high[end] };
                    bench.get(ends[end]).set_watermarks(Interest::READ, marks);
                }
                Step::MaxSingle(end, max) => bench.get(ends[end]).set_max_single(max, max),
                // Of a flush only the order of the bytes is expected.
                Step::Flush(end) => {
                    bench.get(ends[end]).flush(Interest::WRITE, FlushMode::Flush).unwrap();
                    high = [0; 2];
                }
                Step::Turn => bench.turn(),
            }
            for end in 0..2 {
                let input = bench.get(ends[end]).input().len();
                prop_assert!(high[end] == 0 || input <= high[end], "{input} > {}", high[end]);
            }
        }
        for id in ends {
            bench.get(id).enable(Interest::READ);
            bench.get(id).set_max_single(0, 0);
            bench.get(id).set_watermarks(Interest::READ, Watermarks::default());
        }
        bench.run_until("all bytes", |bench| {
            for end in 0..2 {
                let input = bench.get(ends[end]).input().len();
                sent[1 - end].drain(bench, ends[end], input);
            }
            sent.iter().all(|model| model.on_the_way.is_empty())
        });
        for id in ends {
            bench.app.table.free(bench.base.registry(), id);
        }
        prop_assert!(bench.app.table.is_empty());
    }
}
