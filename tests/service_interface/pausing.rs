//! Connections that are paused, and whose peers go meanwhile.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::clients::{ask, config, connect, in_every_mode, receive};
use super::common::{MS, eventually, read_to_end, usable_backends};
use super::probe::{Does, Probed};
use evshard::BackendKind;
use evshard::server::{Answer, CloseReason, SendError, ServerConfig};

fn reset(client: TcpStream) {
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
}

fn on_backend(kind: BackendKind) -> ServerConfig {
    let config = config(1);
    ServerConfig { base: config.base.backend(kind), ..config }
}

/// The backends that report the close of a peer whose bytes are not read.
fn that_report_closes() -> impl Iterator<Item = BackendKind> {
    usable_backends().filter(|kind| *kind != BackendKind::Select)
}

#[test]
fn a_peer_that_resets_a_paused_connection_closes_it_at_once() {
    for config in in_every_mode(2).chain(that_report_closes().map(on_backend)) {
        let probed = Probed::start(&config, Does::default());
        for leaves_bytes in [false, true] {
            let mut client = connect(&probed.server);
            let id = probed.opened().id();
            probed.on_shard(id.shard(), move |shard| shard.pause(id));
            if leaves_bytes {
                client.write_all(b"not read").unwrap();
            }
            reset(client);
            assert_eq!(probed.closed(), (id, CloseReason::Broken, 0));
        }
        probed.expect_nothing_left();
    }
}

#[test]
fn a_peer_that_resets_a_connection_whose_answer_is_due_closes_it_at_once() {
    for config in in_every_mode(2).chain(that_report_closes().map(on_backend)) {
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let due = answers.clone();
        let does = Does {
            receive: Box::new(move |_, connection| {
                due.lock().unwrap().push(connection.answer_later());
                connection.pause_until_answered();
                1
            }),
            ..Does::default()
        };
        let probed = Probed::start(&config, does);
        let mut client = connect(&probed.server);
        client.write_all(b"xy").unwrap();
        eventually("the request is taken", || answers.lock().unwrap().len() == 1);
        reset(client);
        assert_eq!(probed.closed().1, CloseReason::Broken);
        assert_eq!(answers.lock().unwrap()[0].send(b"x"), Err(SendError::Closed));
        probed.expect_nothing_left();
    }
}

/// The kernel reports the end of the stream as long as it is not read.
#[test]
fn a_peer_that_ends_its_stream_leaves_a_paused_connection_open_and_its_shard_asleep() {
    for kind in usable_backends() {
        let probed = Probed::start(&on_backend(kind), Does::default());
        let mut client = connect(&probed.server);
        let id = probed.opened().id();
        for _ in 0..3 {
            probed.on_shard(0, move |shard| shard.pause(id));
            client.write_all(b"later").unwrap();
            probed.on_shard(0, move |shard| shard.read(id));
            assert_eq!(receive(&mut client, 5), b"later");
        }
        probed.on_shard(0, move |shard| shard.pause(id));
        client.write_all(b"the last").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        // Long enough for thousands of waits.
        thread::sleep(100 * MS);
        let before = probed.server.stats().total().waits;
        thread::sleep(100 * MS);
        let waits = probed.server.stats().total().waits - before;
        assert!(waits < 20, "{kind:?}: {waits} waits");
        probed.on_shard(0, move |shard| shard.send(id, b"meanwhile").unwrap());
        assert_eq!(receive(&mut client, 9), b"meanwhile");
        probed.on_shard(0, move |shard| {
            shard.read(id);
            shard.pause(id);
            shard.read(id);
        });
        assert_eq!(read_to_end(client).unwrap(), b"the last");
        assert_eq!(probed.closed(), (id, CloseReason::Closed, 0));
        probed.expect_nothing_left();
    }
}

#[test]
fn with_select_the_reset_of_a_paused_connection_is_noticed_by_the_next_send() {
    let probed = Probed::start(&on_backend(BackendKind::Select), Does::default());
    let client = connect(&probed.server);
    let id = probed.opened().id();
    probed.on_shard(0, move |shard| shard.pause(id));
    reset(client);
    thread::sleep(50 * MS);
    // It is collected, and written after the callback.
    assert_eq!(probed.on_shard(0, move |shard| shard.send(id, b"x")), Ok(()));
    assert_eq!(probed.closed(), (id, CloseReason::Broken, 0));
    probed.expect_nothing_left();
}

/// To wait for the close instead of the bytes is one change, as to wait for nothing.
#[test]
fn a_pause_and_its_end_are_one_change_of_interest_each() {
    const PAUSES: u64 = 20;
    let probed = Probed::start(&config(1), Does::default());
    let mut client = connect(&probed.server);
    let id = probed.opened().id();
    assert_eq!(ask(&mut client, b"x"), b"x");
    let changes = || probed.server.stats().total().changes;
    let before = changes();
    for pause in 0..PAUSES {
        // Each in a turn of its own: two in one turn change nothing.
        probed.on_shard(0, move |shard| shard.pause(id));
        eventually("the change is made", || changes() > before + 2 * pause);
        probed.on_shard(0, move |shard| shard.read(id));
        eventually("the change is made", || changes() > before + 2 * pause + 1);
    }
    assert_eq!(changes() - before, 2 * PAUSES);
}
