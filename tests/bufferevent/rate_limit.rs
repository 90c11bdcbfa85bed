//! Rate limits of bufferevents and of their groups.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use evshard::{
    BuffereventError, BuffereventHandlers, BuffereventId, BuffereventOptions, GroupTotals,
    Interest, RateLimit,
};

use crate::app::{App, Bench, Seen, bench, logging, on_each_backend, tcp_pair, waits_in};

const BOTH: Interest = Interest::READ.union(Interest::WRITE);
const HOUR: Duration = Duration::from_secs(3600);

/// So many bytes per tick in each direction, and no more after a pause.
fn limit(bytes: u64, tick: Duration) -> RateLimit {
    RateLimit::bytes_per_second(bytes).unwrap().with_tick(tick).unwrap()
}

/// A bufferevent that reads and logs, and its peer, which does not block.
fn connected(bench: &mut Bench) -> (BuffereventId, TcpStream) {
    let (socket, peer) = tcp_pair();
    peer.set_nonblocking(true).unwrap();
    let options = BuffereventOptions::empty();
    let id = bench.app.table.socket(bench.base.registry(), socket, options).unwrap();
    let mut bufferevent = bench.get(id);
    bufferevent.set_handlers(logging());
    bufferevent.enable(Interest::READ);
    (id, peer)
}

/// Runs until the bufferevent has so much input.
fn run_until_input(bench: &mut Bench, id: BuffereventId, length: usize) {
    bench.run_until("input", |bench| bench.get(id).input().len() >= length);
}

/// Runs until the peer got so many bytes.
fn run_until_received(bench: &mut Bench, peer: &mut TcpStream, length: usize) {
    let mut received = 0;
    bench.run_until("output", |_| {
        received += peer.read(&mut [0; 4096]).unwrap_or(0);
        received >= length
    });
}

/// The balances of its own limit: read, write.
fn balances(bench: &mut Bench, id: BuffereventId) -> (Option<i64>, Option<i64>) {
    let mut bufferevent = bench.get(id);
    (bufferevent.read_limit(), bufferevent.write_limit())
}

#[test]
fn each_direction_moves_its_rate_per_tick() {
    const TICK: Duration = Duration::from_millis(10);
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        let start = Instant::now();
        bench.get(id).set_rate_limit(Some(limit(100, TICK))).unwrap();
        bench.get(id).write(&[1; 450]);
        peer.write_all(&[2; 450]).unwrap();
        run_until_received(bench, &mut peer, 450);
        run_until_input(bench, id, 450);
        let elapsed = start.elapsed();
        assert!(elapsed >= 4 * TICK, "{elapsed:?} for five ticks' bytes");
    });
}

#[test]
fn without_bytes_left_nothing_moves_and_nothing_spins() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_rate_limit(Some(limit(10, HOUR))).unwrap();
        assert_eq!(bench.get(id).max_to_read(), 10);
        assert_eq!(bench.get(id).max_to_write(), 10);
        bench.get(id).write(&[1; 25]);
        peer.write_all(&[2; 25]).unwrap();
        run_until_received(bench, &mut peer, 10);
        run_until_input(bench, id, 10);
        let waits = waits_in(bench, Duration::from_millis(20));
        assert!(waits < 5, "{waits} waits in a moment");
        assert_eq!(bench.get(id).input().len(), 10);
        assert_eq!(bench.get(id).output().len(), 15);
        assert_eq!(balances(bench, id), (Some(0), Some(0)));
        assert_eq!(bench.get(id).max_to_read(), 0);
    });
}

#[test]
fn a_limit_that_is_removed_or_raised_resumes_at_once() {
    on_each_backend(|bench| {
        for raised in [None, Some(limit(1_000, Duration::from_millis(1)))] {
            let (id, mut peer) = connected(bench);
            bench.get(id).set_rate_limit(Some(limit(10, HOUR))).unwrap();
            bench.get(id).write(&[1; 25]);
            peer.write_all(&[2; 25]).unwrap();
            run_until_input(bench, id, 10);
            bench.turn();
            bench.get(id).set_rate_limit(raised).unwrap();
            assert_eq!(bench.get(id).rate_limit(), raised);
            run_until_input(bench, id, 25);
            run_until_received(bench, &mut peer, 25);
        }
    });
}

#[test]
fn a_read_handler_may_remove_the_limit_that_suspends_its_bufferevent() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        let read = |registry: &mut _, app: &mut App, id| {
            app.seen.push(Seen::Read(id));
            let mut bufferevent = app.table.get(registry, id).unwrap();
            bufferevent.set_rate_limit(None).unwrap();
        };
        bench.get(id).set_handlers(BuffereventHandlers { read: Some(read), ..logging() });
        bench.get(id).set_rate_limit(Some(limit(10, HOUR))).unwrap();
        peer.write_all(&[2; 25]).unwrap();
        run_until_input(bench, id, 25);
    });
}

#[test]
fn tokens_can_be_removed_and_added_by_hand() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).decrement_limit(BOTH, 5);
        assert_eq!(bench.get(id).read_limit(), None, "there is no limit");
        bench.get(id).set_rate_limit(Some(limit(10, HOUR))).unwrap();
        bench.get(id).decrement_limit(Interest::READ, 12);
        assert_eq!(balances(bench, id), (Some(-2), Some(10)));
        peer.write_all(&[2; 25]).unwrap();
        for _ in 0..3 {
            bench.turn();
        }
        assert_eq!(bench.get(id).input().len(), 0);
        bench.get(id).decrement_limit(Interest::READ, -9);
        run_until_input(bench, id, 7);
        bench.turn();
        assert_eq!(bench.get(id).input().len(), 7);
        assert_eq!(bench.get(id).read_limit(), Some(0));
    });
}

