//! Many timers: adding, setting anew, deleting and expiring. Everything but expiring happens
//! inside one handler, as in a server, so that the base uses its cached clock.

use std::time::{Duration, Instant};

use evshard::{CommonTimeout, EventBase, EventId, EventSpec, Fired, LoopFlags, Registry, Result};

use crate::options::{Deadlines, Options};
use crate::random::Random;
use crate::record::Record;
use crate::{Outcome, elapsed_ns};

/// Timeouts that do not expire during the benchmark: 10 s, …
const LONG_US: u64 = 10_000_000;
/// … and up to a minute more if they are random.
const SPREAD_US: u64 = 60_000_000;
/// Timeouts that expire: all within a millisecond.
const SOON_US: u64 = 1_000;
/// After this all of those have expired, also on a coarse clock.
const ALL_DUE: Duration = Duration::from_millis(20);

/// What a phase does to the timers. Setting anew is adding again.
#[derive(Clone, Copy)]
enum Phase {
    Add,
    AddSoon,
    AddCommon(CommonTimeout),
    Delete,
}

/// The context.
struct Timers {
    ids: Vec<EventId>,
    random: Random,
    phase: Phase,
    phase_ns: Option<u64>,
    fired: usize,
}

impl Timers {
    fn run(&mut self, registry: &mut Registry<Self>) -> Result<()> {
        let Self { ids, random, phase, .. } = self;
        match *phase {
            Phase::Add => ids.iter().try_for_each(|id| {
                let timeout = Duration::from_micros(LONG_US + random.below(SPREAD_US));
                registry.add(*id, Some(timeout))
            }),
            Phase::AddSoon => ids.iter().try_for_each(|id| {
                registry.add(*id, Some(Duration::from_micros(random.below(SOON_US))))
            }),
            Phase::AddCommon(common) => {
                ids.iter().try_for_each(|id| registry.add_common(*id, common))
            }
            Phase::Delete => {
                ids.iter().for_each(|id| registry.del(*id));
                Ok(())
            }
        }
    }
}

fn expired(_: &mut Registry<Timers>, timers: &mut Timers, _: Fired) {
    timers.fired += 1;
}

fn run_phase(registry: &mut Registry<Timers>, timers: &mut Timers, _: Fired) {
    let begin = Instant::now();
    timers.run(registry).expect("timers that exist");
    timers.phase_ns = Some(elapsed_ns(begin));
}

fn pass(base: &mut EventBase<Timers>, timers: &mut Timers) -> Result<()> {
    base.run_with(timers, LoopFlags::ONCE | LoopFlags::NONBLOCK).map(drop)
}

/// A base, its timers, and the event in whose handler the phases run.
struct Bench {
    base: EventBase<Timers>,
    timers: Timers,
    phase_event: EventId,
    deadlines: Deadlines,
}

impl Bench {
    fn new(options: &Options) -> Outcome<Self> {
        let mut base = options.open_base()?;
        let registry = base.registry();
        let phase_event = registry.create(EventSpec::timer(), run_phase);
        let make = |_| registry.create(EventSpec::timer(), expired);
        let ids = (0..options.timers).map(make).collect();
        let (random, phase) = (Random::new(), Phase::Add);
        let timers = Timers { ids, random, phase, phase_ns: None, fired: 0 };
        Ok(Self { base, timers, phase_event, deadlines: options.deadlines })
    }

    /// Runs `phase` inside a handler and returns how long it took.
    fn in_handler(&mut self, phase: Phase) -> Result<u64> {
        self.timers.phase = phase;
        self.timers.phase_ns = None;
        self.base.registry().add(self.phase_event, Some(Duration::ZERO))?;
        loop {
            pass(&mut self.base, &mut self.timers)?;
            if let Some(ns) = self.timers.phase_ns {
                return Ok(ns);
            }
        }
    }

    /// How to add, by the kind of deadlines: in a while, or soon.
    fn adding(&mut self, common_us: u64, random: Phase) -> Result<Phase> {
        if self.deadlines == Deadlines::Random {
            return Ok(random);
        }
        let duration = Duration::from_micros(common_us);
        Ok(Phase::AddCommon(self.base.registry().common_timeout(duration)?))
    }

    fn expire(&mut self) -> Result<u64> {
        let adding = self.adding(SOON_US, Phase::AddSoon)?;
        self.in_handler(adding)?;
        self.timers.fired = 0;
        let added = Instant::now();
        while added.elapsed() < ALL_DUE {}
        let begin = Instant::now();
        while self.timers.fired < self.timers.ids.len() {
            pass(&mut self.base, &mut self.timers)?;
        }
        Ok(elapsed_ns(begin))
    }
}

pub(crate) fn benchmark(options: &Options, record: &mut Record) -> Outcome<()> {
    let (mut add, mut reset, mut delete, mut expire) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    let mut bench = Bench::new(options)?;
    for run in options.runs() {
        let adding = bench.adding(LONG_US, Phase::Add)?;
        let add_ns = bench.in_handler(adding)?;
        if run.is_none() {
            bench.in_handler(Phase::Delete)?; // the first run only grows the heap
            continue;
        }
        add.push(add_ns);
        reset.push(bench.in_handler(adding)?);
        delete.push(bench.in_handler(Phase::Delete)?);
        expire.push(bench.expire()?);
    }
    record.number("timers", u64::from(options.timers));
    record.text("common_how", "Registry::add_common");
    record.numbers("add_ns", &add);
    record.numbers("reset_ns", &reset);
    record.numbers("delete_ns", &delete);
    record.numbers("expire_ns", &expire);
    Ok(())
}
