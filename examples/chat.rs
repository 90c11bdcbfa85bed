//! A chat on one thread: each line that a client sends goes to all others.
//!
//! ```text
//! $ cargo run --example chat              # or with an address, instead of 127.0.0.1:5555
//! listening on 127.0.0.1:5555
//! guest 1 joined, 1 here                  # after: nc 127.0.0.1 5555
//! guest 1 left, 0 here
//! ```
//!
//! A client that does not read is disconnected once 64 KiB wait for it, so that no one can make the
//! server's memory grow.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;

use evshard::{
    Accepted, Buffer, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    Eol, EventBase, HasBufferevents, Interest, ListenOptions, ListenerId, Registry, What,
};

/// A longer line ends its client.
const LINE_BYTES_MAX: usize = 4 << 10;
/// More unsent bytes end their client.
const UNSENT_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
struct App {
    bufferevents: Bufferevents<Self>,
    names: HashMap<BuffereventId, String>,
    guests: u64,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let options = BuffereventOptions::empty();
    let Ok(id) = app.bufferevents.socket(registry, client.socket, options) else { return };
    app.guests += 1;
    let name = format!("guest {}", app.guests);
    if let Some(mut bufferevent) = app.bufferevents.get(registry, id) {
        bufferevent.set_handlers(BuffereventHandlers {
            read: Some(on_read),
            write: None,
            event: Some(on_event),
        });
        bufferevent.enable(Interest::READ);
        bufferevent.write(format!("you are {name}\n").as_bytes());
    }
    println!("{name} joined, {} here", app.names.len() + 1);
    send_to_others(registry, app, id, format!("{name} joined\n"));
    app.names.insert(id, name);
}

fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    loop {
        // Sending a line may have ended this client, too.
        let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
        let Some(line) = bufferevent.input().read_line(Eol::Lf) else {
            if bufferevent.input().len() > LINE_BYTES_MAX {
                drop(bufferevent);
                leave(registry, app, id);
            }
            return;
        };
        drop(bufferevent);
        let name = app.names.get(&id).map_or("", String::as_str);
        let text = format!("{name}: {}\n", String::from_utf8_lossy(&line).trim_end());
        send_to_others(registry, app, id, text);
    }
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    if what.intersects(What::EOF | What::ERROR) {
        leave(registry, app, id);
    }
}

fn leave(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    app.bufferevents.free(registry, id);
    let Some(name) = app.names.remove(&id) else { return };
    println!("{name} left, {} here", app.names.len());
    send_to_others(registry, app, id, format!("{name} left\n"));
}

/// Sends a text to all but one. They share its bytes.
fn send_to_others(registry: &mut Registry<App>, app: &mut App, from: BuffereventId, text: String) {
    let mut text_once = Buffer::new();
    text_once.append_shared(text);
    let others: Vec<BuffereventId> = app.names.keys().copied().filter(|id| *id != from).collect();
    for id in others {
        let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { continue };
        bufferevent.output().append_buffer(&mut text_once.share());
        if bufferevent.output().len() > UNSENT_BYTES_MAX {
            drop(bufferevent);
            leave(registry, app, id);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:5555".to_owned()).parse()?;
    let mut app = App::default();
    let mut base = EventBase::new(Config::default())?;
    let options = ListenOptions::default();
    let listener = app.bufferevents.listen(base.registry(), address, options, on_client)?;
    let listening =
        app.bufferevents.listener(base.registry(), listener).and_then(|it| it.local_address());
    println!("listening on {}", listening.unwrap_or(address));
    base.run(&mut app)?;
    Ok(())
}
