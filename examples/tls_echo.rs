//! A server that sends back what it receives, over TLS.
//!
//! ```text
//! $ cargo run --example tls_echo server.pem server.key   # also an address; else 127.0.0.1:5556
//! listening on 127.0.0.1:5556
//! 127.0.0.1:40122 connected: TLS 1.3, TLS_AES_256_GCM_SHA384
//! 127.0.0.1:40122 closed                  # after: openssl s_client -connect 127.0.0.1:5556
//! 127.0.0.1:40124 TLS handshake: …        # after: echo plain | nc 127.0.0.1 5556
//! ```
//!
//! A client that sends and does not read makes its output grow, and may take any time to read the
//! rest. See `proxy.rs` for limits.
//!
//! The first file has the certificate of the server and those that issued it, the second one its
//! private key, both in PEM.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};

use evshard::tls::{Identity, TlsServer};
use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config,
    EventBase, HasBufferevents, Interest, ListenOptions, ListenerId, Registry, What,
};

struct App {
    bufferevents: Bufferevents<Self>,
    addresses: HashMap<BuffereventId, SocketAddr>,
    tls: TlsServer,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let Some(address) = client.peer else { return };
    let options = BuffereventOptions::empty();
    // Otherwise a small echo waits until the client has acknowledged what TLS sent before it.
    let socket = TcpStream::from(client.socket);
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let accepted = app.bufferevents.accept_tls(registry, socket, &app.tls, options);
    let Ok(id) = accepted else { return };
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    bufferevent.set_handlers(BuffereventHandlers {
        read: Some(on_read),
        write: None,
        event: Some(on_event),
    });
    bufferevent.enable(Interest::READ);
    app.addresses.insert(id, address);
}

fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    let (input, output) = bufferevent.buffers();
    output.append_buffer(input);
}

fn on_event(registry: &mut Registry<App>, app: &mut App, id: BuffereventId, what: What) {
    let Some(mut bufferevent) = app.bufferevents.get(registry, id) else { return };
    let Some(address) = app.addresses.get(&id) else { return };
    if what.contains(What::CONNECTED)
        && let Some(facts) = bufferevent.tls()
    {
        println!("{address} connected: {}, {}", facts.version, facts.cipher_suite);
    }
    if what.intersects(What::EOF | What::ERROR) {
        match bufferevent.take_error() {
            Some(error) => println!("{address} {error}"),
            None => println!("{address} closed"),
        }
        app.addresses.remove(&id);
        // The client gets everything, and then a proper end of the stream.
        bufferevent.free_when_sent();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (certificates, key, address) = match &arguments[..] {
        [certificates, key] => (certificates, key, "127.0.0.1:5556"),
        [certificates, key, address] => (certificates, key, address.as_str()),
        _ => return Err("usage: tls_echo CERTIFICATES KEY [ADDRESS]".into()),
    };
    let address: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let tls = TlsServer::builder(Identity::from_files(certificates, key)?).build()?;
    let mut app = App { bufferevents: Bufferevents::new(), addresses: HashMap::new(), tls };
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