#[test]
fn a_timeout_does_not_run_while_a_limit_suspends_its_direction() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_timeouts(Some(Duration::from_millis(5)), None);
        bench.get(id).set_rate_limit(Some(limit(10, HOUR))).unwrap();
        peer.write_all(&[2; 25]).unwrap();
        run_until_input(bench, id, 10);
        bench.app.seen.clear();
        waits_in(bench, Duration::from_millis(15));
        assert_eq!(bench.app.seen, []);
    });
}

#[test]
fn members_of_a_group_share_its_limit() {
    on_each_backend(|bench| {
        let group = bench.app.table.add_group(bench.base.registry(), limit(1_000, HOUR));
        let mut members: Vec<_> = (0..4).map(|_| connected(bench)).collect();
        for (id, peer) in &mut members {
            bench.get(*id).join_group(group).unwrap();
            assert_eq!(bench.get(*id).group(), Some(group));
            peer.write_all(&[1; 1_000]).unwrap();
        }
        assert_eq!(bench.get(members[0].0).max_to_read(), 250);
        let total = |bench: &mut Bench| {
            let app = &mut bench.app;
            app.table.group(bench.base.registry(), group).unwrap().totals()
        };
        bench.run_until("the whole limit", |bench| total(bench).read >= 1_000);
        let waits = waits_in(bench, Duration::from_millis(20));
        assert!(waits < 5, "{waits} waits in a moment");
        // The least share of 64 bytes may exceed it by a part of itself.
        assert!((1_000..1_064).contains(&total(bench).read), "{:?}", total(bench));
        for (id, _) in &members {
            let length = bench.get(*id).input().len();
            assert!(length >= 150, "{length}: within one tick shares are nearly equal");
        }
        let mut access = bench.app.table.group(bench.base.registry(), group).unwrap();
        assert_eq!(access.members(), 4);
        assert!(access.read_limit() <= 0);
        assert_eq!(access.write_limit(), 1_000);
        access.reset_totals();
        assert_eq!(access.totals(), GroupTotals::default());
    });
}

/// Two members whose group has no bytes left, while both still have some to read.
fn exhausted(bench: &mut Bench, tick: Duration) -> (evshard::GroupId, Vec<BuffereventId>) {
    let group = bench.app.table.add_group(bench.base.registry(), limit(100, tick));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (id, mut peer) = connected(bench);
        peer.write_all(&[1; 500]).unwrap();
        bench.get(id).join_group(group).unwrap();
        ids.push(id);
        bench.app.peers.push(peer);
    }
    bench.run_until("all spent", |bench| {
        let app = &mut bench.app;
        app.table.group(bench.base.registry(), group).unwrap().read_limit() <= 0
    });
    bench.turn();
    (group, ids)
}

#[test]
fn suspended_members_go_on_at_the_next_tick() {
    on_each_backend(|bench| {
        let (_, ids) = exhausted(bench, Duration::from_millis(5));
        for id in ids {
            run_until_input(bench, id, 500);
        }
    });
}

#[test]
fn suspended_members_go_on_when_their_group_ends_or_allows_more_or_when_they_leave_it() {
    on_each_backend(|bench| {
        for cause in 0..4 {
            let (group, ids) = exhausted(bench, HOUR);
            let registry = bench.base.registry();
            match cause {
                0 => bench.app.table.remove_group(registry, group),
                1 => {
                    let mut access = bench.app.table.group(registry, group).unwrap();
                    access.set_limit(limit(1_000, Duration::from_millis(1)));
                }
                2 => {
                    let mut access = bench.app.table.group(registry, group).unwrap();
                    access.decrement_limit(BOTH, -10_000);
                }
                _ => ids.iter().for_each(|id| bench.get(*id).leave_group()),
            }
            for id in &ids {
                run_until_input(bench, *id, 500);
            }
            let is_gone = bench.app.table.group(bench.base.registry(), group).is_none();
            assert_eq!(is_gone, cause == 0);
            if is_gone {
                assert_eq!(bench.get(ids[0]).group(), None);
                let error = bench.get(ids[0]).join_group(group).unwrap_err();
                assert!(matches!(error, BuffereventError::StaleGroup(stale) if stale == group));
            }
        }
    });
}

#[test]
fn members_that_are_freed_while_they_are_suspended_leave_nothing_behind() {
    on_each_backend(|bench| {
        bench.turn();
        let (group, ids) = exhausted(bench, Duration::from_millis(5));
        bench.get(ids[0]).set_rate_limit(Some(limit(1, HOUR))).unwrap();
        bench.get(ids[0]).decrement_limit(BOTH, 1);
        bench.app.table.free(bench.base.registry(), ids[0]);
        run_until_input(bench, ids[1], 500);
        let access = bench.app.table.group(bench.base.registry(), group).unwrap();
        assert_eq!(access.members(), 1);
        bench.app.table.free(bench.base.registry(), ids[1]);
        bench.app.table.remove_group(bench.base.registry(), group);
        bench.app.table.remove_group(bench.base.registry(), group);
        bench.turn();
        assert_eq!(bench.base.registry().counts().added, 0, "nothing is pending");
    });
}

#[test]
fn a_pair_has_no_rate_limit_and_says_so() {
    let mut bench = bench();
    let options = BuffereventOptions::empty();
    let (id, _) = bench.app.table.pair(bench.base.registry(), options);
    let group = bench.app.table.add_group(bench.base.registry(), limit(1, HOUR));
    let error = bench.get(id).set_rate_limit(Some(limit(1, HOUR))).unwrap_err();
    assert!(error.to_string().contains("use the socket bufferevent below it"), "{error}");
    assert!(bench.get(id).join_group(group).is_err());
}
