//! Tests of the end of the running server while a successor takes over.

use std::io;

use rustix::process::{Pid, Signal, kill_process};

use super::*;

#[test]
fn a_successor_that_is_late_while_the_server_ends_has_the_sockets_nevertheless() {
    let mut old = Old::start_with(1, Duration::from_millis(50));
    let (listeners, take_over) = take_over(&old.upgrade_path()).unwrap();
    let decided = old.offer.take().unwrap().end_after(Duration::ZERO);
    assert_eq!(decided, Some(std::process::id()));
    old.taken.recv_timeout(LONG).unwrap();
    take_over.ready().expect("it was not refused");
    drop(listeners);
    assert!(!old.folder.path().join("web.sock").exists(), "the file was the successor's");
}

#[test]
fn a_successor_without_all_sockets_is_refused_by_a_server_that_ends() {
    let mut old = with_a_long_listing();
    let peer = old.peer();
    (&peer).write_all(&line(&Message::TakeOver { version: VERSION })).unwrap();
    (&peer).read_exact(&mut [0]).expect("the listing has begun");
    assert_eq!(old.offer.take().unwrap().end_after(Duration::ZERO), None);
}

#[test]
fn the_sockets_are_not_sent_where_a_refusal_would_not_fit_behind_them() {
    let mut old = Old::start(1);
    // More than a quarter of what the connection holds, and less than all.
    old.listeners[0].name = Some("x".repeat(120_000));
    old.offer = None;
    let socket = UpgradeSocket::open(&old.upgrade_path()).unwrap();
    old.offer = Some(offer(socket, &old.listeners, Duration::from_millis(50)).0);
    let peer = old.peer();
    (&peer).write_all(&line(&Message::TakeOver { version: VERSION })).unwrap();
    // It does not read before it is late.
    while refusal(&old.peer()).contains("another server") {
        thread::yield_now();
    }
    let received: Vec<String> = BufReader::new(&peer).lines().map_while(io::Result::ok).collect();
    assert_eq!(received.len(), 2, "{:?}", &received[1..]);
    assert!(received[0].contains("listeners") && received[1].contains("not ready within"));
}

#[test]
#[ignore = "run by another, as the running server"]
fn offers_until_it_is_killed() {
    let path = upgrade_socket_of_the_parent();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let listeners = listener::open(&ServerConfig { listen, ..ServerConfig::default() }).unwrap();
    let _offer = offer(UpgradeSocket::open(&path).unwrap(), &listeners, LONG);
    thread::sleep(LONG);
}

#[test]
fn a_successor_of_a_server_that_was_killed_gave_the_sockets_back() {
    for is_ready_sent in [false, true] {
        let folder = test_needs::folder();
        let path = folder.path().join("upgrade");
        let program = std::env::current_exe().unwrap();
        let mut running =
            again(&program, "ending::offers_until_it_is_killed", &path).spawn().unwrap();
        let start = Instant::now();
        let (listeners, take_over) = loop {
            match take_over(&path) {
                Ok(taken) => break taken,
                Err(error) => assert!(start.elapsed() < LONG, "{error}"),
            }
            thread::yield_now();
        };
        if is_ready_sent {
            // It has no time to answer.
            kill_process(Pid::from_child(&running), Signal::STOP).unwrap();
        } else {
            running.kill().unwrap();
            running.wait().unwrap();
        }
        thread::scope(|scope| {
            let ready = scope.spawn(|| take_over.ready());
            running.kill().unwrap();
            running.wait().unwrap();
            ready.join().unwrap().expect("no other server has the sockets");
        });
        let ListenAddress::Tcp(address) = listeners[0].address else { panic!("TCP") };
        let _client = TcpStream::connect(address).unwrap();
        listeners[0].sockets[0].accept().expect("it is served here");
    }
}
