//! Changes of interest: on c level-triggered descriptors a turn, an event for writing is added in
//! one turn and deleted in the next, beside one for reading that stays. Each is one net change of
//! a registration. Nothing is ever ready: the sockets are full and nothing writes to them.

use std::time::Instant;

use evshard::{EventBase, EventId, EventSpec, Interest, LoopFlags, Result};

use crate::options::Options;
use crate::pairs::Pair;
use crate::record::Record;
use crate::{Outcome, elapsed_ns};

const TOTAL: u32 = 20_000;
const TURNS_MAX: u32 = 4_000;

/// Nanoseconds a series of turns takes that toggles all `writing` events in each.
fn series(base: &mut EventBase<()>, writing: &[EventId], turns: u32) -> Result<u64> {
    let begin = Instant::now();
    for turn in 0..turns {
        for id in writing {
            if turn % 2 == 0 {
                base.registry().add(*id, None)?;
            } else {
                base.registry().del(*id);
            }
        }
        base.run_with(&mut (), LoopFlags::ONCE | LoopFlags::NONBLOCK)?;
    }
    Ok(elapsed_ns(begin))
}

/// Makes the events of one full socket and adds the one that stays; returns the other.
fn watch(base: &mut EventBase<()>, options: &Options, pair: &mut Pair) -> Outcome<EventId> {
    pair.fill_backwards()?;
    let make = |interest| {
        let spec = EventSpec::io(&pair.reader, interest).persist();
        if options.is_stable() { spec.stable_fd() } else { spec }
    };
    let registry = base.registry();
    let unexpected = |_: &mut _, (): &mut (), _| panic!("a socket was ready unexpectedly");
    let reading = registry.create(make(Interest::READ), unexpected);
    registry.add(reading, None)?;
    Ok(registry.create(make(Interest::WRITE), unexpected))
}

pub(crate) fn benchmark(options: &Options, record: &mut Record) -> Outcome<()> {
    let (mut busy, mut idle) = (Vec::new(), Vec::new());
    let turns = (TOTAL / options.changes).min(TURNS_MAX) / 2 * 2;
    let mut pairs = Pair::open_many(options.changes)?;
    let mut base = options.open_base()?;
    let writing: Vec<EventId> =
        pairs.iter_mut().map(|pair| watch(&mut base, options, pair)).collect::<Outcome<_>>()?;
    series(&mut base, &[], 1)?;
    for run in options.runs() {
        let idle_ns = series(&mut base, &[], turns)?;
        let busy_ns = series(&mut base, &writing, turns)?;
        if run.is_some() {
            idle.push(idle_ns);
            busy.push(busy_ns);
        }
    }
    drop(base);
    record.number("changes", u64::from(options.changes));
    record.number("turns", u64::from(turns));
    record.numbers("busy_ns", &busy);
    record.numbers("idle_ns", &idle);
    let all = (u64::from(options.runs) + 1) * u64::from(turns) * u64::from(options.changes);
    record.number("all_changes", all);
    Ok(())
}
