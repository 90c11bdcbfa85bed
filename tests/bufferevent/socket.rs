//! Bufferevents on sockets.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use evshard::{BuffereventHandlers, BuffereventId, BuffereventOptions, Interest, Watermarks, What};

use crate::app::{App, Bench, Seen, bench, echo, logging, on_each_backend, tcp_pair};

const SHORT: Duration = Duration::from_millis(5);

/// A bufferevent on a socket that logs, and the peer of the socket.
fn connected(bench: &mut Bench) -> (BuffereventId, std::net::TcpStream) {
    let (socket, peer) = tcp_pair();
    let options = BuffereventOptions::empty();
    let id = bench.app.table.socket(bench.base.registry(), socket, options).unwrap();
    bench.get(id).set_handlers(logging());
    (id, peer)
}

#[test]
fn a_new_one_writes_and_does_not_read() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        assert_eq!(bench.get(id).enabled(), Interest::WRITE);
        peer.write_all(b"unread").unwrap();
        bench.get(id).write(b"hello");
        bench.run_until_seen(Seen::Write(id));
        let mut hello = [0; 5];
        peer.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        assert_eq!(bench.app.seen, [Seen::Write(id)]);
        bench.get(id).enable(Interest::READ);
        bench.run_until_seen(Seen::Read(id));
        let mut input = [0; 10];
        assert_eq!(bench.get(id).read(&mut input), 6);
    });
}

/// Echoes through stalls of both sides, until all bytes have come back.
#[test]
fn every_byte_comes_back_in_order() {
    on_each_backend(|bench| {
        let (socket, mut peer) = tcp_pair();
        let table = &mut bench.app.table;
        let id = table.socket(bench.base.registry(), socket, BuffereventOptions::empty()).unwrap();
        let handlers = BuffereventHandlers { read: Some(echo), ..logging() };
        bench.get(id).set_handlers(handlers);
        bench.get(id).enable(Interest::READ);
        // More than both sockets' buffers hold.
        let sent: Vec<u8> = (0..4_000_000_u32).map(|i| (i / 3) as u8).collect();
        let expected = sent.clone();
        let mut writer = peer.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let reading = std::thread::spawn(move || {
            let mut back = vec![0; expected.len()];
            peer.read_exact(&mut back).unwrap();
            assert!(back == expected, "the bytes differ");
        });
        bench.run_until_seen(Seen::Event(id, What::EOF | What::READING));
        bench.run_until("end of the echo", |_| reading.is_finished());
        writing.join().unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn bytes_that_come_one_by_one_are_echoed() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_handlers(BuffereventHandlers { read: Some(echo), ..logging() });
        bench.get(id).set_max_single(1, 1);
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"one by one").unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut back = Vec::new();
        bench.run_until("echo", |_| {
            let mut byte = [0; 16];
            let n = peer.read(&mut byte).unwrap_or(0);
            back.extend_from_slice(&byte[..n]);
            back.len() == 10
        });
        assert_eq!(back, b"one by one");
    });
}

#[test]
fn the_end_of_the_stream_ends_reading_and_leaves_the_input() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"last words").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        bench.run_until_seen(Seen::Event(id, What::EOF | What::READING));
        assert_eq!(bench.get(id).enabled(), Interest::WRITE);
        assert_eq!(bench.get(id).input().len(), 10);
        // The other direction still works.
        bench.get(id).write(b"answer");
        bench.get(id).end_write().unwrap();
        bench.run_until_seen(Seen::Write(id));
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    });
}

#[test]
fn a_reset_is_an_error_with_its_reason() {
    on_each_backend(|bench| {
        let (id, peer) = connected(bench);
        bench.get(id).enable(Interest::READ);
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        bench.run_until_seen(Seen::Event(id, What::ERROR | What::READING));
        let error = bench.get(id).take_error().expect("a reset has a reason");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(bench.get(id).take_error().is_none());
    });
}

