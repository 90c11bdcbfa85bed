//! The cause that a run names is the cause: a table of faults, real ones, and of what is said.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use test_needs::Need;

use crate::program::*;
use crate::servers::{Client, Server};

/// A fault, and what a run must say of it.
struct Fault {
    /// What is wrong.
    name: &'static str,
    /// Makes it so.
    target: fn() -> Target,
    flags: &'static str,
    /// What happens while the run goes on.
    during: fn(&Child, &Target),
    /// What is said: the cause.
    says: &'static [&'static str],
    /// What is not said: another cause.
    never: &'static [&'static str],
}

/// Where a run connects to, with what must live as long.
struct Target {
    address: String,
    server: Option<Server>,
    _listeners: Vec<OwnedFd>,
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    fn at(address: &str) -> Self {
        Self { address: address.to_owned(), server: None, _listeners: vec![], _folder: None }
    }

    fn of(server: Server) -> Self {
        Self { address: server.address(), server: Some(server), ..Self::at("") }
    }

    fn url(server: Server) -> Self {
        Self { address: format!("http://{}/x", server.address()), ..Self::of(server) }
    }
}

/// What the runs of a fault must not say, whatever it is.
const SLOW: &str = "above its capacity";
const RATE: &str = "exceeds the capacity";
const LOADER: &str = "the loader could not keep up";
const CONTRADICTION: &str = "contradicts itself";

