//! Bugs where one connection was always served, and others waited for it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evshard::server::{AcceptMode, Echo, ProxyMode, ProxyProtocol, Server, ServerConfig};
use test_needs::Need;

use crate::clients::{StopAtEnd, ask, connect, is_served};
use crate::common::{MS, eventually};
use crate::servers::{address_of, config};
use crate::stoppable::Stoppable;

/// The longest wait that passes. Other servers let clients wait two seconds and more. Here it is
/// milliseconds.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Keeps a connection readable and writable all the time, until it is stopped.
fn flood(address: SocketAddr, stop: &AtomicBool) {
    let stream = connect(address);
    let (mut writer, mut reader) = (&stream, &stream);
    thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut reader, &mut io::sink()));
        let bytes = vec![b'x'; 1 << 20];
        while !stop.load(Ordering::Relaxed) {
            writer.write_all(&bytes).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    });
}

/// The longest duration of `visit` beside a flood.
fn longest_beside_a_flood(mode: AcceptMode, visit: impl Fn(SocketAddr)) -> Duration {
    let server = Server::start(&config(mode, 1), Echo).unwrap();
    let (address, stop) = (address_of(&server), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| flood(address, &stop));
        eventually("the flood is on", || server.stats().total().bytes_in > 10 << 20);
        let _stop = StopAtEnd(&stop);
        let times = (0..30).map(|_| {
            let start = Instant::now();
            visit(address);
            start.elapsed()
        });
        times.max().unwrap()
    })
}

/// hyper: a connection that was always ready was served for up to two seconds without a break.
#[test]
fn a_connection_that_is_always_ready_starves_the_others() {
    let talker = std::cell::OnceCell::new();
    let longest = longest_beside_a_flood(AcceptMode::Acceptor, |address| {
        let stream = talker.get_or_init(|| connect(address));
        assert_eq!(ask(stream, b"and I?").unwrap(), b"and I?");
    });
    assert!(longest < WAIT_MAX, "{longest:?}");
}

/// actix-net, netpoll: a listener behind the busy connections of its own loop accepted late, or
/// only after they were done.
#[test]
fn no_connection_is_accepted_while_one_connection_floods() {
    for mode in AcceptMode::ALL {
        let longest = longest_beside_a_flood(mode, |address| assert!(is_served(&connect(address))));
        assert!(longest < WAIT_MAX, "{mode}: {longest:?}");
    }
}

/// flux: beside 128 busy connections, an event array of 128 entries reported the others a second
/// later.
#[test]
fn an_event_array_of_fixed_length_reports_late_what_does_not_fit() {
    const READY: usize = 1000;
    // Both ends of each connection are in this process.
    if test_needs::missing(Need::Descriptors(2 * READY as u64 + 1_000)) {
        return;
    }
    let service = Stoppable::default();
    let server = Server::start(&config(AcceptMode::Acceptor, 1), service.clone()).unwrap();
    let address = address_of(&server);
    let mut clients: Vec<TcpStream> = (0..READY).map(|_| connect(address)).collect();
    clients.iter().for_each(|stream| assert!(is_served(stream)));
    let before = server.stats().shards[0].clone();
    let mut stopper = connect(address);
    stopper.write_all(b"!").unwrap();
    service.wait_for(1);
    clients.iter_mut().for_each(|stream| stream.write_all(b"y").unwrap());
    service.release_all();
    for stream in &mut clients {
        stream.read_exact(&mut [0]).unwrap();
    }
    let after = server.stats().shards[0].clone();
    assert!(before.event_capacity < 512, "nothing filled it: {}", before.event_capacity);
    assert!(after.event_capacity >= 512, "capacity {} for {READY} ready", after.event_capacity);
    let waits = after.waits - before.waits;
    assert!(waits < READY as u64 / 10, "{waits} waits for {READY} ready");
}

/// Seastar: a PROXY header was read where connections are accepted, and a slow one delayed all
/// connections behind it.
#[test]
fn a_slow_proxy_header_delays_later_connections() {
    for mode in AcceptMode::ALL {
        let trusted = vec!["127.0.0.0/8".parse().unwrap()];
        let proxy = ProxyProtocol { mode: ProxyMode::Require, trusted };
        let server = Server::start(&ServerConfig { proxy, ..config(mode, 1) }, Echo).unwrap();
        let address = address_of(&server);
        let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(address)).collect();
        slow.iter_mut().for_each(|stream| stream.write_all(b"PROXY TCP4 192.0.2.7 ").unwrap());
        let start = Instant::now();
        let mut honest = connect(address);
        honest.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").unwrap();
        assert!(is_served(&honest));
        assert!(start.elapsed() < WAIT_MAX, "{mode}: {:?}", start.elapsed());
        for stream in &mut slow {
            stream.write_all(b"198.51.100.1 4711 443\r\n").unwrap();
            assert!(is_served(stream), "{mode}: the slow ones are served, too");
        }
    }
}

/// tokio: accepted sockets with data waited 64 ms and more until their first read.
#[test]
fn what_came_with_the_connection_is_read_late() {
    for mode in AcceptMode::ALL {
        let server = Server::start(&config(mode, 2), Echo).unwrap();
        let address = address_of(&server);
        let mut took: Vec<Duration> = (0..50)
            .map(|_| {
                let start = Instant::now();
                assert!(is_served(&connect(address)));
                start.elapsed()
            })
            .collect();
        took.sort();
        assert!(took[25] < 30 * MS, "{mode}: {took:?}");
        let stats = server.stats();
        let handoffs = stats.shards.iter().map(|shard| shard.timings.handoff.percentiles());
        let (count, median) = handoffs.fold((0, 0), |(n, m), h| (n + h.count, m.max(h.p50)));
        assert!(median < 30_000_000, "{mode}: {median} ns at the median");
        assert_eq!(count, 50, "{mode}: and every handoff is measured");
    }
}

/// smg, vert.x: a loop stood still for a second, and no graph showed it.
#[test]
fn a_loop_that_stands_still_is_seen_nowhere() {
    let service = Stoppable::default();
    let server = Server::start(&config(AcceptMode::Acceptor, 1), service.clone()).unwrap();
    let (mut stopper, mut other) = (connect(address_of(&server)), connect(address_of(&server)));
    assert!(is_served(&stopper) && is_served(&other));
    stopper.write_all(b"!").unwrap();
    service.wait_for(1);
    other.write_all(b"y").unwrap();
    assert!(!server.stats().shards[0].answered, "it does not answer now");
    thread::sleep(100 * MS);
    service.release_all();
    other.read_exact(&mut [0]).unwrap();
    let shard = server.stats().shards[0].clone();
    assert!(shard.answered && shard.slow_callbacks >= 1, "{}", shard.slow_callbacks);
    assert!(shard.timings.callback.percentiles().max > 100_000_000, "a callback stands out");
}
