//! Waking a base: a notification that finds it awake, and a round trip through one that sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use criterion::Criterion;
use evshard::{Config, EventBase};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wake");
    group.bench_function("notify an awake base", |bencher| {
        let mut base = EventBase::<()>::new(Config::default()).expect("a base");
        let notifier = base.registry().notifier();
        bencher.iter(|| notifier.notify());
    });
    group.bench_function("post to a sleeping base and back", |bencher| {
        let mut base = EventBase::<()>::new(Config::default()).expect("a base");
        let remote = base.remote();
        let sleeper = thread::spawn(move || base.run_until_exit(&mut ()));
        let answered = Arc::new(AtomicU64::new(0));
        let mut sent = 0;
        bencher.iter(|| {
            sent += 1;
            let answered_there = answered.clone();
            let answer = move |_: &mut evshard::Registry<()>, (): &mut ()| {
                answered_there.fetch_add(1, Ordering::Release);
            };
            remote.post(answer).expect("the base lives");
            while answered.load(Ordering::Acquire) < sent {
                thread::yield_now();
            }
        });
        remote.post(|registry, ()| registry.loop_exit()).expect("the base lives");
        sleeper.join().expect("no panic").expect("a base that can wait");
    });
    group.finish();
}
