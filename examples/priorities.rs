//! Priorities: an event of a lower priority number runs first, also before events that were due
//! earlier.
//!
//! ```text
//! $ cargo run --example priorities
//! bulk 1
//! bulk 2 raises an alarm
//! alarm
//! bulk 3
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use evshard::{Config, EventBase, EventId, EventSpec, Fired, Ready, Registry, Token};

const URGENT: u8 = 0;
const BULK: u8 = 1;

/// The context is the alarm's event, which the others activate.
fn on_bulk(registry: &mut Registry<EventId>, alarm: &mut EventId, fired: Fired) {
    let number = fired.token.0;
    if number == 2 {
        println!("bulk {number} raises an alarm");
        registry.activate(*alarm, Ready::TIMEOUT).expect("it was not freed");
    } else {
        println!("bulk {number}");
    }
}

fn main() -> evshard::Result<()> {
    let mut base = EventBase::new(Config::default().priorities(2))?;
    let registry = base.registry();
    let mut alarm = registry.create(EventSpec::timer(), |_, _, _| println!("alarm"));
    registry.set_priority(alarm, URGENT)?;
    for number in 1..=3 {
        let bulk = registry.create(EventSpec::timer().token(Token(number)), on_bulk);
        registry.set_priority(bulk, BULK)?;
        registry.activate(bulk, Ready::TIMEOUT)?;
    }
    base.run(&mut alarm)?;
    Ok(())
}
