//! Tests of both sides: successful handovers, and everything that may go wrong with a successor.

#![cfg(not(loom))]

mod ending;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Instant;

use test_needs::Need;

use super::message::{Message, VERSION};
use super::offer::Offer;
use super::*;
use crate::server::error::Error;
use crate::server::failure::Failures;
use crate::server::listener::ListenAddress;
use crate::server::{AcceptMode, ServerConfig};

/// Far longer than anything takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// A running server, as far as a successor sees it.
struct Old {
    folder: tempfile::TempDir,
    listeners: Vec<Listener>,
    offer: Option<Offer>,
    /// Receives once when it was taken over.
    taken: Receiver<()>,
}

impl Old {
    fn start(workers: usize) -> Self {
        Self::start_with(workers, LONG)
    }

    /// Starts it on a free port and a path, with an upgrade socket beside it.
    fn start_with(workers: usize, timeout: Duration) -> Self {
        let folder = test_needs::folder();
        let listen = vec![
            "127.0.0.1:0".parse().unwrap(),
            ListenAddress::Unix(folder.path().join("web.sock")).into(),
        ];
        let workers = NonZeroUsize::new(workers).unwrap();
        let accept = AcceptMode::ReusePort;
        let config = ServerConfig { listen, workers, accept, ..ServerConfig::default() };
        let listeners = listener::open(&config).unwrap();
        let socket = UpgradeSocket::open(&folder.path().join("upgrade")).unwrap();
        let (offer, taken) = offer(socket, &listeners, timeout);
        Self { folder, listeners, offer: Some(offer), taken }
    }

    fn upgrade_path(&self) -> PathBuf {
        self.folder.path().join("upgrade")
    }

    fn address(&self) -> SocketAddr {
        let ListenAddress::Tcp(address) = self.listeners[0].address else { panic!("TCP first") };
        address
    }

    /// A peer that may write anything.
    fn peer(&self) -> UnixStream {
        let peer = UnixStream::connect(self.upgrade_path()).unwrap();
        peer.set_read_timeout(Some(LONG)).unwrap();
        peer
    }

    #[track_caller]
    fn assert_goes_on(&self) {
        assert_eq!(self.taken.try_recv(), Err(TryRecvError::Empty), "it was not taken over");
        let (listeners, _) = take_over(&self.upgrade_path()).unwrap();
        assert_eq!(listeners.len(), self.listeners.len(), "and offers its sockets still");
    }
}

fn offer(socket: UpgradeSocket, of: &[Listener], timeout: Duration) -> (Offer, Receiver<()>) {
    let (sender, taken) = mpsc::channel();
    let copies = of.iter().map(|listener| listener.duplicate().unwrap()).collect();
    let notify = Box::new(move |process| {
        assert!(process > 0);
        sender.send(()).unwrap();
    });
    (Offer::start_with(socket, copies, timeout, notify, &Failures::none()).unwrap(), taken)
}

/// The kernel's name of each socket: descriptors of the same socket have the same one.
fn identities(listeners: &[Listener]) -> Vec<PathBuf> {
    let sockets = listeners.iter().flat_map(|listener| &listener.sockets);
    let link = |fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    sockets.map(|socket| link(socket.as_raw_fd())).collect()
}

