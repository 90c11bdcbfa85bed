//! Exchanges that go well, however the bytes are cut.

use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::{Fixture, PROTOCOLS, SIZES, VERIFY, traffic};
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
    let mut fixtures = [3, 70].map(|connection| Fixture::new(&traffic, protocol, connection));
    for (which, action) in actions {
        let fixture = &mut fixtures[*which];
        match action {
            Action::Send { new, write_max } => fixture.send(*new, *write_max),
            Action::Receive { read_max } => {
                fixture.receive(*read_max);
            }
            Action::Restart => fixture.restart(),
        }
    }
    for fixture in &mut fixtures {
        fixture.send(1, usize::MAX);
        fixture.receive(usize::MAX);
        assert_eq!((fixture.outstanding, fixture.replies.len()), (0, 0));
    }
}

proptest! {
    #![proptest_config(test_inputs::config(600))]

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
        let mut fixture = Fixture::new(&traffic, protocol, 0);
        fixture.send(32, usize::MAX);
        assert_eq!((fixture.begun, fixture.replies.len()), (32, 32), "{protocol}");
        assert_eq!(fixture.receive(usize::MAX), 32, "{protocol}");
    }
}

#[test]
fn a_long_message_is_sent_and_read_in_slices_and_never_stored() {
    for protocol in [
        Protocol::Raw,
        Protocol::Len32,
        Protocol::RespEcho,
        Protocol::Memcached,
        Protocol::WebSocket,
    ] {
        let traffic = traffic(protocol, "1MiB", Verify::Full);
        let mut fixture = Fixture::new(&traffic, protocol, 1);
        fixture.send(2, usize::MAX);
        let mut writes = 1;
        while fixture.exchange.is_mid_request() || fixture.begun < 2 {
            fixture.send(2 - fixture.begun, usize::MAX);
            writes += 1;
        }
        assert!((16..=18).contains(&writes), "{protocol}: {writes}");
        // More at once than a slice holds, so that the check needs several.
        fixture.receive(3 * SLICE_BYTES_MAX / 2 + 1);
        fixture.receive(usize::MAX);
        assert_eq!(fixture.outstanding, 0, "{protocol}");
    }
}

#[test]
fn a_request_begun_and_lost_is_not_sent_again() {
    let traffic = traffic(Protocol::Len32, "100", Verify::Full);
    let mut fixture = Fixture::new(&traffic, Protocol::Len32, 0);
    fixture.send(1, 50);
    assert!(fixture.exchange.is_mid_request());
    fixture.restart();
    assert!(!fixture.exchange.is_mid_request());
    fixture.send(1, usize::MAX);
    assert_eq!((fixture.begun, fixture.receive(usize::MAX)), (2, 1));
}

#[test]
fn a_restart_before_the_first_request_changes_nothing() {
    for protocol in PROTOCOLS {
        let traffic = traffic(protocol, "100", Verify::Full);
        let mut fixture = Fixture::new(&traffic, protocol, 0);
        fixture.restart();
        fixture.send(2, usize::MAX);
        assert_eq!(fixture.receive(usize::MAX), 2, "{protocol}");
    }
}