#[test]
fn the_low_watermark_holds_the_read_handler_back() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_watermarks(Interest::READ, Watermarks { low: 4, high: 0 });
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"abc").unwrap();
        bench.run_until("input", |bench| bench.get(id).input().len() == 3);
        assert_eq!(bench.app.seen, []);
        peer.write_all(b"d").unwrap();
        bench.run_until_seen(Seen::Read(id));
        assert_eq!(bench.get(id).input().len(), 4);
    });
}

#[test]
fn at_the_high_watermark_nothing_is_read_until_input_is_removed() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_watermarks(Interest::READ, Watermarks { low: 0, high: 10 });
        bench.get(id).enable(Interest::READ);
        peer.write_all(&[7; 25]).unwrap();
        bench.run_until_seen(Seen::Read(id));
        for _ in 0..5 {
            bench.turn();
            assert_eq!(bench.get(id).input().len(), 10);
        }
        bench.get(id).input().drain(4);
        bench.run_until("more input", |bench| bench.get(id).input().len() == 10);
        bench.get(id).input().drain(10);
        bench.run_until("the rest", |bench| bench.get(id).input().len() == 10);
        bench.get(id).input().drain(10);
        bench.run_until("the last byte", |bench| bench.get(id).input().len() == 1);
    });
}

#[test]
fn the_write_handler_waits_for_its_low_watermark() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).set_watermarks(Interest::WRITE, Watermarks { low: 1000, high: 0 });
        let much = vec![1; 8_000_000];
        bench.get(id).write(&much);
        for _ in 0..3 {
            bench.turn();
        }
        assert!(bench.get(id).output().len() > 1000, "the peer reads nothing");
        assert_eq!(bench.app.seen, []);
        let reading = std::thread::spawn(move || peer.read_exact(&mut vec![0; 8_000_000]).unwrap());
        bench.run_until_seen(Seen::Write(id));
        bench.run_until("all sent", |bench| bench.get(id).output().is_empty());
        reading.join().unwrap();
    });
}

#[test]
fn each_direction_has_a_timeout_that_disables_it() {
    on_each_backend(|bench| {
        let (id, _peer) = connected(bench);
        bench.get(id).set_timeouts(Some(SHORT), Some(SHORT));
        bench.get(id).enable(Interest::READ);
        bench.run_until_seen(Seen::Event(id, What::TIMEOUT | What::READING));
        assert_eq!(bench.get(id).enabled(), Interest::WRITE);
        bench.get(id).write(&vec![1; 8_000_000]);
        bench.run_until_seen(Seen::Event(id, What::TIMEOUT | What::WRITING));
        assert!(bench.get(id).enabled().is_empty());
        assert!(!bench.get(id).output().is_empty(), "unsent output stays");
    });
}

#[test]
fn a_write_timeout_does_not_run_without_output() {
    let mut bench = bench();
    let (id, _peer) = connected(&mut bench);
    bench.get(id).set_timeouts(None, Some(SHORT));
    bench.turn();
    assert!(bench.base.registry().counts().added == 0, "nothing is pending");
}

#[test]
fn a_timeout_that_is_set_later_runs_at_once_and_one_that_is_removed_does_not() {
    on_each_backend(|bench| {
        let (id, _peer) = connected(bench);
        bench.get(id).enable(Interest::READ);
        bench.turn();
        bench.get(id).set_timeouts(Some(Duration::from_secs(3600)), None);
        bench.get(id).set_timeouts(Some(SHORT), None);
        bench.run_until_seen(Seen::Event(id, What::TIMEOUT | What::READING));
        bench.app.seen.clear();
        bench.get(id).set_timeouts(None, None);
        bench.get(id).enable(Interest::READ);
        std::thread::sleep(2 * SHORT);
        bench.turn();
        assert_eq!(bench.app.seen, []);
    });
}

