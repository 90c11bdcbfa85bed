//! A server that sends back what it receives, on buffered events.
//!
//! ```text
//! $ cargo run --example buffered_echo     # or with an address, instead of 127.0.0.1:5555
//! listening on 127.0.0.1:5555
//! 127.0.0.1:40122 connected               # after: nc 127.0.0.1 5555
//! 127.0.0.1:40122 closed
//! ```
//!
//! A client that sends and does not read makes its output grow, as in libevent's program. See
//! `proxy.rs` for limits.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::net::SocketAddr;

use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    EventBase, HasBufferevents, Interest, ListenOptions, ListenerId, Registry, What,
};

#[derive(Default)]
struct App {
    bufferevents: Bufferevents<Self>,
    addresses: HashMap<BuffereventId, SocketAddr>,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let Some(address) = client.peer else { return };
    let options = BuffereventOptions::empty();
    let Ok(id) = app.bufferevents.socket(registry, client.socket, options) else { return };
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    bufferevent.set_handlers(BuffereventHandlers {
        read: Some(on_read),
        write: None,
        event: Some(on_event),
    });
    bufferevent.enable(Interest::READ);
    println!("{address} connected");
    app.addresses.insert(id, address);
}

fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    let (input, output) = bufferevent.buffers();
    output.append_buffer(input);
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    if what.intersects(What::EOF | What::ERROR) {
        if let Some(address) = app.addresses.remove(&id) {
            println!("{address} closed");
        }
        if let Some(bufferevent) = app.bufferevents.get(registry, id) {
            bufferevent.free_when_sent();
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:5555".to_owned());
    let address: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let mut app = App::default();
    let mut base = EventBase::new(Config::default())?;
    let (registry, options) = (base.registry(), ListenOptions::default());
    let id = app.bufferevents.listen(registry, address, options, on_client)?;
    let listener = app.bufferevents.listener(registry, id);
    if let Some(address) = listener.and_then(|listener| listener.local_address()) {
        println!("listening on {address}");
    }
    base.run(&mut app)?;
    Ok(())
}
