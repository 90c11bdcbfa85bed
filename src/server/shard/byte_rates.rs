//! How many bytes a second a connection, and all connections together, may receive and send.
//!
//! A connection asks how many bytes it may move now, and counts them afterwards. If it may move
//! none, it reads nothing, or sends nothing, until a timer ends. The kernel then slows the peer.
//! Without limits this does not exist.
//!
//! The buckets of all connections together are shared by the shards, behind a lock. One call moves
//! a small share of what they hold. A connection for which nothing is left takes a share of what
//! comes later, and waits until it has come. So connections are served in the order in which they
//! began to wait, whatever their shards, and not all of them wake at each tick.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::log_interval::LogInterval;
use crate::rate_limit::{Direction, RateLimit, TokenBucket};
use crate::server::config::ServerConfig;
use crate::sync::Mutex;
use crate::sys::clock::as_ns;

/// The tick of the buckets: short, so that the flow is even, and long enough for few wake-ups.
const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_SECOND: u64 = 10;

/// How many connections may share a tick of the buckets of all.
const SHARES_PER_TICK: u64 = 256;
/// The smallest share, unless a tick has less: a call for fewer bytes is not worth it.
const SHARE_BYTES_MIN: u64 = 512;

/// The buckets of one or of all connections: for reading, and for writing.
type Buckets = [TokenBucket; 2];

/// The buckets of all connections of a server.
#[derive(Debug)]
pub(in crate::server) struct TotalByteRate {
    started: Instant,
    buckets: Mutex<Buckets>,
    share: usize,
}

/// The byte rates of a shard's connections.
#[derive(Debug)]
pub(in crate::server) struct ByteRates {
    own: Option<RateLimit>,
    total: Option<Arc<TotalByteRate>>,
    /// The time base of all buckets.
    started: Instant,
    /// By key.
    connections: Vec<Option<Box<ConnectionRates>>>,
    pub(super) log: LogInterval,
}

#[derive(Debug)]
struct ConnectionRates {
    own: Option<Buckets>,
    /// By direction: what it waits for of the buckets of all.
    grants: [Option<Grant>; 2],
}

/// Bytes that were taken out of the buckets of all for one connection, before they were there.
#[derive(Clone, Copy, Debug)]
struct Grant {
    bytes: usize,
    /// When they are there.
    due_ns: u64,
}

/// A limit with an even flow and a burst of a second.
fn limit(bytes_per_second: u64) -> RateLimit {
    let (rate, burst) = (bytes_per_second / TICKS_PER_SECOND, bytes_per_second);
    let limit = RateLimit::new(rate, burst, rate, burst).and_then(|limit| limit.with_tick(TICK));
    limit.expect("the configuration checked the range")
}

fn buckets(limit: &RateLimit, now_ns: u64) -> Buckets {
    [Direction::Read, Direction::Write].map(|way| TokenBucket::new(limit, way, now_ns))
}

impl TotalByteRate {
    /// The limit of a server with this configuration, if it has one.
    pub(in crate::server) fn of(config: &ServerConfig) -> Option<Arc<Self>> {
        let limit = limit(config.bytes_per_second?.get());
        let rate = limit.read_rate();
        let share = (rate / SHARES_PER_TICK).max(SHARE_BYTES_MIN.min(rate));
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let (started, buckets) = (Instant::now(), Mutex::new(buckets(&limit, 0)));
        Some(Arc::new(Self { started, buckets, share }))
    }

    /// Takes a share of what comes, if there is nothing now.
    fn grant(&self, way: Direction, now_ns: u64) -> Option<Grant> {
        let bucket = &mut self.buckets.lock()[way as usize];
        if bucket.available() > 0 {
            return None;
        }
        bucket.take(self.share);
        let wait = bucket.wait_for(0, now_ns);
        Some(Grant { bytes: self.share, due_ns: now_ns.saturating_add(as_ns(wait)) })
    }
}

impl ByteRates {
    /// `None` if a server with this configuration has no limit.
    pub(in crate::server) fn of(
        config: &ServerConfig,
        total: Option<Arc<TotalByteRate>>,
    ) -> Option<Box<Self>> {
        let own = config.limits.bytes_per_second.map(|rate| limit(rate.get()));
        if own.is_none() && total.is_none() {
            return None;
        }
        let started = total.as_ref().map_or_else(Instant::now, |total| total.started);
        let (connections, log) = (Vec::new(), LogInterval::default());
        Some(Box::new(Self { own, total, started, connections, log }))
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, key: usize) {
        let now_ns = self.now_ns();
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        let own = self.own.map(|limit| buckets(&limit, now_ns));
        self.connections[key] = Some(Box::new(ConnectionRates { own, grants: [None; 2] }));
    }

