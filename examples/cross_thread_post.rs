//! Threads post their results as closures. These run on the loop's thread, so the results need no
//! lock.
//!
//! ```text
//! $ cargo run --example cross_thread_post
//! 303 primes below 2000
//! 550 primes below 4000
//! 783 primes below 6000
//! 1007 primes below 8000
//! 4 results, 2643 primes in all
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::thread;

use evshard::{Config, EventBase};

fn count_primes(below: u64) -> usize {
    (2..below).filter(|n| (2..*n).all(|divisor| n % divisor != 0)).count()
}

fn main() -> evshard::Result<()> {
    let mut base = EventBase::<Vec<usize>>::new(Config::default())?;
    let workers = [2000, 4000, 6000, 8000].map(|below| {
        base.registry().hold(); // no event is pending, but results will come
        let remote = base.remote();
        thread::spawn(move || {
            let primes = count_primes(below);
            remote.post(move |registry, results| {
                println!("{primes} primes below {below}");
                results.push(primes);
                registry.release();
            })
        })
    });
    let mut results = Vec::new();
    base.run(&mut results)?; // until the last hold is released
    println!("{} results, {} primes in all", results.len(), results.iter().sum::<usize>());
    for worker in workers {
        worker.join().expect("a worker panicked")?;
    }
    Ok(())
}
