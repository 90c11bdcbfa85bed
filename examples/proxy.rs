//! A TCP proxy: connects each client to a target, and passes bytes both ways.
//!
//! ```text
//! $ cargo run --example proxy 127.0.0.1:5556 localhost:5555
//! listening on 127.0.0.1:5556 for localhost:5555
//! 127.0.0.1:40122 connected               # after: nc 127.0.0.1 5556
//! 127.0.0.1:40122 done
//! ```
//!
//! A side that reads slowly holds the other one back: at most 256 KiB wait for it. The end of one
//! side's stream is passed on, and the other direction goes on until it ends, too.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::time::Duration;

use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    EventBase, HasBufferevents, Interest, ListenOptions, ListenerId, Registry, Watermarks, What,
};

/// At so many unsent bytes of one side, the other is not read.
const UNSENT_BYTES_MAX: usize = 256 << 10;
/// Reading goes on below so many.
const UNSENT_BYTES_LOW: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

struct Side {
    other: BuffereventId,
    name: String,
    /// Whether the peer has ended its stream.
    has_ended: bool,
}

struct App {
    bufferevents: Bufferevents<Self>,
    sides: HashMap<BuffereventId, Side>,
    target: (String, u16),
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let options = BuffereventOptions::empty();
    let Ok(near) = app.bufferevents.socket(registry, client.socket, options) else { return };
    let far = app.bufferevents.unconnected(registry, options);
    let name = client.peer.map_or("a client".to_owned(), |peer| peer.to_string());
    println!("{name} connected");
    for (id, other) in [(near, far), (far, near)] {
        let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { continue };
        bufferevent.set_handlers(BuffereventHandlers {
            read: Some(on_read),
            write: Some(on_written),
            event: Some(on_event),
        });
        let sent = Watermarks { low: UNSENT_BYTES_LOW, high: 0 };
        bufferevent.set_watermarks(Interest::WRITE, sent);
        bufferevent.enable(Interest::READ);
        app.sides.insert(id, Side { other, name: name.clone(), has_ended: false });
    }
    if let Some(mut far) = app.bufferevents.get(registry, far) {
        let (host, port) = &app.target;
        far.connect_host(host, *port, Some(CONNECT_TIMEOUT)).expect("it is not connected yet");
    }
}

/// Passes the input on. If too much waits on the other side, this one reads no more for now.
fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let Some(side) = app.sides.get(&id) else { return };
    let Some(mut from) = app.bufferevents.get(registry, id) else { return };
    let mut bytes = std::mem::take(from.input());
    drop(from);
    let Some(mut to) = app.bufferevents.get(registry, side.other) else { return };
    to.output().append_buffer(&mut bytes);
    if to.output().len() >= UNSENT_BYTES_MAX {
        drop(to);
        if let Some(mut from) = app.bufferevents.get(registry, id) {
            from.disable(Interest::READ);
        }
    }
}

/// Little is left to send, so the other side may be read again.
fn on_written(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let Some(other) = app.sides.get(&id).map(|side| side.other) else { return };
    let Some(of_other) = app.sides.get(&other) else { return };
    if !of_other.has_ended
        && let Some(mut other) = app.bufferevents.get(registry, other)
    {
        other.enable(Interest::READ);
    }
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    let Some(side) = app.sides.get_mut(&id) else { return };
    let other = side.other;
    if what.contains(What::EOF) {
        side.has_ended = true;
        if !app.sides.get(&other).is_none_or(|other| other.has_ended) {
            if let Some(mut to) = app.bufferevents.get(registry, other) {
                // A socket can always be ended.
                let _ = to.end_write();
            }
            return;
        }
    } else if what.contains(What::ERROR) {
        let error = app.bufferevents.get(registry, id).and_then(|mut it| it.take_error());
        println!("{}: {}", side.name, error.map_or("failed".to_owned(), |error| error.to_string()));
    } else {
        return;
    }
    // Both have ended, or this one failed: the rest is sent, where that is possible.
    if let Some(side) = app.sides.remove(&id) {
        println!("{} done", side.name);
    }
    app.sides.remove(&other);
    for id in [id, other] {
        if let Some(bufferevent) = app.bufferevents.get(registry, id) {
            bufferevent.free_when_sent();
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: proxy ADDRESS:PORT HOST:PORT";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target] = &arguments[..] else { return Err(usage.into()) };
    let (host, port) = target.rsplit_once(':').ok_or(usage)?;
    let target = (host.to_owned(), port.parse().map_err(|_| usage)?);
    let mut app = App { bufferevents: Bufferevents::new(), sides: HashMap::new(), target };
    let mut base = EventBase::new(Config::default())?;
    let options = ListenOptions::default();
    let address = listen.parse().map_err(|error| format!("{listen}: {error}; {usage}"))?;
    let listener = app.bufferevents.listen(base.registry(), address, options, on_client)?;
    let listening =
        app.bufferevents.listener(base.registry(), listener).and_then(|it| it.local_address());
    println!("listening on {} for {host}:{port}", listening.unwrap_or(address));
    base.run(&mut app)?;
    Ok(())
}