    /// A connection is closed.
    pub(super) fn end(&mut self, key: usize) {
        for way in [Direction::Read, Direction::Write] {
            self.take_grant(key, way);
        }
        self.connections[key] = None;
    }

    /// How many bytes a connection may move now.
    pub(super) fn allowed(&mut self, key: usize, way: Direction) -> usize {
        let now_ns = self.now_ns();
        let own = self.own_bucket(key, way).map_or(usize::MAX, |bucket| {
            bucket.refill(now_ns);
            bucket.available()
        });
        if own == 0 {
            return 0;
        }
        let grant = self.connection(key).grants[way as usize];
        let total = match (grant, &self.total) {
            (_, None) => usize::MAX,
            (Some(grant), Some(_)) if now_ns < grant.due_ns => 0,
            (Some(_), Some(_)) => self.take_grant(key, way),
            (None, Some(total)) => {
                let bucket = &mut total.buckets.lock()[way as usize];
                bucket.refill(now_ns);
                bucket.available().min(total.share)
            }
        };
        own.min(total)
    }

    /// Counts bytes that a connection moved.
    pub(super) fn count(&mut self, key: usize, way: Direction, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some(bucket) = self.own_bucket(key, way) {
            bucket.take(bytes);
        }
        if let Some(total) = &self.total {
            total.buckets.lock()[way as usize].take(bytes);
        }
    }

    /// How long a connection waits that may move no bytes now.
    pub(super) fn wait(&mut self, key: usize, way: Direction) -> Duration {
        let now_ns = self.now_ns();
        let own = self.own_bucket(key, way).map_or(Duration::ZERO, |bucket| bucket.wait(now_ns));
        let granted = self.connection(key).grants[way as usize];
        let Some(grant) = granted.or_else(|| self.total.as_ref()?.grant(way, now_ns)) else {
            return own;
        };
        self.connection(key).grants[way as usize] = Some(grant);
        own.max(Duration::from_nanos(grant.due_ns.saturating_sub(now_ns)))
    }

    fn connection(&mut self, key: usize) -> &mut ConnectionRates {
        self.connections[key].as_mut().expect("the connection has begun")
    }

    fn own_bucket(&mut self, key: usize, way: Direction) -> Option<&mut TokenBucket> {
        self.connection(key).own.as_mut().map(|buckets| &mut buckets[way as usize])
    }

