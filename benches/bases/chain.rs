//! The chain of Provos' and Lehmann's famous programs: n pairs, a of them active, w bytes passed
//! on from each pair to the next. With `--rearm` every event has a timeout of 10 to 11 s, which
//! each read sets anew.

use std::time::{Duration, Instant};

use evshard::{
    EventBase, EventId, EventSpec, Fired, Handler, Interest, LoopFlags, Registry, Token,
};

use crate::options::{Options, Rearm};
use crate::pairs::Pair;
use crate::random::Random;
use crate::record::Record;
use crate::{Outcome, elapsed_ns};

/// The context: all pairs, and how many bytes may still be passed on.
struct Chain {
    pairs: Vec<Pair>,
    random: Random,
    reads: u64,
    writes_left: u64,
    all_hops: u64,
}

impl Chain {
    fn timeout(&mut self) -> Duration {
        Duration::from_micros(10_000_000 + self.random.below(1_000_000))
    }

    #[inline]
    fn pass_on(&mut self, index: usize) {
        self.pairs[index].read_byte();
        self.reads += 1;
        if self.writes_left > 0 {
            self.writes_left -= 1;
            let next = if index + 1 < self.pairs.len() { index + 1 } else { 0 };
            self.pairs[next].write_byte();
        }
    }
}

fn hop(_: &mut Registry<Chain>, chain: &mut Chain, fired: Fired) {
    chain.pass_on(fired.token.0 as usize);
}

fn hop_del_add(registry: &mut Registry<Chain>, chain: &mut Chain, fired: Fired) {
    registry.del(fired.id);
    hop_add(registry, chain, fired);
}

fn hop_add(registry: &mut Registry<Chain>, chain: &mut Chain, fired: Fired) {
    let timeout = chain.timeout();
    registry.add(fired.id, Some(timeout)).expect("an event that was pending before");
    chain.pass_on(fired.token.0 as usize);
}

fn handler(rearm: Rearm) -> Handler<Chain> {
    match rearm {
        Rearm::None => hop,
        Rearm::DelAdd => hop_del_add,
        Rearm::Add => hop_add,
    }
}

fn pass(base: &mut EventBase<Chain>, chain: &mut Chain) -> evshard::Result<()> {
    base.run_with(chain, LoopFlags::ONCE | LoopFlags::NONBLOCK).map(drop)
}

fn register(
    options: &Options,
    base: &mut EventBase<Chain>,
    chain: &mut Chain,
    ids: &mut Vec<EventId>,
) -> evshard::Result<()> {
    for index in 0..chain.pairs.len() {
        let mut spec = EventSpec::io(&chain.pairs[index].reader, Interest::READ).persist();
        if options.is_stable() {
            spec = spec.stable_fd();
        }
        let id = base.registry().create(spec.token(Token(index as u64)), handler(options.rearm));
        let timeout = (options.rearm != Rearm::None).then(|| chain.timeout());
        base.registry().add(id, timeout)?;
        ids.push(id);
    }
    pass(base, chain)
}

/// Nanoseconds from the first pass until every byte was read; writing the first bytes is not in it.
fn run_loop(
    options: &Options,
    base: &mut EventBase<Chain>,
    chain: &mut Chain,
    writes: u32,
) -> evshard::Result<u64> {
    let space = (options.pipes / options.active) as usize;
    chain.reads = 0;
    chain.writes_left = u64::from(writes);
    for index in 0..options.active as usize {
        chain.pairs[index * space].write_byte();
    }
    let expected = u64::from(options.active) + u64::from(writes);
    chain.all_hops += expected;
    let begin = Instant::now();
    while chain.reads < expected {
        pass(base, chain)?;
    }
    Ok(elapsed_ns(begin))
}

/// Every run has a base of its own, or the second run would register descriptors that the kernel
/// still watches. A shorter loop, not reported, lets the event array grow; the whole first run is
/// short and not reported either.
pub(crate) fn benchmark(options: &Options, record: &mut Record) -> Outcome<()> {
    if options.active > options.pipes {
        return Err("--active is at most --pipes".into());
    }
    let (mut registering, mut loops) = (Vec::new(), Vec::new());
    let pairs = Pair::open_many(options.pipes)?;
    let random = Random::new();
    let mut chain = Chain { pairs, random, reads: 0, writes_left: 0, all_hops: 0 };
    let warm_up_writes = options.writes / 4;
    let mut ids = Vec::with_capacity(chain.pairs.len());
    for run in options.runs() {
        let mut base = options.open_base()?;
        ids.clear();
        let begin = Instant::now();
        register(options, &mut base, &mut chain, &mut ids)?;
        let register_ns = elapsed_ns(begin);
        run_loop(options, &mut base, &mut chain, warm_up_writes)?;
        let writes = if run.is_some() { options.writes } else { warm_up_writes };
        let loop_ns = run_loop(options, &mut base, &mut chain, writes)?;
        for id in &ids {
            base.registry().free(*id);
        }
        if run.is_some() {
            registering.push(register_ns);
            loops.push(loop_ns);
        }
    }
    record.numbers("register_ns", &registering);
    record.numbers("loop_ns", &loops);
    record.number("hops", u64::from(options.active) + u64::from(options.writes));
    record.number("all_hops", chain.all_hops);
    Ok(())
}
