//! A signal is an event: this program counts Ctrl-C and ends after the third.
//!
//! ```text
//! $ cargo run --example signal
//! press Ctrl-C three times
//! ^Cgot signal 2, 1 of 3
//! ^Cgot signal 2, 2 of 3
//! ^Cgot signal 2, 3 of 3
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use evshard::{Config, EventBase, EventSpec, Fired, Registry};

/// The context is the number of deliveries.
fn on_interrupt(registry: &mut Registry<u32>, count: &mut u32, fired: Fired) {
    *count += 1;
    println!("got signal {}, {count} of 3", fired.signal().expect("it is a signal's event"));
    if *count == 3 {
        // Freeing the event restores Ctrl-C's default action; without events the loop ends.
        registry.free(fired.id);
    }
}

fn main() -> evshard::Result<()> {
    let mut base = EventBase::new(Config::default())?;
    let interrupt = EventSpec::signal(libc::SIGINT).persist();
    let interrupt = base.registry().create(interrupt, on_interrupt);
    base.registry().add(interrupt, None)?;
    println!("press Ctrl-C three times");
    base.run(&mut 0)?;
    Ok(())
}
