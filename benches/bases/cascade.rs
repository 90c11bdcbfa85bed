//! The cascade of libevent's `bench_cascade`: n one-shot events with a timeout of 60 s, and a byte
//! that runs through all of them. Registering, the first byte and the way to the last event are
//! timed; new sockets in every run.

use std::time::{Duration, Instant};

use evshard::{EventBase, EventId, EventSpec, Fired, Interest, Registry, Token};

use crate::options::Options;
use crate::pairs::Pair;
use crate::record::Record;
use crate::{Outcome, elapsed_ns};

const TIMEOUT: Duration = Duration::from_secs(60);

/// The context.
struct Cascade {
    pairs: Vec<Pair>,
    reads: u32,
}

fn step(_: &mut Registry<Cascade>, cascade: &mut Cascade, fired: Fired) {
    let index = fired.token.0 as usize;
    cascade.pairs[index].read_byte();
    cascade.reads += 1;
    if let Some(next) = cascade.pairs.get_mut(index + 1) {
        next.write_byte();
    }
}

fn run(options: &Options, base: &mut EventBase<Cascade>, ids: &mut Vec<EventId>) -> Outcome<u64> {
    let mut cascade = Cascade { pairs: Pair::open_many(options.pipes)?, reads: 0 };
    ids.clear();
    let begin = Instant::now();
    for (index, pair) in cascade.pairs.iter().enumerate() {
        let mut spec = EventSpec::io(&pair.reader, Interest::READ);
        if options.is_stable() {
            spec = spec.stable_fd();
        }
        let id = base.registry().create(spec.token(Token(index as u64)), step);
        base.registry().add(id, Some(TIMEOUT))?;
        ids.push(id);
    }
    cascade.pairs[0].write_byte();
    base.run(&mut cascade)?;
    let elapsed = elapsed_ns(begin);
    if cascade.reads != options.pipes {
        return Err("the cascade did not reach its last event".into());
    }
    // Before their sockets are closed, as `free` requires.
    for id in ids {
        base.registry().free(*id);
    }
    Ok(elapsed)
}

pub(crate) fn benchmark(options: &Options, record: &mut Record) -> Outcome<()> {
    let mut base = options.open_base()?;
    let mut ids = Vec::with_capacity(options.pipes as usize);
    let mut elapsed = Vec::new();
    for number in options.runs() {
        let ns = run(options, &mut base, &mut ids)?;
        elapsed.extend(number.map(|_| ns));
    }
    record.numbers("elapsed_ns", &elapsed);
    record.number("hops", u64::from(options.pipes));
    record.number("all_hops", (u64::from(options.runs) + 1) * u64::from(options.pipes));
    Ok(())
}
