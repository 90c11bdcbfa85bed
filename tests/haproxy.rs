//! Two instances behind a real HAProxy, with the configuration of `deploy/haproxy`.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{ServerProcess, TEST_TIMEOUT, eventually, noise, total};
use test_needs::Need;

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy/haproxy.cfg");

/// HAProxy, which does not start without the descriptors for its `maxconn`.
#[track_caller]
fn haproxy() -> Option<PathBuf> {
    if test_needs::missing(Need::Descriptors(8_200)) {
        return None;
    }
    test_needs::program("haproxy")
}

/// An `evshard serve` that trusts HAProxy, and the addresses of its admin and its agent.
struct Instance {
    server: ServerProcess,
    admin: SocketAddr,
    agent: SocketAddr,
}

impl Instance {
    fn start(service: &[&str]) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        Self::start_on(any, any, any, service)
    }

    fn start_on(
        listen: SocketAddr,
        admin: SocketAddr,
        agent: SocketAddr,
        service: &[&str],
    ) -> Self {
        let (admin, agent) = (admin.to_string(), agent.to_string());
        let flags = ["--admin", &admin, "--agent", &agent, "--workers", "2"];
        let proxy = ["--proxy-protocol", "require", "--proxy-trust", "127.0.0.0/8"];
        let drain = ["--drain-delay", "1s", "--drain-timeout", "3s", "--drain-spread", "1s"];
        let flags = [&flags[..], &proxy, &drain, service].concat();
        let mut server = ServerProcess::start_on(&listen.to_string(), &flags);
        let mut address_after = |start: &str| {
            let line = server.next_line();
            let address = line.strip_prefix(start).and_then(|address| address.parse().ok());
            address.unwrap_or_else(|| panic!("{line:?} does not begin with {start:?}"))
        };
        let (admin, agent) = (address_after("admin on "), address_after("agent on "));
        Self { server, admin, agent }
    }

    /// Waits for the end of this instance, and starts another at its addresses.
    fn succeed(self) -> Self {
        let (listen, admin, agent) = (self.server.address, self.admin, self.agent);
        let (status, table) = self.server.wait();
        assert!(status.success(), "{status}");
        assert!(total(&table, "connections") > 20, "{table}");
        Self::start_on(listen, admin, agent, ECHO)
    }
}

/// The service that needs no flags.
const ECHO: &[&str] = &[];

/// HAProxy in front of two instances.
struct Site {
    instances: Vec<Instance>,
    haproxy: Child,
    front: SocketAddr,
    /// Holds HAProxy's control socket.
    folder: tempfile::TempDir,
}

/// The names of the instances in HAProxy.
const NAMES: [&str; 2] = ["one", "two"];

impl Site {
    /// The flags choose the service of both.
    fn start(program: &Path, service: &[&str]) -> Self {
        let (one, two) = (Instance::start(service), Instance::start(service));
        let folder = test_needs::folder();
        // HAProxy cannot choose a free port, but can inherit a socket that has one.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = listener.local_addr().unwrap();
        let haproxy = Command::new(program)
            .args(["-db", "-f", CONFIGURATION])
            .env("EVSHARD_FRONT", "fd@0")
            .env("EVSHARD_ONE", one.server.address.to_string())
            .env("EVSHARD_ONE_ADMIN_PORT", one.admin.port().to_string())
            .env("EVSHARD_ONE_AGENT_PORT", one.agent.port().to_string())
            .env("EVSHARD_TWO_AGENT_PORT", two.agent.port().to_string())
            .env("EVSHARD_TWO", two.server.address.to_string())
            .env("EVSHARD_TWO_ADMIN_PORT", two.admin.port().to_string())
            .env("HAPROXY_CONTROL_SOCKET", folder.path().join("control"))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let site = Self { instances: vec![one, two], haproxy, front, folder };
        eventually("HAProxy has checked both instances", || {
            NAMES.iter().all(|name| site.figure(name, "check_status") == "L7OK")
        });
        site
    }

    /// A column of HAProxy's statistics of an instance; empty without statistics.
    fn figure(&self, name: &str, column: &str) -> String {
        let statistics = self.statistics().unwrap_or_default();
        let mut rows = statistics.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = rows.next().unwrap_or_default();
        let column = header.iter().position(|name| *name == column);
        let row = rows.find(|row| row.first() == Some(&"instances") && row[1] == name);
        column.zip(row).map(|(column, row)| row[column].to_owned()).unwrap_or_default()
    }

    fn statistics(&self) -> io::Result<String> {
        let mut control = UnixStream::connect(self.folder.path().join("control"))?;
        control.write_all(b"show stat\n")?;
        let mut answer = String::new();
        control.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Sessions that HAProxy has given to an instance so far.
    fn sessions(&self, name: &str) -> u64 {
        self.figure(name, "stot").parse().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TEST_TIMEOUT))?;
    stream.set_write_timeout(Some(TEST_TIMEOUT))?;
    Ok(stream)
}

/// A message on a connection of its own, from the first byte to the end of the stream.
fn exchange(front: SocketAddr, message: &[u8]) -> io::Result<()> {
    let mut stream = connect(front)?;
    stream.write_all(message)?;
    stream.shutdown(Shutdown::Write)?;
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo)?;
    let (came, went) = (echo.len(), message.len());
    let is_whole = if echo == message { Ok(()) } else { Err(()) };
    is_whole.map_err(|()| io::Error::other(format!("{came} bytes of {went} came back")))
}