    /// Gives the bytes of a grant back to the buckets of all; returns how many. What is moved is
    /// counted afterwards.
    fn take_grant(&mut self, key: usize, way: Direction) -> usize {
        let grant = self.connection(key).grants[way as usize].take();
        let (Some(grant), Some(total)) = (grant, &self.total) else { return 0 };
        total.buckets.lock()[way as usize].give_back(grant.bytes);
        grant.bytes
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::num::NonZeroU64;

    use super::super::test_worker::{configured_worker, hand_over, one_sided_pair};
    use super::*;
    use crate::base::LoopFlags;
    use crate::server::memory::MemoryLimit;
    use crate::server::service::{Connection, Service};

    const READ: Direction = Direction::Read;

    fn rates(connection: Option<u64>, total: Option<u64>) -> Box<ByteRates> {
        let rate = |rate: Option<u64>| rate.map(|rate| NonZeroU64::new(rate).unwrap());
        let mut config = ServerConfig { bytes_per_second: rate(total), ..Default::default() };
        config.limits.bytes_per_second = rate(connection);
        ByteRates::of(&config, TotalByteRate::of(&config)).unwrap()
    }

    #[test]
    fn without_a_limit_there_is_no_state() {
        let config = ServerConfig::default();
        assert!(ByteRates::of(&config, TotalByteRate::of(&config)).is_none());
    }

    #[test]
    fn a_connection_may_move_its_rate_and_another_has_its_own() {
        let mut rates = rates(Some(100_000), None);
        (0..2).for_each(|key| rates.begin(key));
        let first = rates.allowed(0, READ);
        assert!(first >= 10_000, "{first}");
        rates.count(0, READ, first);
        let wait = rates.wait(0, READ);
        assert!(wait <= TICK, "{wait:?}");
        assert!(rates.allowed(0, Direction::Write) >= 10_000, "each direction has its own");
        assert!(rates.allowed(1, READ) >= 10_000);
        rates.count(0, READ, 50_000);
        assert_eq!(rates.allowed(0, READ), 0);
        // The next connection with the key of a closed one has full buckets.
        rates.end(0);
        rates.begin(0);
        assert!(rates.allowed(0, READ) >= 10_000);
    }

    #[test]
    fn connections_that_wait_for_the_buckets_of_all_wake_at_every_tick() {
        let mut rates = rates(None, Some(51_200));
        let bytes_of_a_day = 51_200 * 24 * 60 * 60;
        rates.total.as_ref().unwrap().buckets.lock()[0].take(bytes_of_a_day);
        (0..100).for_each(|key| rates.begin(key));
        let balance = |rates: &ByteRates| rates.total.as_ref().unwrap().buckets.lock()[0].balance();
        let before = balance(&rates);
        // Ten shares of 512 bytes in each tick.
        let waits: Vec<Duration> = (0..100).map(|key| rates.wait(key, READ)).collect();
        let ticks = waits[99] - waits[0];
        assert!((TICK * 8..=TICK * 10).contains(&ticks), "{ticks:?}");
        assert_eq!(balance(&rates), before - 100 * 512);
        (0..100).for_each(|key| assert_eq!(rates.allowed(key, READ), 0, "it is not its turn"));
        (0..100).for_each(|key| rates.end(key));
        assert!(balance(&rates) >= before, "what was not used is there for others");
    }

    #[test]
    fn the_connections_of_one_shard_took_what_came_for_those_of_another() {
        let bytes_per_second = NonZeroU64::new(51_200);
        let config = ServerConfig { bytes_per_second, ..Default::default() };
        let total = TotalByteRate::of(&config);
        let mut shards = [0, 1].map(|_| ByteRates::of(&config, total.clone()).unwrap());
        total.as_ref().unwrap().buckets.lock()[0].take(51_200 * 24 * 60 * 60);
        let mut due = Vec::new();
        for key in 0..50 {
            for rates in &mut shards {
                rates.begin(key);
                rates.wait(key, READ);
                due.push(rates.connection(key).grants[0].unwrap().due_ns);
            }
        }
        assert!(due.is_sorted(), "in the order in which they began to wait");
        let most = due.chunk_by(|one, next| next - one < as_ns(TICK) / 2).map(<[_]>::len).max();
        assert!(most <= Some(10), "{most:?} of them wait for the ten shares of a tick");
    }

    #[test]
    fn a_share_that_has_come_can_be_used_once() {
        let mut rates = rates(None, Some(51_200));
        rates.begin(0);
        rates.total.as_ref().unwrap().buckets.lock()[0].take(51_200);
        rates.wait(0, READ);
        rates.connection(0).grants[0].as_mut().unwrap().due_ns = 0;
        assert_eq!(rates.allowed(0, READ), 512);
        rates.count(0, READ, 512);
        assert_eq!(rates.allowed(0, READ), 0);
    }

    /// Sends twice what it receives, and receives on although that is not sent.
    #[derive(Clone)]
    struct Doubles;

    impl Service for Doubles {
        type Session = ();
        type Message = ();

        fn open(&mut self, connection: &mut Connection<'_, Self>) {
            connection.read_while_sending(true);
        }

        fn receive(
            &mut self,
            (): &mut (),
            input: &[u8],
            connection: &mut Connection<'_, Self>,
        ) -> usize {
            connection.send(&[input, input].concat());
            input.len()
        }
    }

    /// The peer reads nothing until it has written everything.
    #[test]
    fn a_connection_that_reads_while_it_sends_reads_on_after_it_waited_for_its_rate() {
        let (_client, socket) = one_sided_pair();
        let mut config = ServerConfig::default();
        config.limits.bytes_per_second = NonZeroU64::new(4_000);
        let memory = Arc::new(MemoryLimit::new(usize::MAX, Vec::new()));
        let (mut base, mut worker) = configured_worker(Doubles, memory, config);
        hand_over(&worker, socket);
        let deadline = Instant::now() + Duration::from_secs(60);
        while worker.shard.stats.bytes_in < 12_000 {
            assert!(Instant::now() < deadline, "it reads no more: {:?}", worker.shard.stats);
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        assert!(
            worker.shard.stats.writes_delayed > 0,
            "its rate was never reached: {:?}",
            worker.shard.stats
        );
    }
}