const FAULTS: &[Fault] = &[
    Fault {
        name: "nothing listens",
        target: || Target::at(&unused_address()),
        flags: "-c 2",
        during: nothing,
        says: &["connection refused; is the server running?"],
        never: &["no route", "local port"],
    },
    Fault {
        name: "the unix socket does not exist",
        target: || Target::at("unix:/no/such/socket"),
        flags: "-c 2",
        during: nothing,
        says: &["there is no such socket; is the server running?"],
        never: &["refused"],
    },
    Fault {
        name: "the backlog is full over TCP",
        target: full_tcp,
        flags: "-c 8",
        during: nothing,
        says: &["no answer within 300ms", "is the server accepting?"],
        never: &["refused", "no route"],
    },
    Fault {
        name: "the backlog is full over a unix socket",
        target: full_unix,
        flags: "-c 8",
        during: nothing,
        says: &["the backlog of the socket stayed full for 300ms", "does not accept"],
        never: &["refused", "is the address right"],
    },
    Fault {
        name: "no route leads to the address",
        target: || Target::at("224.0.0.1:7"),
        flags: "-c 2",
        during: nothing,
        says: &["no route leads there", "is the address right"],
        never: &["refused", "is the server running"],
    },
    Fault {
        name: "the source is no address of this machine",
        target: || Target::of(Server::echo()),
        flags: "-c 2 --source 192.0.2.1",
        during: nothing,
        says: &["192.0.2.1 is no address of this machine (--source)"],
        never: &["TIME_WAIT", "no free local port"],
    },
    Fault {
        name: "the server refuses every request",
        target: || Target::url(replying("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
        flags: "-c 4 --rate 2000",
        during: nothing,
        says: &["the server refused requests", "first 'HTTP/1.1 404 Not Found'"],
        never: &[SLOW, RATE, LOADER, "too short"],
    },
    Fault {
        name: "the server speaks TLS",
        target: || Target::url(replying("\x15\x03\x03\0\x02\x02\x28")),
        flags: "-c 4 --rate 2000",
        during: nothing,
        says: &["got wrong bytes", "the server speaks TLS; add --tls"],
        never: &[SLOW, RATE, LOADER, "too short"],
    },
    Fault {
        name: "the server speaks another protocol",
        target: || Target::of(replying("HTTP/1.1 400 Bad Request\r\n\r\n")),
        flags: "-c 4 --rate 2000 --protocol resp-ping",
        during: nothing,
        says: &["got wrong bytes; is it the right --protocol?", "the server said 'HTTP/1.1 400"],
        never: &[SLOW, RATE, LOADER, "too short"],
    },
    Fault {
        name: "the server resets every connection",
        // Closing with unread bytes makes the kernel reset the connection.
        target: || Target::of(Server::start(|mut client| drop(client.read_exactly(10)))),
        flags: "-c 4 --rate 2000",
        during: nothing,
        says: &["the server reset", "did it crash or restart?"],
        never: &[SLOW, RATE, LOADER, "too short"],
    },
    Fault {
        name: "the server closes each connection after its reply",
        target: || Target::of(Server::start(|mut client| _ = client.echo_some(64))),
        flags: "-c 4",
        during: nothing,
        says: &["the server ended", "Use --connect-per-request"],
        never: &[SLOW, RATE, LOADER],
    },
    Fault {
        name: "the server answers nothing",
        target: || Target::of(Server::start(|mut client| client.swallow())),
        flags: "-c 4 --rate 2000",
        during: nothing,
        says: &["the server answered no request; is it stopped"],
        never: &[SLOW, RATE, LOADER, "too short"],
    },
    Fault {
        name: "the server is too slow",
        target: || Target::of(Server::start(slow)),
        flags: "-c 2 --rate 2000 --pipeline 1 --timeout 5s",
        during: nothing,
        says: &["the server left the others waiting; the rate is above its capacity"],
        never: &[LOADER, "answered no request", "the server closed"],
    },
    Fault {
        name: "the server ends",
        target: || Target::of(Server::that_leaves(4, 64)),
        flags: "-c 4 --rate 2000 --duration 20s",
        during: nothing,
        says: &["the run ended early", "nothing listened at the address", "did the server end?"],
        never: &[SLOW, RATE, LOADER],
    },
    Fault {
        name: "the loader has no descriptor left",
        target: || Target::of(Server::start(|mut client| _ = client.echo_some(64))),
        flags: "-c 4 --rate 2000 --duration 1s",
        during: forbid_descriptors,
        says: &["no descriptor, port or memory left", "Too many open files"],
        never: &[SLOW, RATE, "did the server end"],
    },
    Fault {
        name: "the loader is stopped",
        target: || Target::of(Server::echo()),
        flags: "-c 4 --duration 1500ms",
        during: stop_for_a_while,
        says: &["the loader stood still", "it was stopped or suspended"],
        never: &[SLOW, CONTRADICTION, "errors: 1"],
    },
    Fault {
        name: "the loader is stopped in an open loop",
        target: || Target::of(Server::echo()),
        flags: "-c 4 --duration 1500ms --rate 2000",
        during: stop_for_a_while,
        says: &["the loader stood still", "it was stopped or suspended"],
        never: &[SLOW, CONTRADICTION, "errors: 1"],
    },
    Fault {
        name: "nothing is scheduled",
        target: || Target::of(Server::echo()),
        flags: "-c 2 --rate 0.001 --slo achieved>0.9",
        during: nothing,
        says: &["the schedule had none in the measured window", "(no request was scheduled)"],
        never: &["closed loop", "every one failed"],
    },
];

#[test]
fn the_cause_that_is_named_is_the_cause() {
    let mut wrong = Vec::new();
    for fault in FAULTS {
        let said = said_of(fault);
        let missing = fault.says.iter().filter(|text| !said.contains(**text));
        let untrue = fault.never.iter().filter(|text| said.contains(**text));
        let (missing, untrue): (Vec<_>, Vec<_>) = (missing.collect(), untrue.collect());
        if !missing.is_empty() || !untrue.is_empty() {
            wrong.push(format!(
                "{}: it does not say {missing:?}, and says {untrue:?}: {said}",
                fault.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn an_address_that_this_machine_cannot_reach_is_no_lack_of_ports() {
    if test_needs::missing(Need::Mount) {
        return;
    }
    // A network namespace of its own has no address at all.
    let program = env!("CARGO_BIN_EXE_loadgen");
    let output = Command::new("unshare").args(["-n", program, "run", "[::1]:7"]).output().unwrap();
    let finished = Finished::from(output);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("no address of this machine reaches it"), "{finished:?}");
}

/// What a short run says of a fault, in one line.
fn said_of(fault: &Fault) -> String {
    let target = (fault.target)();
    let defaults =
        ["--warmup 0s", "--duration 500ms", "--timeout 300ms", "--drain 300ms"].into_iter();
    let is_replaced = |flag: &&str| fault.flags.contains(flag.split(' ').next().unwrap());
    let defaults = defaults.filter(|flag| !is_replaced(flag));
    let flags = defaults.chain([fault.flags]).flat_map(str::split_whitespace);
    let words: Vec<&str> = ["run", &target.address].into_iter().chain(flags).collect();
    let child = command(&words).spawn().unwrap();
    (fault.during)(&child, &target);
    let finished = wait(child);
    let said = format!("{} {}", finished.stdout, finished.stderr);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn nothing(_: &Child, _: &Target) {}

/// Lowers the loader's limit of open files below those that it has, once the load goes on.
fn forbid_descriptors(child: &Child, target: &Target) {
    let server = target.server.as_ref().unwrap();
    until(|| server.bytes_read() > 0 || has_ended(child));
    let limit = Rlimit { current: Some(3), maximum: Some(3) };
    let _ = prlimit(Pid::from_raw(child.id().cast_signed()), Resource::Nofile, limit);
}

fn stop_for_a_while(child: &Child, target: &Target) {
    let server = target.server.as_ref().unwrap();
    until(|| server.bytes_read() > 6_400 || has_ended(child));
    signal(child, "STOP");
    // Nothing to wait for: the time itself is the fault.
    thread::sleep(Duration::from_millis(600));
    signal(child, "CONT");
}

/// A server that answers each read with these bytes, and closes if they are no HTTP.
fn replying(bytes: &'static str) -> Server {
    Server::start(move |mut client| {
        while !client.read_some(4096).is_empty() {
            client.write(bytes.as_bytes());
            if !bytes.starts_with("HTTP") {
                return client.close();
            }
        }
    })
}

/// Answers after 20 ms.
fn slow(mut client: Client) {
    loop {
        let bytes = client.read_some(64);
        if bytes.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
        client.write(&bytes);
    }
}

/// A listener over TCP with the smallest backlog, which is full, and nothing accepts.
fn full_tcp() -> Target {
    let listener = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    net::bind(&listener, &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    net::listen(&listener, 0).unwrap();
    let listener: TcpListener = listener.into();
    let address = listener.local_addr().unwrap().to_string();
    Target { _listeners: vec![listener.into()], ..Target::at(&address) }
}

/// The same over a unix socket.
fn full_unix() -> Target {
    let folder = test_needs::folder();
    let path = folder.path().join("full.sock");
    let listener = net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    net::listen(&listener, 0).unwrap();
    let address = format!("unix:{}", path.display());
    Target { _listeners: vec![listener], _folder: Some(folder), ..Target::at(&address) }
}
