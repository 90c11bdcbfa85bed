//! Exchanges that go well, however the bytes are cut.

use proptest::prelude::*;
use proptest::sample::select;

use super::bench::{Bench, PROTOCOLS, SIZES, VERIFY, traffic};
use crate::wire::{Protocol, SLICE_BYTES_MAX, Verify};

/// One action of one of two connections.
#[derive(Debug, Clone)]
enum Action {
    Send { new: usize, write_max: usize },
    Receive { read_max: usize },
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0_usize..6, 0_usize..600)
            .prop_map(|(new, write_max)| Action::Send { new, write_max }),
        6 => (1_usize..600).prop_map(|read_max| Action::Receive { read_max }),
        1 => Just(Action::Restart),
    ]
}

/// Drives two connections of the same run by these actions.
fn drive(protocol: Protocol, sizes: &str, verify: Verify, actions: &[(usize, Action)]) {
    let traffic = traffic(protocol, sizes, verify);
    let mut benches = [3, 70].map(|connection| Bench::new(&traffic, protocol, connection));
    for (which, action) in actions {
        let bench = &mut benches[*which];
        match action {
            Action::Send { new, write_max } => bench.send(*new, *write_max),
            Action::Receive { read_max } => {
                bench.receive(*read_max);
            }
            Action::Restart => bench.restart(),
        }
    }
    for bench in &mut benches {
        bench.send(1, usize::MAX);
        bench.receive(usize::MAX);
        assert_eq!((bench.outstanding, bench.replies.len()), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_protocol_agrees_with_the_naive_server(
        protocol in select(&PROTOCOLS),
        sizes in select(&SIZES),
        verify in select(&VERIFY),
        actions in prop::collection::vec((0_usize..2, action()), 1..50),
    ) {
        drive(protocol, sizes, verify, &actions);
    }
}

#[test]
fn a_pipelined_batch_is_one_write() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "16", Verify::Full);
        let mut bench = Bench::new(&traffic, protocol, 0);
        bench.send(32, usize::MAX);
        assert_eq!((bench.begun, bench.replies.len()), (32, 32), "{protocol}");
        assert_eq!(bench.receive(usize::MAX), 32, "{protocol}");
    }
}

#[test]
fn a_long_message_is_sent_and_read_in_slices_and_never_stored() {
    for protocol in [Protocol::Raw, Protocol::Len32, Protocol::RespEcho, Protocol::Memcached] {
        let traffic = traffic(protocol, "1MiB", Verify::Full);
        let mut bench = Bench::new(&traffic, protocol, 1);
        bench.send(2, usize::MAX);
        let mut writes = 1;
        while bench.exchange.is_mid_request() || bench.begun < 2 {
            bench.send(2 - bench.begun, usize::MAX);
            writes += 1;
        }
        assert!((16..=18).contains(&writes), "{protocol}: {writes}");
        // More at once than a slice holds, so that the check needs several.
        bench.receive(3 * SLICE_BYTES_MAX / 2 + 1);
        bench.receive(usize::MAX);
        assert_eq!(bench.outstanding, 0, "{protocol}");
    }
}

#[test]
fn a_request_begun_and_lost_is_not_sent_again() {
    let traffic = traffic(Protocol::Len32, "100", Verify::Full);
    let mut bench = Bench::new(&traffic, Protocol::Len32, 0);
    bench.send(1, 50);
    assert!(bench.exchange.is_mid_request());
    bench.restart();
    assert!(!bench.exchange.is_mid_request());
    bench.send(1, usize::MAX);
    assert_eq!((bench.begun, bench.receive(usize::MAX)), (2, 1));
}

#[test]
fn a_restart_before_the_first_request_changes_nothing() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "100", Verify::Full);
        let mut bench = Bench::new(&traffic, protocol, 0);
        bench.restart();
        bench.send(2, usize::MAX);
        assert_eq!(bench.receive(usize::MAX), 2, "{protocol}");
    }
}
