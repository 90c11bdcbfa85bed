//! How much memory TLS connections have, by an allocator that counts.

use std::alloc::System;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use evshard::tls::{Identity, TlsClient, TlsServer, TrustRoots};
use evshard::{
    BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config, EventBase,
    HasBufferevents, Interest, LoopFlags, What,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes are allocated.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[derive(Default)]
struct App {
    bufferevents: Bufferevents<Self>,
    connected: usize,
    received: usize,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.bufferevents
    }
}

struct Bench {
    base: EventBase<App>,
    app: App,
}

impl Bench {
    fn set_up(&mut self, id: BuffereventId) {
        let mut one = self.app.bufferevents.get(self.base.registry(), id).unwrap();
        one.set_handlers(BuffereventHandlers {
            read: Some(|registry, app, id| {
                let mut one = app.bufferevents.get(registry, id).unwrap();
                app.received += one.input().drain(usize::MAX);
            }),
            write: None,
            event: Some(|_, app, _, what| app.connected += usize::from(what == What::CONNECTED)),
        });
        one.enable(Interest::READ);
    }

    fn run_until(&mut self, holds: impl Fn(&App) -> bool) {
        let start = Instant::now();
        while !holds(&self.app) {
            assert!(start.elapsed() < Duration::from_secs(60));
            self.base.run_with(&mut self.app, LoopFlags::NONBLOCK).unwrap();
        }
    }
}

const CONNECTIONS: usize = 100;

/// What one connection of a server may cost at rest. It is some 10 KiB: rustls keeps 4 KiB for what
/// arrives next, and its state with the keys. The bufferevent and its events are less than 1 KiB.
const AT_REST_MAX: usize = 12 << 10;

/// A plain one.
const PLAIN_AT_REST_MAX: usize = 1 << 10;

/// One test, since the allocator counts for all threads.
#[test]
fn a_connection_at_rest_holds_no_buffer_of_ours_whatever_passed_before() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let server = TlsServer::builder(identity).without_resumption().build().unwrap();
    let roots = TrustRoots::from_pem(certificate.as_bytes()).unwrap();
    let client = TlsClient::builder(roots).without_resumption().build().unwrap();
    let base = EventBase::new(Config::default()).unwrap();
    let mut bench = Bench { base, app: App::default() };
    let none = BuffereventOptions::empty();

    let before = allocated();
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..CONNECTIONS {
        let (near, far) = UnixStream::pair().unwrap();
        let (table, registry) = (&mut bench.app.bufferevents, bench.base.registry());
        servers.push(table.accept_tls(registry, near, &server, none).unwrap());
        let id = table.socket(registry, far, none).unwrap();
        table.get(registry, id).unwrap().start_tls_client(&client, "localhost").unwrap();
        clients.push(id);
        for id in [servers[servers.len() - 1], id] {
            bench.set_up(id);
        }
    }
    bench.run_until(|app| app.connected == 2 * CONNECTIONS);
    for id in servers.iter().chain(&clients) {
        let mut one = bench.app.bufferevents.get(bench.base.registry(), *id).unwrap();
        one.write(&[7; 100_000]);
    }
    bench.run_until(|app| app.received == 2 * CONNECTIONS * 100_000);

    let with_both = allocated();
    for id in clients {
        // The server's side would notice the end, and free nothing.
        bench.app.bufferevents.free(bench.base.registry(), id);
    }
    let of_servers = allocated() - before;
    let of_one = of_servers / CONNECTIONS;
    let of_client = (with_both - before - of_servers) / CONNECTIONS;
    println!("a TLS connection at rest: {of_one} bytes as the server, {of_client} as the client");
    assert!(of_one <= AT_REST_MAX, "{of_one} bytes");

    let (near, _far): (Vec<_>, Vec<_>) =
        (0..CONNECTIONS).map(|_| UnixStream::pair().unwrap()).unzip();
    let before = allocated();
    for near in near {
        bench.app.bufferevents.socket(bench.base.registry(), near, none).unwrap();
    }
    let plain = allocated().saturating_sub(before) / CONNECTIONS;
    println!("a plain one: {plain} bytes");
    assert!(plain <= PLAIN_AT_REST_MAX, "{plain} bytes");
}
