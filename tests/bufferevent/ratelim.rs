//! libevent's program `test-ratelim` on real sockets: clients that send more than passes, to an
//! echo server whose bufferevents have rate limits.
//!
//! The settings are those of libevent's CTest, in a time that runs faster: a second of theirs is
//! 0.3 seconds here, and a tick 30 ms in place of 100.

use std::time::{Duration, Instant};

use evshard::{
    BuffereventHandlers, BuffereventId, BuffereventOptions, Bufferevents, Config, EventBase,
    EventSpec, Fired, GroupId, HasBufferevents, Interest, RateLimit, Registry, Token,
};

use crate::app::tcp_pair;

const CONNECTIONS: usize = 30;
const TICK: Duration = Duration::from_millis(30);
const TICKS_PER_SECOND: u64 = 10;
/// Five of their seconds, but for half a tick: the first tick is there at once.
const RUN: Duration = Duration::from_millis(49 * 30 + 15);

/// What each client sends: more than a run lets pass.
const SENT: usize = 100_000;
/// A busy machine may lose ticks; libevent's tolerances hold in one of so many runs.
const RUNS_MAX: usize = 5;

/// Bytes per second of theirs.
#[derive(Default)]
struct Settings {
    connection_limit: Option<u64>,
    group_limit: Option<u64>,
    /// Bytes removed from the group by hand at each of its ticks.
    drain: i64,
}

#[derive(Default)]
struct Ratelim {
    table: Bufferevents<Self>,
    group: Option<GroupId>,
    drain: i64,
    /// Bytes that each client received.
    received: Vec<usize>,
    received_at: Option<Instant>,
}

impl HasBufferevents for Ratelim {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.table
    }
}

fn limit(bytes_per_second: u64) -> RateLimit {
    let rate = bytes_per_second / TICKS_PER_SECOND;
    RateLimit::new(rate, 4 * rate, rate, 4 * rate).unwrap().with_tick(TICK).unwrap()
}

fn echo(registry: &mut Registry<Ratelim>, cx: &mut Ratelim, id: BuffereventId) {
    let mut bufferevent = cx.table.get(registry, id).unwrap();
    let (input, output) = bufferevent.buffers();
    output.append_buffer(input);
}

fn count(registry: &mut Registry<Ratelim>, cx: &mut Ratelim, id: BuffereventId) {
    let mut client = cx.table.get(registry, id).unwrap();
    let number = client.token().0 as usize;
    let length = client.input().len();
    client.input().drain(length);
    cx.received[number] += length;
    cx.received_at = Some(Instant::now());
}

fn drain(registry: &mut Registry<Ratelim>, cx: &mut Ratelim, _: Fired) {
    let Some(mut group) = cx.group.and_then(|id| cx.table.group(registry, id)) else { return };
    group.decrement_limit(Interest::READ | Interest::WRITE, cx.drain);
}

/// Runs it; returns how many bytes each client received, per second of theirs.
fn run(settings: &Settings) -> Vec<f64> {
    let mut base = EventBase::new(Config::default()).unwrap();
    let mut cx = Ratelim { drain: settings.drain, ..Ratelim::default() };
    cx.received = vec![0; CONNECTIONS];
    let registry = base.registry();
    cx.group = settings.group_limit.map(|group| cx.table.add_group(registry, limit(group)));
    let mut sockets = Vec::new();
    for number in 0..CONNECTIONS {
        let (socket, peer) = tcp_pair();
        let options = BuffereventOptions::empty();
        let id = cx.table.socket(registry, socket, options).unwrap();
        let mut server = cx.table.get(registry, id).unwrap();
        let handlers = BuffereventHandlers { read: Some(echo), ..Default::default() };
        server.set_handlers(handlers);
        server.set_rate_limit(settings.connection_limit.map(limit)).unwrap();
        if let Some(group) = cx.group {
            server.join_group(group).unwrap();
        }
        server.enable(Interest::READ);
        drop(server);
        sockets.push((number, peer));
    }
    for (number, peer) in sockets {
        let id = cx.table.socket(registry, peer, BuffereventOptions::empty()).unwrap();
        let mut client = cx.table.get(registry, id).unwrap();
        client.set_token(Token(number as u64));
        client.set_handlers(BuffereventHandlers { read: Some(count), ..Default::default() });
        client.enable(Interest::READ);
        client.write(&[b'x'; SENT]);
    }
    if settings.drain > 0 {
        let timer = registry.create(EventSpec::timer().persist(), drain);
        registry.add(timer, Some(TICK)).unwrap();
    }
    let start = Instant::now();
    registry.loop_exit_after(RUN);
    base.run(&mut cx).unwrap();
    // On a busy machine the last ticks may come together with the end.
    let elapsed = cx.received_at.expect("each client receives bytes") - start;
    assert!(elapsed > RUN / 2, "nothing came after {elapsed:?}");
    let ticks = (elapsed.as_secs_f64() / TICK.as_secs_f64()).floor() + 1.0;
    let seconds = ticks / TICKS_PER_SECOND as f64;
    cx.received.iter().map(|bytes| *bytes as f64 / seconds).collect()
}

/// Runs settings under which the total is to be 30,000 bytes per second, and checks what each
/// client got.
fn expect_flow(settings: &Settings, deviation_max: f64) {
    let mut flows = Vec::new();
    for _ in 0..RUNS_MAX {
        let received = run(settings);
        let total: f64 = received.iter().sum();
        let mean = total / CONNECTIONS as f64;
        let squares: f64 = received.iter().map(|own| (own - mean).powi(2)).sum();
        let deviation = (squares / CONNECTIONS as f64).sqrt();
        assert!(total < 31_000.0, "the limit is exceeded: {total}");
        flows.push((total, deviation));
        if total > 29_000.0 && deviation < deviation_max {
            return;
        }
    }
    panic!("total and deviation of each run: {flows:?}");
}

/// `test-ratelim -g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-stddev 100`
#[test]
fn a_group_limit_is_kept_and_shared_equally() {
    expect_flow(&Settings { group_limit: Some(30_000), ..Default::default() }, 100.0);
}

/// `test-ratelim -c 1000 -n 30 -t 100 --check-connlimit 50 --check-stddev 50`
#[test]
fn a_connection_limit_is_kept() {
    expect_flow(&Settings { connection_limit: Some(1_000), ..Default::default() }, 50.0);
}

/// `test-ratelim -c 1000 -g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-connlimit 50
/// --check-stddev 50`
#[test]
fn a_group_limit_and_connection_limits_are_kept_together() {
    let (connection_limit, group_limit) = (Some(1_000), Some(30_000));
    expect_flow(&Settings { connection_limit, group_limit, ..Default::default() }, 50.0);
}

/// `test-ratelim -c 1000 -g 35000 -n 30 -t 100 -G 500 --check-grouplimit 1000 --check-connlimit 50
/// --check-stddev 50`
#[test]
fn what_is_drained_from_a_group_by_hand_counts_against_its_limit() {
    let (connection_limit, group_limit) = (Some(1_000), Some(35_000));
    expect_flow(&Settings { connection_limit, group_limit, drain: 500 }, 50.0);
}
