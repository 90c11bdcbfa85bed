//! A download server: sends a file to each client, at a limited rate.
//!
//! ```text
//! $ cargo run --example download FILE 1048576     # bytes per second
//! listening on 127.0.0.1:5555             # or on an address that follows
//! 127.0.0.1:40122 gets 5000000 bytes      # after: nc 127.0.0.1 5555 > copy
//! 127.0.0.1:40122 has them
//! ```
//!
//! The kernel sends the file (`sendfile(2)`), so its bytes are never in this program's memory.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    EventBase, HasBufferevents, Interest, ListenOptions, ListenerId, RateLimit, Registry, What,
};

struct App {
    bufferevents: Bufferevents<Self>,
    names: HashMap<BuffereventId, String>,
    file: Arc<File>,
    rate: RateLimit,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let options = BuffereventOptions::empty();
    let Ok(id) = app.bufferevents.socket(registry, client.socket, options) else { return };
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    bufferevent.set_handlers(BuffereventHandlers {
        read: Some(|registry, app, id| {
            // Whatever the client sends is not wanted.
            if let Some(mut bufferevent) = app.bufferevents.get(registry, id) {
                let input = bufferevent.input();
                input.drain(input.len());
            }
        }),
        write: Some(on_sent),
        event: Some(on_event),
    });
    bufferevent.set_rate_limit(Some(app.rate)).expect("it has a socket");
    bufferevent.enable(Interest::READ);
    let length = app.file.metadata().map_or(0, |data| data.len());
    let name = client.peer.map_or("a client".to_owned(), |peer| peer.to_string());
    match bufferevent.output().append_file(app.file.clone(), 0..length) {
        Ok(()) => println!("{name} gets {length} bytes"),
        Err(error) => println!("{name} gets nothing: {error}"),
    }
    app.names.insert(id, name);
}

fn on_sent(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    if let Some(name) = app.names.remove(&id) {
        println!("{name} has them");
    }
    app.bufferevents.free(registry, id);
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    // A client may end its stream and still wait for the file.
    if what.contains(What::ERROR) {
        if let Some(name) = app.names.remove(&id) {
            println!("{name} is gone");
        }
        app.bufferevents.free(registry, id);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: download FILE BYTES_PER_SECOND [ADDRESS:PORT]";
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or(usage)?;
    let rate =
        RateLimit::bytes_per_second(arguments.next().ok_or(usage)?.parse().map_err(|_| usage)?)?;
    let address = arguments.next().unwrap_or("127.0.0.1:5555".to_owned()).parse()?;
    let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut app = App {
        bufferevents: Bufferevents::new(),
        names: HashMap::new(),
        file: Arc::new(file),
        rate,
    };
    let mut base = EventBase::new(Config::default())?;
    let options = ListenOptions::default();
    let listener = app.bufferevents.listen(base.registry(), address, options, on_client)?;
    let listening =
        app.bufferevents.listener(base.registry(), listener).and_then(|it| it.local_address());
    println!("listening on {}", listening.unwrap_or(address));
    base.run(&mut app)?;
    Ok(())
}
