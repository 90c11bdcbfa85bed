//! What went wrong in libevent's bufferevents, and in programs on them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

use evshard::{BuffereventHandlers, BuffereventOptions, Interest, Registry, What};

use crate::app::{App, Seen, echo, logging, on_each_backend, tcp_pair};

const PLAIN: BuffereventOptions = BuffereventOptions::empty();

/// The end of a stream arrives while output still waits: a program that frees the bufferevent then
/// loses it.
#[test]
fn a_client_that_ends_its_stream_early_still_gets_every_byte() {
    on_each_backend(|bench| {
        let (socket, mut peer) = tcp_pair();
        let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
        let free_when_sent = |registry: &mut Registry<App>, app: &mut App, id, _: What| {
            app.table.get(registry, id).unwrap().free_when_sent();
        };
        bench.get(id).set_handlers(BuffereventHandlers {
            read: Some(echo),
            write: None,
            event: Some(free_when_sent),
        });
        bench.get(id).enable(Interest::READ);
        let sent = vec![9; 3_000_000];
        let mut writer = peer.try_clone().unwrap();
        let expected = sent.clone();
        let client = std::thread::spawn(move || {
            // It reads nothing before it has sent everything.
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
            let mut back = Vec::new();
            peer.read_to_end(&mut back).map(|_| back)
        });
        bench.run_until("its end", |bench| bench.app.table.is_empty());
        assert!(client.join().unwrap().unwrap() == expected, "bytes were lost");
    });
}

/// In C a program may read the descriptor of a freed bufferevent and close it again. By then it can
/// be another file's.
#[test]
fn a_freed_one_closes_its_descriptor_once_and_names_none_afterwards() {
    on_each_backend(|bench| {
        let (socket, mut peer) = tcp_pair();
        let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
        let number = bench.get(id).fd().unwrap();
        bench.app.table.free(bench.base.registry(), id);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
        // Other tests of this process open files, too, so the number may be theirs already.
        let file = File::open("/dev/null").unwrap();
        assert!(bench.app.table.get(bench.base.registry(), id).is_none());
        bench.app.table.free(bench.base.registry(), id);
        bench.turn();
        assert!(file.metadata().is_ok(), "{number}, {} is still open", file.as_raw_fd());
    });
}

/// libevent #1564: a trigger whose read callback frees the bufferevent used it afterwards.
#[test]
fn a_trigger_whose_first_handler_frees_calls_no_other() {
    on_each_backend(|bench| {
        let (socket, _peer) = tcp_pair();
        let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
        let free = |registry: &mut Registry<App>, app: &mut App, id| {
            app.seen.push(Seen::Read(id));
            app.table.free(registry, id);
        };
        bench.get(id).set_handlers(BuffereventHandlers { read: Some(free), ..logging() });
        bench.get(id).trigger_always(Interest::READ | Interest::WRITE);
        bench.get(id).trigger_event(What::EOF);
        bench.turn();
        bench.turn();
        assert_eq!(bench.app.seen, [Seen::Read(id)]);
    });
}

/// CVE-2026-63388: the address of a unix socket was written beyond where it was stored.
#[test]
fn the_longest_path_of_a_unix_socket_is_connected_to_and_a_longer_one_is_an_error() {
    on_each_backend(|bench| {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let room = 107 - folder.path().as_os_str().len() - 1;
        let longest = folder.path().join("x".repeat(room));
        let listener = UnixListener::bind(&longest).unwrap();
        let id = bench.app.table.unconnected(bench.base.registry(), PLAIN);
        bench.get(id).set_handlers(logging());
        let beyond = folder.path().join("x".repeat(room + 1));
        assert!(bench.get(id).connect_unix(&beyond).is_err());
        bench.get(id).connect_unix(&longest).unwrap();
        bench.run_until_seen(Seen::Event(id, What::CONNECTED));
        drop(listener);
    });
}

/// A handler that panics ends neither the table nor the others.
#[test]
fn after_a_panic_of_a_handler_the_others_are_served() {
    on_each_backend(|bench| {
        let (socket, mut peer) = tcp_pair();
        let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
        let panics = |_: &mut Registry<App>, _: &mut App, _| panic!("a fault of the program");
        bench.get(id).set_handlers(BuffereventHandlers { read: Some(panics), ..logging() });
        bench.get(id).enable(Interest::READ);
        let (other_socket, mut other_peer) = tcp_pair();
        let other = bench.app.table.socket(bench.base.registry(), other_socket, PLAIN).unwrap();
        bench.get(other).set_handlers(BuffereventHandlers { read: Some(echo), ..logging() });
        bench.get(other).enable(Interest::READ);
        peer.write_all(b"x").unwrap();
        let run = std::panic::AssertUnwindSafe(|| {
            bench.run_until("a panic", |_| false);
        });
        assert!(std::panic::catch_unwind(run).is_err());
        other_peer.write_all(b"go on").unwrap();
        other_peer.set_nonblocking(true).unwrap();
        let mut back = Vec::new();
        bench.run_until("echo", |_| {
            let mut some = [0; 16];
            let n = other_peer.read(&mut some).unwrap_or(0);
            back.extend_from_slice(&some[..n]);
            back.len() == 5
        });
        // Changes from outside of all handlers still take effect.
        bench.get(id).set_handlers(logging());
        bench.get(id).write(b"still there");
        bench.run_until_seen(Seen::Write(id));
    });
}