/// The next message of the server, which must be a refusal.
#[track_caller]
fn refusal(peer: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(peer).read_line(&mut line).unwrap();
    match serde_json::from_str(&line) {
        Ok(Message::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn line(message: &Message) -> Vec<u8> {
    message.line().unwrap()
}

#[test]
fn the_successor_gets_the_sockets_themselves_in_their_order() {
    // More sockets than one message can carry, in three messages. Each socket has up to three
    // descriptors.
    if test_needs::missing(Need::Descriptors(3_000)) {
        return;
    }
    let old = Old::start(600);
    let (listeners, take_over) = take_over(&old.upgrade_path()).unwrap();
    assert_eq!(identities(&listeners), identities(&old.listeners));
    assert_eq!(identities(&listeners).len(), 601);
    let addresses = |of: &[Listener]| of.iter().map(|l| l.address.clone()).collect::<Vec<_>>();
    assert_eq!(addresses(&listeners), addresses(&old.listeners));
    assert_eq!(old.taken.try_recv(), Err(TryRecvError::Empty), "it is not ready yet");
    take_over.ready().unwrap();
    old.taken.recv_timeout(LONG).unwrap();
}

#[test]
fn queued_connections_and_the_files_are_the_successors() {
    let mut old = Old::start(1);
    let mut tcp = TcpStream::connect(old.address()).unwrap();
    let mut unix = UnixStream::connect(old.folder.path().join("web.sock")).unwrap();
    tcp.write_all(b"t").unwrap();
    unix.write_all(b"u").unwrap();

    let (listeners, take_over) = take_over(&old.upgrade_path()).unwrap();
    let upgrade = take_over.ready().unwrap();
    old.taken.recv_timeout(LONG).unwrap();
    old.offer = None;
    old.listeners.clear();

    for (listener, expected) in listeners.iter().zip(b"tu") {
        let (mut served, _) = listener.sockets[0].accept().expect("it was queued before");
        served.set_nonblocking(false).unwrap();
        let mut byte = [0];
        served.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [*expected]);
    }
    let path = old.folder.path().join("web.sock");
    assert!(path.exists() && old.upgrade_path().exists(), "the old server left them alone");
    drop((listeners, upgrade));
    assert!(!path.exists() && !old.upgrade_path().exists(), "the new one removes them");
}

#[test]
#[ignore = "run by another, as the successor"]
fn takes_over_and_answers_one_client() {
    let (listeners, take_over) = take_over(&upgrade_socket_of_the_parent()).unwrap();
    let _upgrade = take_over.ready().unwrap();
    let (mut client, _) = listeners[0].sockets[0].accept().expect("one is queued");
    client.write_all(b"new").unwrap();
}

#[test]
fn a_client_that_waits_is_served_by_another_process() {
    let mut old = Old::start(1);
    let mut client = TcpStream::connect(old.address()).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut successor =
        again(&program, "takes_over_and_answers_one_client", &old.upgrade_path()).spawn().unwrap();
    old.taken.recv_timeout(LONG).unwrap();
    old.offer = None;
    old.listeners.clear();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "new");
    assert!(successor.wait().unwrap().success());
}

/// Runs this program again, for one ignored test at an upgrade socket.
fn again(program: &Path, test: &str, upgrade_socket: &Path) -> Command {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new(program);
    command.args(["--exact", "--ignored", &format!("{module}::{test}")]);
    command.env("UPGRADE_SOCKET", upgrade_socket);
    command
}

fn upgrade_socket_of_the_parent() -> PathBuf {
    std::env::var_os("UPGRADE_SOCKET").expect("another test runs this one").into()
}

#[test]
fn ten_servers_in_a_row_serve_one_address() {
    let Old { folder, mut listeners, offer: first, mut taken } = Old::start(2);
    let (mut current, path) = (first.unwrap(), folder.path().join("upgrade"));
    let own = identities(&listeners);
    for _ in 0..10 {
        let (received, take_over) = take_over(&path).unwrap();
        let copies_first = offer;
        let upgrade = take_over.ready().unwrap();
        taken.recv_timeout(LONG).unwrap();
        listeners = received;
        (current, taken) = copies_first(upgrade, &listeners, LONG);
        assert_eq!(identities(&listeners), own);
    }
    let web = folder.path().join("web.sock");
    UnixStream::connect(&web).unwrap();
    drop(current);
    assert!(!path.exists(), "the last one's offer ends with it");
    drop(listeners);
    assert!(!web.exists());
}

/// Accepts at every socket and sends each client a byte, until it is stopped. Then it leaves the
/// backlog, as a succeeded server does.
fn serve(listeners: Vec<Listener>, stop: &AtomicBool, served: &AtomicUsize) {
    let sockets: Vec<_> = listeners.iter().flat_map(|listener| &listener.sockets).collect();
    while !stop.load(Ordering::Relaxed) {
        for socket in &sockets {
            if let Ok((mut client, _)) = socket.accept() {
                client.write_all(b"x").unwrap();
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
        thread::yield_now();
    }
}

/// Also ends threads when a test fails, because the scope waits for them.
struct StopAll<'a>(&'a [AtomicBool]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    }
}

#[test]
fn clients_that_keep_connecting_notice_none_of_ten_upgrades() {
    let Old { folder, listeners, offer: first, mut taken } = Old::start(1);
    let ListenAddress::Tcp(address) = listeners[0].address else { panic!("TCP first") };
    let (mut current, path) = (first.unwrap(), folder.path().join("upgrade"));
    let (stop_clients, served) = ([AtomicBool::new(false)], &AtomicUsize::new(0));
    let stops: [AtomicBool; 11] = Default::default();
    let visit = || {
        while !stop_clients[0].load(Ordering::Relaxed) {
            TcpStream::connect(address).unwrap().read_exact(&mut [0]).unwrap();
        }
    };
    thread::scope(|scope| {
        let (stop_clients, stop_servers) = (StopAll(&stop_clients), StopAll(&stops));
        let clients = [scope.spawn(visit), scope.spawn(visit)];
        scope.spawn(|| serve(listeners, &stops[0], served));
        for (stop, next) in stops.iter().zip(&stops[1..]) {
            let (received, take_over) = take_over(&path).unwrap();
            let received = with_a_socket_more(received);
            let copies: Vec<_> = received.iter().map(|l| l.duplicate().unwrap()).collect();
            scope.spawn(|| serve(received, next, served));
            let upgrade = take_over.ready().unwrap();
            taken.recv_timeout(LONG).unwrap();
            stop.store(true, Ordering::Relaxed);
            (current, taken) = offer(upgrade, &copies, LONG);
            let (before, start) = (served.load(Ordering::Relaxed), Instant::now());
            while served.load(Ordering::Relaxed) < before + 50 {
                assert!(start.elapsed() < LONG, "a server serves");
                thread::yield_now();
            }
        }
        drop(stop_clients);
        for client in clients {
            client.join().expect("no client was refused or reset");
        }
        drop((stop_servers, current));
    });
}

/// Adds a socket, as a server with one worker more has.
fn with_a_socket_more(mut listeners: Vec<Listener>) -> Vec<Listener> {
    let workers = NonZeroUsize::new(listeners[0].sockets.len() + 1).unwrap();
    let accept = AcceptMode::ReusePort;
    listener::fit(&mut listeners, &ServerConfig { workers, accept, ..ServerConfig::default() });
    listeners
}

#[test]
fn a_successor_that_closes_before_it_is_ready_changes_nothing() {
    let old = Old::start(2);
    for _ in 0..3 {
        drop(take_over(&old.upgrade_path()).unwrap());
        let peer = old.peer();
        (&peer).write_all(&line(&Message::TakeOver { version: VERSION })).unwrap();
        drop(peer); // without reading
        drop(old.peer()); // without a message
        old.assert_goes_on();
    }
    assert!(old.folder.path().join("web.sock").exists());
}

#[test]
fn a_successor_that_cannot_be_notified_changes_nothing() {
    let old = Old::start(2);
    let peer = old.peer();
    (&peer).write_all(&line(&Message::TakeOver { version: VERSION })).unwrap();
    let mut lines = BufReader::new(&peer).lines();
    assert!(lines.next().unwrap().unwrap().contains("listeners"));
    assert!(lines.next().unwrap().unwrap().contains("sockets"));
    // The server cannot write to it any more, as if it were dead.
    peer.shutdown(Shutdown::Read).unwrap();
    (&peer).write_all(&line(&Message::Ready)).unwrap();
    old.assert_goes_on();
    let web = old.folder.path().join("web.sock");
    drop(old.offer);
    drop(old.listeners);
    assert!(!web.exists(), "the file is the old server's again");
}

/// A server whose listing is longer than a socket takes at once.
fn with_a_long_listing() -> Old {
    let mut old = Old::start(2);
    for listener in &mut old.listeners {
        listener.name = Some("long".repeat(100_000));
    }
    old.offer = None;
    let socket = UpgradeSocket::open(&old.upgrade_path()).unwrap();
    let (offer, taken) = offer(socket, &old.listeners, LONG);
    Old { offer: Some(offer), taken, ..old }
}

#[test]
fn what_does_not_fit_at_once_is_sent_bit_by_bit() {
    let old = with_a_long_listing();
    let (listeners, take_over) = take_over(&old.upgrade_path()).unwrap();
    assert_eq!(identities(&listeners), identities(&old.listeners));
    assert_eq!(listeners[0].name, old.listeners[0].name);
    take_over.ready().unwrap();
    old.taken.recv_timeout(LONG).unwrap();
}

#[test]
fn a_successor_that_does_not_read_delays_no_other() {
    let old = with_a_long_listing();
    let peer = old.peer();
    (&peer).write_all(&line(&Message::TakeOver { version: VERSION })).unwrap();
    let error = take_over(&old.upgrade_path()).unwrap_err().to_string();
    assert!(error.contains("another server"), "{error}");
    drop(peer);
    old.assert_goes_on();
}

#[test]
fn a_successor_that_is_late_is_sent_away() {
    let old = Old::start_with(1, Duration::from_millis(50));
    assert!(refusal(&old.peer()).contains("50ms"), "one that sends nothing");
    let (_listeners, take_over) = take_over(&old.upgrade_path()).unwrap();
    // Its slot is free once another successor gets it.
    let start = Instant::now();
    while !refusal(&old.peer()).contains("50ms") {
        assert!(start.elapsed() < LONG, "it keeps its place");
    }
    let error = take_over.ready().unwrap_err().to_string();
    assert!(error.contains("not ready within"), "{error}");
    old.assert_goes_on();
}

#[test]
fn there_is_one_successor_at_a_time() {
    let old = Old::start(1);
    let first = take_over(&old.upgrade_path()).unwrap();
    let error = take_over(&old.upgrade_path()).unwrap_err().to_string();
    assert!(error.contains("another server is taking over"), "{error}");
    first.1.ready().expect("the first is not disturbed");
}

#[test]
fn a_peer_that_breaks_the_protocol_gets_the_reason() {
    let old = Old::start(1);
    let hello = line(&Message::TakeOver { version: VERSION });
    for (bytes, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "not understood"),
        (vec![b'x'; 5000], "too long"),
        (line(&Message::TakeOver { version: VERSION + 1 }), "version 3"),
        (line(&Message::Ready), "out of turn"),
        (line(&Message::Draining), "out of turn"),
        ([hello.clone(), line(&Message::Ready)].concat(), "out of turn"),
        ([hello.clone(), hello.clone()].concat(), "out of turn"),
    ] {
        let peer = old.peer();
        (&peer).write_all(&bytes).unwrap();
        let reason = refusal(&peer);
        assert!(reason.contains(expected), "{reason}");
        old.assert_goes_on();
    }
}