#[test]
fn a_bufferevent_may_be_freed_from_each_of_its_handlers() {
    fn free(registry: &mut evshard::Registry<App>, app: &mut App, id: BuffereventId) {
        app.seen.push(Seen::Read(id));
        app.table.free(registry, id);
    }
    on_each_backend(|bench| {
        let handlers = BuffereventHandlers {
            read: Some(free),
            write: Some(free),
            event: Some(|registry, app, id, _| free(registry, app, id)),
        };
        for cause in 0..3 {
            let (id, mut peer) = connected(bench);
            bench.get(id).set_handlers(handlers);
            bench.get(id).enable(Interest::READ);
            match cause {
                0 => peer.write_all(b"input").unwrap(),
                1 => bench.get(id).write(b"output"),
                _ => peer.shutdown(Shutdown::Write).unwrap(),
            }
            bench.run_until_seen(Seen::Read(id));
            assert!(!bench.app.table.contains(id));
            assert!(bench.app.table.get(bench.base.registry(), id).is_none());
            bench.app.table.free(bench.base.registry(), id);
            let mut all = Vec::new();
            // Unread input makes the close a reset.
            let _ = peer.read_to_end(&mut all);
            bench.turn();
        }
        assert_eq!(bench.app.seen.len(), 3, "each was called once");
        assert!(bench.app.table.is_empty());
    });
}

/// The handler of one frees another whose handlers are due in the same turn.
#[test]
fn a_bufferevent_that_another_freed_is_not_called() {
    on_each_backend(|bench| {
        let ids: Vec<_> = (0..2).map(|_| connected(bench)).collect();
        for (id, peer) in &ids {
            let mut peer = peer;
            peer.write_all(b"go").unwrap();
            bench.get(*id).enable(Interest::READ);
            let read = |registry: &mut _, app: &mut App, id| {
                app.seen.push(Seen::Read(id));
                let other = app.others[usize::from(app.others[0] == id)];
                app.table.free(registry, other);
            };
            bench.get(*id).set_handlers(BuffereventHandlers { read: Some(read), ..logging() });
        }
        bench.app.others = ids.iter().map(|(id, _)| *id).collect();
        bench.run_until("a call", |bench| !bench.app.seen.is_empty());
        for _ in 0..3 {
            bench.turn();
        }
        assert_eq!(bench.app.seen.len(), 1, "{:?}", bench.app.seen);
    });
}

#[test]
fn an_id_of_a_freed_one_never_reaches_its_successor() {
    let mut bench = bench();
    let (id, _peer) = connected(&mut bench);
    bench.app.table.free(bench.base.registry(), id);
    let (successor, _peer) = connected(&mut bench);
    assert_ne!(id, successor);
    assert!(bench.app.table.get(bench.base.registry(), id).is_none());
}

#[test]
fn a_trigger_respects_watermarks_unless_it_ignores_them() {
    on_each_backend(|bench| {
        let (id, _peer) = connected(bench);
        bench.get(id).set_watermarks(Interest::READ, Watermarks { low: 1, high: 0 });
        bench.get(id).trigger(Interest::READ);
        bench.turn();
        assert_eq!(bench.app.seen, []);
        bench.get(id).trigger_always(Interest::READ | Interest::WRITE);
        bench.get(id).trigger_event(What::TIMEOUT);
        bench.turn();
        let expected = [Seen::Read(id), Seen::Write(id), Seen::Event(id, What::TIMEOUT)];
        assert_eq!(bench.app.seen, expected);
    });
}

#[test]
fn deferred_handlers_are_called_by_an_event_of_their_own() {
    on_each_backend(|bench| {
        let (socket, mut peer) = tcp_pair();
        let options = BuffereventOptions::DEFER_CALLBACKS;
        let id = bench.app.table.socket(bench.base.registry(), socket, options).unwrap();
        bench.get(id).set_handlers(logging());
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"input").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        bench.run_until_seen(Seen::Event(id, What::EOF | What::READING));
        assert_eq!(bench.app.seen[0], Seen::Read(id));
        bench.app.seen.clear();
        bench.get(id).trigger_always(Interest::READ);
        bench.app.table.free(bench.base.registry(), id);
        bench.turn();
        assert_eq!(bench.app.seen, [], "a freed one is not called");
    });
}

