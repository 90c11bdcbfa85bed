//! User memory per event: how much the process grows when it makes and adds many events with a
//! timeout. The list of their ids counts, because a program has to store it.

use std::time::Duration;

use evshard::{EventId, EventSpec, Interest, LoopFlags, Token};

use crate::Outcome;
use crate::options::Options;
use crate::pairs::Pair;
use crate::random::Random;
use crate::record::Record;

/// A figure of `/proc/self/smaps_rollup` in bytes.
fn of_this_process(field: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.ok_or("no such line in /proc/self/smaps_rollup")? * 1024)
}

pub(crate) fn benchmark(options: &Options, record: &mut Record) -> Outcome<()> {
    let pairs = Pair::open_many(options.descriptors.div_ceil(2))?;
    let mut random = Random::new();
    let mut base = options.open_base::<()>()?;
    let pass = LoopFlags::ONCE | LoopFlags::NONBLOCK;
    base.run_with(&mut (), pass)?; // a base's first allocations are no cost per event
    of_this_process("Pss")?;
    let (pss, dirty) = (of_this_process("Pss")?, of_this_process("Private_Dirty")?);
    let mut ids: Vec<EventId> = Vec::with_capacity(options.events as usize);
    for number in 0..options.events {
        let end = number % options.descriptors;
        let pair = &pairs[end as usize / 2];
        let socket = if end.is_multiple_of(2) { &pair.reader } else { &pair.writer };
        let spec = EventSpec::io(socket, Interest::READ).persist().token(Token(number.into()));
        let unexpected = |_: &mut _, (): &mut (), _| panic!("a socket was ready unexpectedly");
        let id = base.registry().create(spec, unexpected);
        let timeout = Duration::from_micros(60_000_000 + random.below(1_000_000));
        base.registry().add(id, Some(timeout))?;
        ids.push(id);
    }
    base.run_with(&mut (), pass)?;
    record.number("events", u64::from(options.events));
    record.number("pss_bytes", of_this_process("Pss")?.saturating_sub(pss));
    record.number("private_dirty_bytes", of_this_process("Private_Dirty")?.saturating_sub(dirty));
    drop(base);
    Ok(())
}
