//! Write interest that is added and deleted within one turn. A protocol does this if it tries to
//! send first and waits only if it must. It shows the cost of a turn with each changelist policy:
//!
//! ```text
//! cargo build --release --example toggle_write
//! strace -c -e trace=epoll_ctl target/release/examples/toggle_write immediate
//! strace -c -e trace=epoll_ctl target/release/examples/toggle_write deferred
//! ```

use std::io::Write;
use std::os::unix::net::UnixStream;

use evshard::{ChangelistPolicy, Config, EventBase, EventId, EventSpec, Fired, Interest, Registry};

const TURNS: u32 = 10_000;

/// The context: the connection's write event, and how many turns are left.
struct App {
    writable: EventId,
    turns_left: u32,
}

/// Runs every turn, because the byte that waits is never read.
fn on_readable(registry: &mut Registry<App>, app: &mut App, _: Fired) {
    registry.add(app.writable, None).expect("a socket can be watched");
    registry.del(app.writable);
    app.turns_left -= 1;
    if app.turns_left == 0 {
        registry.loop_exit();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = match std::env::args().nth(1).as_deref() {
        Some("immediate") => ChangelistPolicy::Immediate,
        Some("deferred") => ChangelistPolicy::Deferred,
        _ => return Err("usage: toggle_write immediate|deferred".into()),
    };
    let (connection, mut peer) = UnixStream::pair()?;
    peer.write_all(b"x")?;

    // The environment must not choose another policy.
    let config = Config::default().ignore_environment().changelist(policy);
    let mut base = EventBase::new(config)?;
    let registry = base.registry();
    let readable = EventSpec::io(&connection, Interest::READ).persist();
    let readable = registry.create(readable, on_readable);
    let writable = EventSpec::io(&connection, Interest::WRITE);
    let writable = registry.create(writable, |_, _, _| unreachable!("it is always deleted"));
    registry.add(readable, None)?;
    let before = registry.stats().changes;
    base.run(&mut App { writable, turns_left: TURNS })?;

    let changes = base.registry().stats().changes - before;
    writeln!(std::io::stdout(), "{TURNS} turns, {changes} changes made in the kernel")?;
    Ok(())
}
