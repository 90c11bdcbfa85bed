//! Timers: setting, re-setting and deleting among many pending ones.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use evshard::{Config, EventBase, EventId, EventSpec};

use crate::random::Random;

const OPERATIONS: usize = 1000;

/// Random delays of one to two minutes, the same in every run.
fn delays() -> impl Iterator<Item = Duration> {
    let mut random = Random::new();
    std::iter::repeat_with(move || Duration::from_millis(60_000 + random.below(60_000)))
}

/// A base with this many pending timers.
fn base_with(timers: usize) -> (EventBase<()>, Vec<EventId>) {
    let mut base = EventBase::new(Config::default()).expect("a base");
    let ids = delays().take(timers).map(|delay| {
        let id = base.registry().create(EventSpec::timer(), |_, (), _| {});
        base.registry().add(id, Some(delay)).expect("a timer can be added");
        id
    });
    let ids = ids.collect();
    (base, ids)
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    group.throughput(Throughput::Elements(OPERATIONS as u64));
    for pending in [1_000, 100_000] {
        let (mut base, ids) = base_with(pending);
        group.bench_function(BenchmarkId::new("reset", pending), |bencher| {
            bencher.iter(|| {
                for (id, delay) in ids.iter().step_by(pending / OPERATIONS).zip(delays()) {
                    base.registry().add(*id, Some(delay)).expect("a timer can be re-set");
                }
            });
        });
        group.bench_function(BenchmarkId::new("delete and add", pending), |bencher| {
            let chosen: Vec<EventId> = ids.iter().copied().step_by(pending / OPERATIONS).collect();
            bencher.iter_batched(
                || delays().take(OPERATIONS),
                |delays| {
                    for (id, delay) in chosen.iter().zip(delays) {
                        base.registry().del(*id);
                        base.registry().add(*id, Some(delay)).expect("a timer can be added");
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
