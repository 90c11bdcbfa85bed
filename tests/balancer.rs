//! The example `balancer`: a proxy built on the server's services, between clients and backends
//! that are slow, end, fail and vanish.

mod common;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::example::Example;
use common::{TEST_TIMEOUT, eventually, noise, read_to_end};
use socket2::{Domain, SockRef, Socket, Type};

/// So long that there is only the check at the start.
const NO_MORE_CHECKS: &str = "3600000";
const OFTEN: &str = "20";

/// The example with one worker, and where it listens.
struct Balancer {
    example: Example,
    address: SocketAddr,
}

impl Balancer {
    fn start(check_every_ms: &str, backends: &[SocketAddr]) -> Self {
        let backends: Vec<String> = backends.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["--check-every", check_every_ms, "127.0.0.1:0"];
        arguments.extend(backends.iter().map(String::as_str));
        Self::listening(Example::start("balancer", &arguments))
    }

    fn listening(example: Example) -> Self {
        let line = example.line();
        let address = line.strip_prefix("listening on ").expect("it prints where");
        Self { address: address.parse().unwrap(), example }
    }

    fn connect(&self) -> TcpStream {
        with_timeouts(TcpStream::connect(self.address).unwrap())
    }

    /// How many sockets its process has.
    fn sockets(&self) -> usize {
        let descriptors = format!("/proc/{}/fd", self.example.child.id());
        let links = fs::read_dir(descriptors).unwrap().flatten();
        let targets = links.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Drains it; returns the connections that each backend had, after all of them have ended.
    fn drain(self) -> Vec<usize> {
        self.example.signal("INT");
        self.drained()
    }

    fn drained(self) -> Vec<usize> {
        let lines = self.example.rest();
        let chosen = |line: &String| {
            let [_, chosen, count, times, open, connections] =
                line.split(' ').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            assert_eq!(
                [chosen, times, open, connections],
                ["chosen", "times,", "0", "connections"]
            );
            count.parse().unwrap()
        };
        lines.iter().filter(|line| line.contains(": chosen ")).map(chosen).collect()
    }
}

fn with_timeouts(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A backend whose connections the test accepts one by one.
struct Backend(TcpListener);

impl Backend {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn accept(&self) -> TcpStream {
        with_timeouts(self.0.accept().unwrap().0)
    }

    /// Accepts the check that the balancer makes at its start.
    fn accept_check(&self) {
        assert_eq!(read_to_end(self.accept()), Ok(Vec::new()));
    }
}

/// A balancer with one backend, a client, and the connection that the backend has for it.
fn pair() -> (Balancer, TcpStream, TcpStream) {
    let backend = Backend::new();
    let balancer = Balancer::start(NO_MORE_CHECKS, &[backend.address()]);
    backend.accept_check();
    let client = balancer.connect();
    (balancer, client, backend.accept())
}

/// Accepts connections in threads, and echoes until the test ends. The first byte back names it.
fn echo(listener: TcpListener, name: u8) {
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || -> io::Result<u64> {
                stream.write_all(&[name])?;
                let mut reading = stream.try_clone()?;
                io::copy(&mut reading, &mut stream)
            });
        }
    });
}

fn echo_backend(name: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    echo(listener, name);
    address
}

/// The name of the echo that serves this client.
fn name(mut client: &TcpStream) -> u8 {
    let mut name = [0];
    client.read_exact(&mut name).unwrap();
    name[0]
}

/// An address that refuses connections: no one listens on it.
fn refusing() -> SocketAddr {
    Backend::new().address()
}

/// An address that neither accepts nor refuses. It does once its backlog is emptied.
fn fill_backlog(listener: &TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        filling.push(stream);
    }
    filling
}

/// A listener that lets hardly any connection wait.
fn short_backlog() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    socket.into()
}

#[test]
fn a_side_that_does_not_read_holds_up_the_other_and_then_gets_every_byte() {
    const TIMES: usize = 64;
    let (balancer, client, server) = pair();
    let blocks = [noise(1, 1 << 20), noise(2, (1 << 20) - 7)];
    let written = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for (mut side, (block, written)) in
            [&client, &server].into_iter().zip(blocks.iter().zip(&written))
        {
            scope.spawn(move || {
                for _ in 0..TIMES {
                    for piece in block.chunks(10_000) {
                        side.write_all(piece).unwrap();
                        written.fetch_add(piece.len(), Relaxed);
                    }
                }
                side.shutdown(Shutdown::Write).unwrap();
            });
        }
        // Both streams stand still, because no one reads.
        let mut last = [0; 2];
        let mut still = 0;
        eventually("both writers wait", || {
            let now = [written[0].load(Relaxed), written[1].load(Relaxed)];
            still = if now == last && now[0].min(now[1]) > 0 { still + 1 } else { 0 };
            last = now;
            still > 60
        });
        for (written, block) in last.iter().zip(&blocks) {
            assert!(*written < TIMES * block.len(), "{written} bytes wait somewhere");
        }
        // The client reads all before its backend reads anything.
        for (mut side, block) in [(&client, &blocks[1]), (&server, &blocks[0])] {
            let mut read = vec![0; block.len()];
            for time in 0..TIMES {
                side.read_exact(&mut read).unwrap();
                assert!(read == *block, "the bytes of block {time} differ");
            }
            assert_eq!(side.read(&mut [0]).unwrap(), 0);
        }
    });
    assert_eq!(balancer.drain(), [1]);
}

