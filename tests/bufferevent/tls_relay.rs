//! TLS through relays that pass the bytes in parts of any size.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use evshard::{BuffereventHandlers, BuffereventId, Interest, What};

use crate::app::{Bench, Seen, bench, echo, logging, on_each_backend};
use crate::tls::{Authority, accept, connect, expect_input, pattern};

/// The sizes of the parts: from 1 to a maximum, and the same in each run.
#[derive(Clone)]
struct Sizes {
    state: u64,
    max: usize,
}

impl Sizes {
    fn next(&mut self) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1 + (self.state >> 33) as usize % self.max
    }
}

/// Passes the bytes of one direction in parts, and then its end.
fn relay(mut from: UnixStream, mut to: UnixStream, mut sizes: Sizes) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let mut left = &bytes[..n];
        while !left.is_empty() {
            let (part, others) = left.split_at(sizes.next().min(left.len()));
            if to.write_all(part).is_err() {
                return;
            }
            left = others;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A server that echoes, and a client, with a relay of this kind in both directions.
fn through_relay(bench: &mut Bench, sizes: Sizes) -> [BuffereventId; 2] {
    let authority = Authority::new();
    let (near, to_server) = UnixStream::pair().unwrap();
    let (far, to_client) = UnixStream::pair().unwrap();
    for (from, to) in [(&to_server, &to_client), (&to_client, &to_server)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let sizes = sizes.clone();
        thread::spawn(move || relay(from, to, sizes));
    }
    let server = accept(bench, near, &authority.server());
    let handlers = BuffereventHandlers { read: Some(echo), ..logging() };
    bench.get(server).set_handlers(handlers);
    let client = connect(bench, far, &authority.client(), "localhost");
    [server, client]
}

fn expect_echo(bench: &mut Bench, sizes: Sizes, length: u32) {
    let [server, client] = through_relay(bench, sizes);
    let sent = pattern(length);
    bench.get(client).write(&sent);
    bench.get(client).end_write().unwrap();
    bench.run_until_seen(Seen::Event(server, What::EOF | What::READING));
    bench.get(server).end_write().unwrap();
    bench.run_until_seen(Seen::Event(client, What::EOF | What::READING));
    expect_input(bench, client, &sent);
    for id in [server, client] {
        bench.app.table.free(bench.base.registry(), id);
    }
}

#[test]
fn megabytes_are_echoed_byte_for_byte_through_parts_of_any_size() {
    on_each_backend(|bench| {
        expect_echo(bench, Sizes { state: 1, max: 20_000 }, 1_000_000);
    });
}

#[test]
fn bytes_that_come_one_by_one_are_echoed() {
    on_each_backend(|bench| expect_echo(bench, Sizes { state: 1, max: 1 }, 2_000));
    expect_echo(&mut bench(), Sizes { state: 1, max: 1 }, 400_000);
}

/// Passes what there is in parts of one byte, with a turn of the loop after each.
fn step(bench: &mut Bench, from: &mut UnixStream, to: &mut UnixStream) {
    let mut bytes = vec![0; 64 << 10];
    let n = from.read(&mut bytes).unwrap_or(0);
    for byte in &bytes[..n] {
        to.write_all(&[*byte]).unwrap();
        bench.turn();
    }
}

#[test]
fn each_byte_of_handshake_and_records_can_come_in_a_turn_of_its_own() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, mut to_server) = UnixStream::pair().unwrap();
        let (far, mut to_client) = UnixStream::pair().unwrap();
        for end in [&to_server, &to_client] {
            end.set_nonblocking(true).unwrap();
        }
        let server = accept(bench, near, &authority.server());
        let client = connect(bench, far, &authority.client(), "localhost");
        bench.get(client).write(b"slow");
        bench.get(client).end_write().unwrap();
        bench.run_until("the end", |bench| {
            step(bench, &mut to_client, &mut to_server);
            step(bench, &mut to_server, &mut to_client);
            bench.app.seen.contains(&Seen::Event(server, What::EOF | What::READING))
        });
        expect_input(bench, server, b"slow");
        assert!(!bench.get(client).enabled().is_empty());
    });
}

/// The relay stops after each number of bytes in turn: the client must see the end of the stream
/// only after all bytes, and an error at all other places.
#[test]
fn a_stream_that_is_cut_at_any_byte_never_ends_properly() {
    let mut bench = bench();
    let authority = Authority::new();
    let (server, client) = (authority.server(), authority.client());
    let mut length = 0;
    loop {
        let (near, mut to_server) = UnixStream::pair().unwrap();
        let (far, mut to_client) = UnixStream::pair().unwrap();
        for end in [&to_server, &to_client] {
            end.set_nonblocking(true).unwrap();
        }
        let server = accept(&mut bench, near, &server);
        let client = connect(&mut bench, far, &client, "localhost");
        bench.get(server).write(b"all of it");
        bench.get(server).end_write().unwrap();
        let (mut passed, mut is_cut) = (0, false);
        let ended = |bench: &Bench| {
            let is_end = |seen: &Seen| {
                matches!(seen, Seen::Event(id, what)
                    if *id == client && what.intersects(What::EOF | What::ERROR))
            };
            bench.app.seen.iter().copied().find(is_end)
        };
        bench.run_until("an end", |bench| {
            let mut bytes = vec![0; 64 << 10];
            let n = to_client.read(&mut bytes).unwrap_or(0);
            let _ = to_server.write_all(&bytes[..n]);
            let n = to_server.read(&mut bytes).unwrap_or(0);
            let part = n.min(length - passed);
            passed += part;
            let _ = to_client.write_all(&bytes[..part]);
            if part < n {
                is_cut = true;
                let _ = to_client.shutdown(Shutdown::Write);
            }
            ended(bench).is_some()
        });
        let end = ended(&bench).unwrap();
        let is_proper = end == Seen::Event(client, What::EOF | What::READING);
        assert!(is_proper != is_cut, "cut after {length} bytes: {end:?}");
        if is_proper {
            expect_input(&mut bench, client, b"all of it");
            assert!(length > 500, "the handshake alone has more bytes");
            break;
        }
        bench.get(client).disable(Interest::READ);
        for id in [server, client] {
            bench.app.table.free(bench.base.registry(), id);
        }
        bench.app.seen.clear();
        length += 37;
    }
}
