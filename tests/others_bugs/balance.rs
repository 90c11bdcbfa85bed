//! Bugs where the load was uneven, although every client was equal.

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use evshard::server::stats::ServerStats;
use evshard::server::{
    AcceptMode, Connection, Echo, Measure, Placement, Server, ServerConfig, Service,
};
use test_needs::Need;

use crate::clients::{connect, is_served, reset_when_dropped};
use crate::common::eventually;
use crate::servers::{address_of, config};

/// The modes in which placement decides; in hybrid mode it does so where the kernel's hash was too
/// skewed.
const PLACING: [AcceptMode; 3] =
    [AcceptMode::Acceptor, AcceptMode::AcceptorInShard0, AcceptMode::Hybrid];

/// The policies that promise equal shares for equal clients.
const EVEN: [Placement; 4] = [
    Placement::RoundRobin,
    Placement::LeastConnections,
    Placement::LeastLoaded,
    Placement::TwoChoices,
];

const CYCLES: usize = 10_000;
const CLIENTS: usize = 4;
/// Connections that one client has at a time.
const CROWD: usize = 25;

/// Sends the index of its shard, then echoes.
#[derive(Clone)]
struct WhichShard;

impl Service for WhichShard {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        let thread = thread::current();
        let shard = thread.name().and_then(|name| name.strip_prefix("worker-")?.parse().ok());
        connection.send(&[shard.unwrap_or(u8::MAX)]);
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        connection.send(input);
        input.len()
    }
}

/// The shard that serves a connection just made to [`WhichShard`].
fn shard_of(mut stream: &TcpStream) -> usize {
    let mut shard = [0];
    stream.read_exact(&mut shard).unwrap();
    shard[0].into()
}

/// Connects, is served, and closes, mostly by a reset, which leaves no port in TIME_WAIT.
fn cycle(address: SocketAddr) {
    for _ in 0..CYCLES / CLIENTS / CROWD {
        let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
        for (index, stream) in crowd.into_iter().enumerate() {
            assert!(is_served(&stream));
            match index {
                0 => stream.shutdown(Shutdown::Write).unwrap(),
                _ => reset_when_dropped(&stream),
            }
        }
    }
}

#[track_caller]
fn expect_none_left(server: &Server) -> ServerStats {
    let mut stats = server.stats();
    eventually("every count is back at zero", || {
        stats = server.stats();
        stats.shards.iter().all(|shard| shard.answered && (shard.open, shard.queued) == (0, 0))
    });
    stats
}

/// Enough that by chance alone each of two workers gets half within a few hundredths.
const HELD: usize = 1600;

fn counts_return_to_zero(mode: AcceptMode, placement: Placement) {
    // Clients are equal only for shards that are equally busy, and one that also accepts is busier.
    // Without timings, least-loaded takes all for equally busy.
    let measure = Measure { timings: false, ..Measure::default() };
    let config = ServerConfig { placement, measure, ..config(mode, 2) };
    let server = Server::start(&config, Echo).unwrap();
    let address = address_of(&server);
    thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(|| cycle(address)))));
    let stats = expect_none_left(&server);
    assert_eq!(stats.total().connections, CYCLES as u64);
    let jain = stats.balance().connections.jain;
    assert!(jain > 0.99, "{mode} {placement:?}: {jain} over all");

    // A wrong count would show in the placement of the next connections.
    let held: Vec<TcpStream> = (0..HELD).map(|_| connect(address)).collect();
    held.iter().for_each(|stream| assert!(is_served(stream)));
    let stats = server.stats();
    assert_eq!(stats.total().open, HELD as u64);
    let jain = stats.balance().open.jain;
    // A hybrid worker keeps an eighth more than the mean.
    let least = if mode == AcceptMode::Hybrid { 0.98 } else { 0.99 };
    assert!(jain > least, "{mode} {placement:?}: {jain} of those open");
    held.iter().for_each(reset_when_dropped);
    drop(held);
    expect_none_left(&server);
    server.drain().unwrap();
}

/// Seastar: a message decremented the count of a shard, late, and one shard got three times
/// the others' connections.
#[test]
fn a_late_decrement_skews_the_placement() {
    // Both ends of each held connection are in this process.
    if test_needs::missing(Need::Descriptors(2 * HELD as u64 + 1_000)) {
        return;
    }
    for mode in PLACING {
        for placement in EVEN {
            counts_return_to_zero(mode, placement);
        }
    }
}

/// Netty, gnet: connections were placed in turn. When clients closed unevenly, one loop had five
/// times the connections of the others.
#[test]
fn a_shard_that_lost_its_clients_gets_no_more_than_the_others() {
    for mode in [AcceptMode::Acceptor, AcceptMode::AcceptorInShard0] {
        for placement in [Placement::LeastConnections, Placement::TwoChoices] {
            let config = ServerConfig { placement, ..config(mode, 2) };
            let server = Server::start(&config, WhichShard).unwrap();
            let address = address_of(&server);
            let served = |count| (0..count).map(|_| connect(address)).map(|s| (shard_of(&s), s));
            let mut streams: Vec<_> = served(200).collect();
            streams.retain(|(shard, _)| *shard == 1);
            eventually("they are closed", || server.stats().shards[0].open == 0);
            let had = streams.len();
            streams.extend(served(had));
            let open: Vec<u64> = server.stats().shards.iter().map(|shard| shard.open).collect();
            assert_eq!(open[0].abs_diff(open[1]), 0, "{mode} {placement:?}: {open:?}");
        }
    }
}

/// h2o, ingress-nginx: by the kernel's hash, one worker served all connections that stayed open,
/// and no code checked.
#[test]
fn the_kernels_hash_fills_one_worker_while_others_have_nothing_to_do() {
    let server = Server::start(&config(AcceptMode::Hybrid, 4), WhichShard).unwrap();
    let address = address_of(&server);
    // Connections that the hash gives to the first worker stay open, all others close. Without
    // handover, that worker gets 50.
    let mut of_one: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let stream = connect(address);
        let shard = shard_of(&stream);
        reset_when_dropped(&stream);
        if shard == 0 {
            of_one.push(stream);
        }
    }
    assert!((1..10).contains(&of_one.len()), "{} are on one worker", of_one.len());
    of_one.iter().for_each(|stream| assert!(is_served(stream)));
}
