//! The chain of libevent's `test/bench.c`: n socket pairs, a of them active at once, w bytes passed
//! on from each pair to the next. Time per run, registrations not counted.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use criterion::{BenchmarkId, Criterion, Throughput};
use evshard::{
    ChangelistPolicy, Config, EventBase, EventSpec, Fired, Interest, LoopFlags, Registry, Token,
};

/// The context: all pairs, and how many bytes may still be passed on.
struct Chain {
    pairs: Vec<(UnixStream, UnixStream)>,
    writes_left: usize,
    reads: usize,
}

impl Chain {
    fn new(pairs: usize) -> Self {
        let pair = || {
            let (reader, writer) = UnixStream::pair().expect("a socket pair");
            reader.set_nonblocking(true).expect("a non-blocking socket");
            (reader, writer)
        };
        Self { pairs: (0..pairs).map(|_| pair()).collect(), writes_left: 0, reads: 0 }
    }

    fn write_to(&mut self, pair: usize) {
        let index = pair % self.pairs.len();
        self.pairs[index].1.write_all(b"e").expect("room for a byte");
    }
}

fn pass_on(_: &mut Registry<Chain>, chain: &mut Chain, fired: Fired) {
    let pair = fired.token.0 as usize;
    chain.pairs[pair].0.read_exact(&mut [0]).expect("the byte that made it readable");
    chain.reads += 1;
    if chain.writes_left > 0 {
        chain.writes_left -= 1;
        chain.write_to(pair + 1);
    }
}

/// One run: `active` bytes start out evenly spaced, `writes` more follow.
fn run(base: &mut EventBase<Chain>, chain: &mut Chain, active: usize, writes: usize) {
    chain.reads = 0;
    chain.writes_left = writes;
    let space = chain.pairs.len() / active;
    for index in 0..active {
        chain.write_to(index * space);
    }
    while chain.reads < active + writes {
        let flags = LoopFlags::ONCE | LoopFlags::NONBLOCK;
        base.run_with(chain, flags).expect("a base that can wait");
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch_chain");
    for (pairs, active, writes) in [(100, 1, 1000), (1000, 100, 1000), (1000, 1000, 1000)] {
        group.throughput(Throughput::Elements((active + writes) as u64));
        for policy in [ChangelistPolicy::Immediate, ChangelistPolicy::Deferred] {
            let mut base = EventBase::new(Config::default().changelist(policy)).expect("a base");
            let mut chain = Chain::new(pairs);
            for (index, (reader, _)) in chain.pairs.iter().enumerate() {
                let spec = EventSpec::io(reader, Interest::READ).persist();
                let id = base.registry().create(spec.token(Token(index as u64)), pass_on);
                base.registry().add(id, None).expect("a socket can be watched");
            }
            let name = BenchmarkId::new(format!("{policy:?}"), format!("n={pairs} a={active}"));
            group.bench_function(name, |bencher| {
                bencher.iter(|| run(&mut base, &mut chain, active, writes));
            });
        }
    }
    group.finish();
}