#[test]
fn the_end_of_one_stream_is_passed_on_while_the_other_continues() {
    for client_ends_first in [true, false] {
        let (balancer, client, server) = pair();
        let (mut first, mut second) =
            if client_ends_first { (client, server) } else { (server, client) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut question = Vec::new();
        second.read_to_end(&mut question).unwrap();
        assert_eq!(question, b"question");
        let answer = noise(3, 3 << 20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                second.write_all(&answer).unwrap();
                second.shutdown(Shutdown::Write).unwrap();
            });
            let mut read = Vec::new();
            first.read_to_end(&mut read).unwrap();
            assert!(read == answer, "{} of {} bytes", read.len(), answer.len());
        });
        assert_eq!(balancer.drain(), [1]);
    }
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    for client_resets in [true, false] {
        let (balancer, mut client, mut server) = pair();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let (first, second) = if client_resets { (client, server) } else { (server, client) };
        reset(first);
        assert_eq!(read_to_end(second), Err(ErrorKind::ConnectionReset));
        assert_eq!(balancer.drain(), [1]);
    }
}

#[test]
fn a_backend_that_fails_its_checks_gets_no_client_until_it_succeeds() {
    let (failing, other) = (refusing(), echo_backend(b'B'));
    let balancer = Balancer::start(OFTEN, &[failing, other]);
    let down = balancer.example.line();
    assert!(down.starts_with(&format!("shard 0: {failing} is down: ")), "{down}");
    assert!(down.contains("refused"), "{down}");
    let clients = [(); 3].map(|()| balancer.connect());
    assert_eq!(clients.each_ref().map(name), *b"BBB");

    let revived = TcpListener::bind(failing).unwrap();
    echo(revived, b'A');
    assert_eq!(balancer.example.line(), format!("shard 0: {failing} is up"));
    // It has fewer connections now.
    let more = [(); 3].map(|()| balancer.connect());
    assert_eq!(more.each_ref().map(name), *b"AAA");
    drop((clients, more));
    assert_eq!(balancer.drain(), [3, 3]);
}

#[test]
fn a_client_whose_backend_refuses_gets_the_next_one() {
    let refusing = refusing();
    let balancer = Balancer::start(NO_MORE_CHECKS, &[refusing, echo_backend(b'B')]);
    let mut client = balancer.connect();
    client.write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(client).unwrap(), b"Bearly");
    assert_eq!(balancer.drain(), [1, 1]);
}

#[test]
fn a_client_is_reset_if_all_backends_refuse() {
    let balancer = Balancer::start(NO_MORE_CHECKS, &[refusing(), refusing()]);
    // With three failures of each they are down, and none is tried.
    for _ in 0..4 {
        assert_eq!(read_to_end(balancer.connect()), Err(ErrorKind::ConnectionReset));
    }
    assert_eq!(balancer.drain(), [2, 2]);
}

#[test]
fn a_client_that_leaves_while_its_backend_is_dialed_leaves_nothing_behind() {
    let listener = short_backlog();
    let balancer = Balancer::start(NO_MORE_CHECKS, &[listener.local_addr().unwrap()]);
    let backend = Backend(listener);
    backend.accept_check();
    let before = balancer.sockets();
    let filling = fill_backlog(&backend.0);
    let client = balancer.connect();
    eventually("the backend is dialed", || balancer.sockets() == before + 2);
    let left_at = Instant::now();
    drop(client);
    eventually("the dial has ended", || balancer.sockets() == before);
    assert!(left_at.elapsed() < Duration::from_secs(4), "its deadline of 5 s ended it");
    drop(filling);
    assert_eq!(balancer.drain(), [1]);
}

#[test]
fn what_a_client_sends_before_its_backend_is_connected_arrives_with_its_end() {
    let backend = Backend(short_backlog());
    let balancer = Balancer::start(NO_MORE_CHECKS, &[backend.address()]);
    backend.accept_check();
    let before = balancer.sockets();
    let filling = fill_backlog(&backend.0);
    let mut client = balancer.connect();
    let bytes = noise(4, 300_000);
    eventually("the backend is dialed", || balancer.sockets() == before + 2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        // Its backlog has room from now on, and the kernel tries again.
        for _ in 0..filling.len() {
            backend.accept();
        }
        assert!(read_to_end(backend.accept()).unwrap() == bytes, "the bytes differ");
    });
    assert_eq!(read_to_end(client).unwrap(), b"");
    assert_eq!(balancer.drain(), [1]);
}