#[test]
#[ignore = "run by another, as another user"]
fn asks_as_another_user() {
    let path = upgrade_socket_of_the_parent();
    let peer = UnixStream::connect(&path).unwrap();
    let _ = (&peer).write_all(&line(&Message::TakeOver { version: VERSION }));
    assert!(refusal(&peer).contains("runs as user 65534"), "the server checks the user");
    let error = take_over(&path).unwrap_err().to_string();
    assert!(error.contains("runs as user 0; run as the user"), "{error}");
}

#[test]
fn another_user_gets_nothing_even_where_the_file_would_let_him() {
    if test_needs::missing(Need::OtherUser) {
        return;
    }
    let old = Old::start(1);
    for path in [old.folder.path().to_owned(), old.upgrade_path()] {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    // The other user may not be able to enter the folder that this program is in.
    let program = old.folder.path().join("test-program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output =
        again(&program, "asks_as_another_user", &old.upgrade_path()).uid(65534).output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output_text.contains("1 passed"), "{output_text}");
    old.assert_goes_on();
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let old = Old::start(1);
    let peer = old.peer();
    for byte in line(&Message::TakeOver { version: VERSION }) {
        (&peer).write_all(&[byte]).unwrap();
    }
    let mut answer = String::new();
    BufReader::new(&peer).read_line(&mut answer).unwrap();
    assert!(answer.contains("listeners"), "{answer}");
}

#[test]
fn a_withdrawn_offer_can_not_be_taken() {
    let mut old = Old::start(1);
    old.offer = None;
    assert!(!old.upgrade_path().exists());
    let error = take_over(&old.upgrade_path()).unwrap_err().to_string();
    assert!(error.contains("start without --upgrade-from"), "{error}");
    assert!(error.contains(old.upgrade_path().to_str().unwrap()), "{error}");
    UpgradeSocket::open(&old.upgrade_path()).unwrap();
}

#[test]
fn an_upgrade_socket_in_use_is_not_taken() {
    let old = Old::start(1);
    let error = UpgradeSocket::open(&old.upgrade_path()).unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    old.assert_goes_on();
}

/// The error of a successor whose server sends `sent`, a descriptor, and then nothing.
#[track_caller]
fn complaint_about_descriptor(sent: &[u8], descriptor: &[BorrowedFd<'_>]) -> String {
    let folder = test_needs::folder();
    let path: &Path = &folder.path().join("upgrade");
    let listener = UnixListener::bind(path).unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(sent).unwrap();
            let _ = channel::send(&stream, &line(&Message::Sockets(1)), descriptor);
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = take_over(path).unwrap_err();
        server.join().unwrap();
        error.to_string()
    })
}

