//! Micro-benchmarks of the event base and of buffers: what their own code costs, without a server
//! around it.
//!
//! `cargo bench` measures; `cargo bench -- --test` only checks that they still run.

mod buffers;
mod dispatch_chain;
#[path = "bases/random.rs"]
mod random;
mod timers;
mod wake;

criterion::criterion_group! {
    name = benches;
    config = criterion::Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = buffers::bench, dispatch_chain::bench, timers::bench, wake::bench
}
criterion::criterion_main!(benches);