/// Clients that go on until they are stopped.
struct Load<T> {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Load<T> {
    /// Each client starts with its first value, and updates it with each step until the load is
    /// stopped.
    fn start(
        count: usize,
        first: fn() -> T,
        step: impl Fn(&mut T) + Copy + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut state = first();
                while !stop.load(Ordering::Relaxed) {
                    step(&mut state);
                    // A higher rate would only use up the machine and its ports.
                    thread::sleep(Duration::from_millis(1));
                }
                state
            })
        };
        let clients = (0..count).map(client).collect();
        Self { stop, clients }
    }

    fn stop(self) -> Vec<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}

/// A client with one connection, which opens another if that ends between two messages.
#[derive(Default)]
struct LongConnection {
    stream: Option<TcpStream>,
    messages: u64,
    connects: u64,
}

impl LongConnection {
    /// Sends the next message and reads its echo, on a new connection if needed. A partial echo is
    /// an error.
    fn go_on(&mut self, front: SocketAddr) {
        let message = noise(self.messages, 64);
        loop {
            let stream = self.stream.get_or_insert_with(|| {
                self.connects += 1;
                connect(front).expect("connect to HAProxy")
            });
            let mut echo = Vec::new();
            let sent = stream.write_all(&message);
            let read = sent.and_then(|()| stream.take(64).read_to_end(&mut echo));
            if echo == message {
                self.messages += 1;
                return;
            }
            assert!(echo.is_empty(), "{} bytes of 64 came back, {read:?}", echo.len());
            self.stream = None;
        }
    }
}

#[test]
fn the_configuration_is_valid_as_it_is() {
    let Some(program) = test_needs::program("haproxy") else { return };
    let output = Command::new(program).args(["-c", "-f", CONFIGURATION]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn both_instances_serve_behind_haproxy_and_reset_clients_without_a_header() {
    let Some(program) = haproxy() else { return };
    let site = Site::start(&program, ECHO);
    for size in [1, 1000, 1_000_000] {
        exchange(site.front, &noise(size as u64, size)).unwrap();
    }
    for _ in 0..20 {
        exchange(site.front, b"hello").unwrap();
    }
    let sessions = NAMES.map(|name| site.sessions(name));
    assert!(sessions.iter().all(|sessions| *sessions > 0), "{sessions:?}");

    for instance in &site.instances {
        let mut stream = connect(instance.server.address).unwrap();
        stream.write_all(b"hello").unwrap();
        let error = common::read(&stream, &mut [0; 5]).expect_err("nothing is echoed");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// What holds for a client whose instance is restarted: every connect succeeds. A message on a
/// connection of its own is echoed whole. On a longer connection a message is echoed whole or not
/// at all, and then a new connection serves it.
#[test]
fn a_rolling_restart_under_load_fails_no_client() {
    let Some(program) = haproxy() else { return };
    let mut site = Site::start(&program, ECHO);
    let front = site.front;
    let short = Load::start(3, Vec::new, move |failures| {
        failures.extend(exchange(front, b"a message of its own").err());
    });
    let long = Load::start(4, LongConnection::default, move |client| client.go_on(front));
    eventually("both instances serve", || NAMES.iter().all(|name| site.sessions(name) > 20));
    for (index, other) in [(0, "two"), (1, "one")] {
        let name = NAMES[index];
        site.instances[index].server.signal("TERM");
        eventually("HAProxy has taken it out", || site.figure(name, "status").starts_with("DOWN"));
        let (ours, others) = (site.sessions(name), site.sessions(other));
        eventually("the other one serves on", || site.sessions(other) >= others + 50);
        assert_eq!(site.sessions(name), ours, "none is offered to {name}");
        let successor = site.instances.remove(index).succeed();
        site.instances.insert(index, successor);
        eventually("HAProxy has taken it back", || site.figure(name, "status") == "UP");
        eventually("it serves again", || site.sessions(name) > ours);
    }
    let failures: Vec<_> = short.stop().into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} failed, the first: {}", failures.len(), failures[0]);
    for client in long.stop() {
        assert!(client.messages > 0);
        assert!(client.connects <= 3, "one for each restart: {}", client.connects);
    }
}

/// Keeps the workers of an instance busy, past HAProxy. Their service must take longer than the
/// clients pause.
fn keep_busy(instance: SocketAddr) -> Load<Option<TcpStream>> {
    Load::start(
        8,
        || None,
        move |stream| {
            let stream = stream.get_or_insert_with(|| {
                let mut stream = connect(instance).unwrap();
                stream.write_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n").unwrap();
                stream
            });
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        },
    )
}

#[test]
fn an_instance_whose_workers_are_busy_gets_fewer_connections() {
    let Some(program) = haproxy() else { return };
    let site = Site::start(&program, &["--service", "work", "--work", "spin:2ms"]);
    let weight = |name| site.figure(name, "weight").parse::<u64>().unwrap_or_default();
    eventually("both have nearly their whole weight", || NAMES.iter().all(|n| weight(n) > 90));
    let busy = keep_busy(site.instances[1].server.address);
    eventually("the busy one has less", || weight("two") < 60);
    let before = NAMES.map(|name| site.sessions(name));
    let clients: Vec<_> = (0..60).map(|_| connect(site.front).unwrap()).collect();
    let sessions = || [0, 1].map(|index| site.sessions(NAMES[index]) - before[index]);
    eventually("all are connected", || sessions().iter().sum::<u64>() == 60);
    let (shares, weights) = (sessions(), NAMES.map(weight));
    busy.stop();
    println!("weights {weights:?}, connections {shares:?}");
    assert!(shares[0] > shares[1] + 8, "{shares:?} with weights {weights:?}");
    drop(clients);
    eventually("it gets its weight back", || weight("two") > 90);
}