#[test]
fn a_thousand_connections_that_end_in_all_ways_leave_nothing_behind() {
    const THREADS: usize = 8;
    const EACH: usize = 125;
    let addresses = [echo_backend(b'A'), echo_backend(b'B')].map(|address| address.to_string());
    let arguments = ["--workers", "2", "127.0.0.1:0", &addresses[0], &addresses[1]];
    let balancer = Balancer::listening(Example::start("balancer", &arguments));
    let before = balancer.sockets();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let address = balancer.address;
            scope.spawn(move || {
                for count in 0..EACH {
                    let mut client = with_timeouts(TcpStream::connect(address).unwrap());
                    name(&client);
                    let bytes = noise((thread * EACH + count) as u64, 5000);
                    client.write_all(&bytes).unwrap();
                    match count % 3 {
                        0 => reset(client),
                        1 => drop(client),
                        _ => {
                            client.shutdown(Shutdown::Write).unwrap();
                            assert!(read_to_end(client).unwrap() == bytes, "the bytes differ");
                        }
                    }
                }
            });
        }
    });
    // A check may have one at this moment.
    eventually("all sockets are closed", || balancer.sockets() <= before);
    let chosen = balancer.drain();
    assert_eq!(chosen.iter().sum::<usize>(), THREADS * EACH);
    assert!(chosen.iter().all(|chosen| *chosen > THREADS * EACH / 3), "{chosen:?}");
}

#[test]
fn a_silent_connection_continues_during_the_drain_and_is_reset_at_its_end() {
    let (balancer, mut client, mut server) = pair();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    balancer.example.signal("INT");
    eventually("it accepts no more", || TcpStream::connect(balancer.address).is_err());
    // Several times the time after which the drain takes a connection for quiet.
    client.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let silent = common::read(&client, &mut [0]).unwrap_err().kind();
    assert_eq!(silent, ErrorKind::WouldBlock, "it is still open");
    client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    assert_eq!(read_to_end(client), Err(ErrorKind::ConnectionReset));
    assert_eq!(balancer.drained().len(), 1);
    drop(server);
}

/// Backends with TLS.
mod tls {
    use evshard::server::{Echo, ListenAddress, Server, ServerConfig};
    use evshard::tls::{Identity, TlsServer};

    use super::*;

    /// An echo with TLS, and the file of its certificate.
    fn start() -> (Server, String, tempfile::TempPath) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.pem();
        let key = made.signing_key.serialize_pem();
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let config = ServerConfig {
            listen: vec!["tls:127.0.0.1:0".parse().unwrap()],
            tls: Some(TlsServer::builder(identity).build().unwrap()),
            ..ServerConfig::default()
        };
        let server = Server::start(&config, Echo).unwrap();
        let ListenAddress::Tcp(address) = server.addresses()[0] else { panic!("it is TCP") };
        let roots = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&roots, certificate).unwrap();
        (server, address.port().to_string(), roots)
    }

    #[test]
    fn a_backend_with_tls_serves_plain_clients_if_its_certificate_has_its_name() {
        let (server, port, roots) = start();
        let roots = roots.to_str().unwrap();
        let start = |backend: &str| {
            let every = ["--check-every", OFTEN, "--tls-roots", roots, "127.0.0.1:0", backend];
            Balancer::listening(Example::start("balancer", &every))
        };
        let balancer = start(&format!("localhost:{port}"));
        let mut client = balancer.connect();
        let bytes = noise(5, 100_000);
        client.write_all(&bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(client).unwrap() == bytes, "the bytes differ");
        assert_eq!(balancer.drain(), [1]);

        let balancer = start(&format!("127.0.0.1:{port}"));
        let down = balancer.example.line();
        assert!(down.contains("is down: TLS with "), "{down}");
        assert_eq!(read_to_end(balancer.connect()), Err(ErrorKind::ConnectionReset));
        drop(server);
    }
}

#[test]
fn a_wrong_command_line_is_answered_by_the_usage() {
    let usage = "usage: balancer [--workers N]";
    for (arguments, what) in [
        (&[][..], usage),
        (&["127.0.0.1:0"], usage),
        (&["--workers", "0", "127.0.0.1:0", "127.0.0.1:1"], "--workers 0: give a number from 1"),
        (&["--workers"], "--workers needs a value"),
        (&["--fast", "127.0.0.1:0", "127.0.0.1:1"], "there is no flag --fast"),
        (&["127.0.0.1:0", "backend"], "backend: give a host and a port"),
        (&["--tls-roots", "/nowhere.pem", "127.0.0.1:0", "127.0.0.1:1"], "/nowhere.pem"),
    ] {
        let words = Example::start("balancer", arguments).failure();
        assert!(words.contains(what), "{arguments:?}: {words}");
    }
}