#[test]
fn a_successor_does_not_believe_everything() {
    let complaint_about = |sent: &[u8]| complaint_about_descriptor(sent, &[]);
    let old = Old::start(1);
    let listing = line(&Message::Listeners(listing::Listing::of(&old.listeners[1], &[])));
    assert!(complaint_about(b"220 mail ready\r\n").contains("not understood"));
    assert!(complaint_about(&line(&Message::Draining)).contains("out of turn"));
    assert!(complaint_about(&line(&Message::Refused("no".into()))).contains("refused: no"));
    assert!(complaint_about(b"{\"listeners\":").contains("not understood"));
    assert!(complaint_about(&listing).contains("not the sockets"), "a number is no socket");
    let short = [listing.clone(), line(&Message::Sockets(0))].concat();
    assert!(complaint_about(&short).contains("out of turn"), "no socket is no step forward");
    let absurd = String::from_utf8(listing.clone()).unwrap();
    let absurd = absurd.replace("\"sockets\":1", "\"sockets\":0");
    assert!(complaint_about(absurd.as_bytes()).contains("makes no sense"));
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = complaint_about_descriptor(&listing, &[file.as_fd()]);
    assert!(error.contains("no listening stream socket"), "{error}");
}

#[test]
fn a_server_that_is_gone_is_not_waited_for() {
    let folder = test_needs::folder();
    let path = folder.path().join("upgrade");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        // What the server did not read causes a reset if it was quick, an end of stream otherwise.
        take_over(&path).unwrap_err();
    });
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let folder = test_needs::folder();
    let path = folder.path().join("upgrade");
    let _silent = UnixListener::bind(&path).unwrap();
    let error = take_over::take_over_within(Duration::from_millis(50), &path).unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
}
