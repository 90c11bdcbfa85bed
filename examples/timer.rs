//! A periodic timer: the second argument of `add` is the interval of a persistent event.
//!
//! ```text
//! $ cargo run --example timer 3
//! tick after 500.7 ms
//! tick after 499.9 ms
//! tick after 500.0 ms
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use evshard::{Config, EventBase, EventSpec, Fired, Registry};

const INTERVAL: Duration = Duration::from_millis(500);
const USAGE: &str = "usage: timer [TICKS], 1 or more; 4 if not given";

/// The context that the handler works on.
struct App {
    ticks_left: u32,
    last_tick: Instant,
}

fn on_tick(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    let elapsed = app.last_tick.elapsed();
    println!("tick after {:.1} ms", elapsed.as_secs_f64() * 1e3);
    app.last_tick += elapsed;
    app.ticks_left -= 1;
    if app.ticks_left == 0 {
        registry.free(fired.id); // it was the only event, so the loop ends
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ticks = match std::env::args().nth(1) {
        None => 4,
        Some(text) => text.parse::<NonZeroU32>().map_err(|_| USAGE)?.get(),
    };
    let mut app = App { ticks_left: ticks, last_tick: Instant::now() };
    let mut base = EventBase::new(Config::default())?;
    let timer = base.registry().create(EventSpec::timer().persist(), on_tick);
    base.registry().add(timer, Some(INTERVAL))?;
    base.run(&mut app)?;
    Ok(())
}
