//! A server that sends back what it receives: a listener and any number of clients on one thread.
//!
//! ```text
//! $ cargo run --example echo              # or with an address, instead of 127.0.0.1:5555
//! listening on 127.0.0.1:5555
//! 127.0.0.1:40122 connected               # after: nc 127.0.0.1 5555
//! 127.0.0.1:40122 closed
//! ```
//!
//! If a client sends but does not read, its socket becomes full and this server disconnects it. The
//! library's `evshard::server` waits for such a client, and has one loop per core.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use evshard::{Config, EventBase, EventSpec, Fired, Interest, Registry, Token};

struct App {
    listener: TcpListener,
    clients: HashMap<Token, (TcpStream, SocketAddr)>,
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: Fired) {
    let Ok((client, address)) = app.listener.accept() else { return };
    client.set_nonblocking(true).expect("every socket can be non-blocking");
    let token = Token(client.as_raw_fd() as u64);
    let readable = EventSpec::io(&client, Interest::READ).persist().token(token);
    let readable = registry.create(readable, on_data);
    registry.add(readable, None).expect("a socket can be watched");
    println!("{address} connected");
    app.clients.insert(token, (client, address));
}

fn on_data(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
    let Some((client, address)) = app.clients.get_mut(&fired.token) else { return };
    let mut buffer = [0; 4096];
    let n = client.read(&mut buffer).unwrap_or(0);
    if n == 0 || client.write_all(&buffer[..n]).is_err() {
        println!("{address} closed");
        registry.free(fired.id); // first the event, then its descriptor
        app.clients.remove(&fired.token);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:5555".to_owned());
    let listener = TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let mut app = App { listener, clients: HashMap::new() };
    let mut base = EventBase::new(Config::default())?;
    let client_waits = EventSpec::io(&app.listener, Interest::READ).persist();
    let client_waits = base.registry().create(client_waits, on_client);
    base.registry().add(client_waits, None)?;
    base.run(&mut app)?;
    Ok(())
}
