//! Watchers run right before and right after each wait. This program uses them to measure how a
//! loop spends its time.
//!
//! ```text
//! $ cargo run --example watch_timing
//! 50 turns, mean and longest:
//!   waited       14.99 ms    20.10 ms
//!   too late      0.14 ms     0.21 ms
//!   handlers      5.12 ms     5.17 ms
//! ```
//!
//! *Too late* is how much longer than planned a wait took: the delay of the kernel's scheduler.
//! *Handlers* that take long delay all other events.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::{Duration, Instant};

use evshard::{Config, EventBase, EventSpec, Registry};

/// A sum and a maximum, for the mean and the worst case.
#[derive(Default)]
struct Times {
    count: u32,
    total: Duration,
    longest: Duration,
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.total += time;
        self.longest = self.longest.max(time);
    }

    fn print(&self, name: &str) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mean = self.total / self.count.max(1);
        println!("  {name:<10} {:>7.2} ms  {:>7.2} ms", ms(mean), ms(self.longest));
    }
}

#[derive(Default)]
struct App {
    wait_planned: Option<Duration>,
    wait_began: Option<Instant>,
    wait_ended: Option<Instant>,
    waited: Times,
    too_late: Times,
    handlers: Times,
}

fn before_wait(_: &mut Registry<App>, app: &mut App, timeout: Option<Duration>) {
    if let Some(wait_ended) = app.wait_ended {
        app.handlers.add(wait_ended.elapsed());
    }
    app.wait_planned = timeout;
    app.wait_began = Some(Instant::now());
}

fn after_wait(_: &mut Registry<App>, app: &mut App) {
    let waited = app.wait_began.expect("a wait follows its preparation").elapsed();
    app.waited.add(waited);
    // Only a wait that its timeout ended can be too late.
    if let Some(late) = app.wait_planned.and_then(|planned| waited.checked_sub(planned)) {
        app.too_late.add(late);
    }
    app.wait_ended = Some(Instant::now());
}

fn main() -> evshard::Result<()> {
    let mut base = EventBase::new(Config::default())?;
    let registry = base.registry();
    registry.watch_prepare(before_wait);
    registry.watch_check(after_wait);

    // The load: a handler that takes 5 ms of every 20.
    let load = EventSpec::timer().persist();
    let load = registry.create(load, |_, _, _| std::thread::sleep(Duration::from_millis(5)));
    registry.add(load, Some(Duration::from_millis(20)))?;
    registry.loop_exit_after(Duration::from_secs(1));

    let mut app = App::default();
    base.run(&mut app)?;
    println!("{} turns, mean and longest:", app.waited.count);
    app.waited.print("waited");
    app.too_late.print("too late");
    app.handlers.print("handlers");
    Ok(())
}