#[test]
fn a_socket_can_be_taken_out_and_put_in() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        bench.get(id).write(b"before");
        bench.run_until_seen(Seen::Write(id));
        let fd = bench.get(id).take_socket().unwrap().unwrap();
        assert_eq!(bench.get(id).fd(), None);
        bench.get(id).write(b"kept");
        bench.turn();
        assert_eq!(bench.get(id).output().len(), 4);
        let (other, mut other_peer) = UnixStream::pair().unwrap();
        assert!(bench.get(id).replace_socket(other).unwrap().is_none());
        bench.get(id).end_write().unwrap();
        bench.run_until("output", |bench| bench.get(id).output().is_empty());
        let mut kept = String::new();
        bench.turn();
        other_peer.read_to_string(&mut kept).unwrap();
        assert_eq!(kept, "kept");
        drop(fd);
        let mut before = String::new();
        peer.read_to_string(&mut before).unwrap();
        assert_eq!(before, "before");
    });
}

#[test]
fn handlers_that_cause_each_other_leave_the_loop_to_others() {
    on_each_backend(|bench| {
        let (id, peer) = connected(bench);
        // A source without end to a reader that is always faster.
        let endless = |registry: &mut _, app: &mut App, id| {
            app.seen.push(Seen::Write(id));
            app.table.get(registry, id).unwrap().write(b"more");
        };
        bench.get(id).set_handlers(BuffereventHandlers { write: Some(endless), ..logging() });
        bench.get(id).write(b"start");
        bench.pass();
        bench.pass();
        let calls = bench.app.seen.len();
        assert!((1..2000).contains(&calls), "{calls} calls in two passes");
        bench.app.table.free(bench.base.registry(), id);
        drop(peer);
    });
}

#[test]
fn one_that_is_freed_when_sent_sends_everything_first() {
    on_each_backend(|bench| {
        let (id, mut peer) = connected(bench);
        let much = vec![3; 6_000_000];
        bench.get(id).write(&much);
        bench.get(id).free_when_sent();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        bench.run_until("its end", |bench| !bench.app.table.contains(id));
        assert!(reading.join().unwrap().unwrap() == much, "the bytes differ");
        assert_eq!(bench.app.seen, []);
    });
}

#[test]
fn one_that_is_freed_when_sent_ends_if_its_peer_is_gone() {
    on_each_backend(|bench| {
        let (id, peer) = connected(bench);
        bench.get(id).write(&vec![3; 6_000_000]);
        bench.get(id).free_when_sent();
        bench.turn();
        assert!(bench.app.table.contains(id));
        drop(peer);
        bench.run_until("its end", |bench| !bench.app.table.contains(id));
    });
}

/// It kept its slot and its output for ever.
#[test]
fn one_that_is_freed_when_sent_ends_if_nothing_will_take_its_output() {
    on_each_backend(|bench| {
        let id = bench.app.table.unconnected(bench.base.registry(), BuffereventOptions::empty());
        bench.get(id).write(b"to no one");
        bench.get(id).free_when_sent();
        bench.run_until("the end of one without a socket", |bench| bench.app.table.is_empty());

        let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let id = bench.app.table.unconnected(bench.base.registry(), BuffereventOptions::empty());
        bench.get(id).write(b"to no one");
        bench.get(id).connect(refused, None).unwrap();
        bench.get(id).free_when_sent();
        bench.run_until("the end after a failed connect", |bench| bench.app.table.is_empty());

        let (end, other) = bench.app.table.pair(bench.base.registry(), BuffereventOptions::empty());
        bench.get(end).write(b"to no one");
        bench.get(end).free_when_sent();
        bench.turn();
        assert!(bench.app.table.contains(end), "the other end may read it yet");
        bench.app.table.free(bench.base.registry(), other);
        bench.run_until("the end of a pair", |bench| bench.app.table.is_empty());
    });
}
