//! Sockets that a process inherits from a service manager, and notifications to it.
//!
//! Both use the environment, so each test runs this program again with an environment of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Command, Output};
use std::time::Duration;

use evshard::server::{listener, service_manager};

/// Runs an ignored test of this program from a shell with this setup. The shell can pass on `stdin`
/// and `stdout`.
fn child(test: &str, setup: &str, stdin: OwnedFd, stdout: OwnedFd) -> Output {
    let script = format!("{setup}; exec \"$0\" --exact --ignored --nocapture {test} >&2");
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .stdin(stdin)
        .stdout(stdout)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap()
}

/// Runs `test`, which prints what it finds, with two sockets as descriptors 3 and 4.
fn found_with(first: OwnedFd, second: OwnedFd, variables: &str) -> String {
    let setup = format!("exec 3<&0 4>&1 </dev/null >/dev/null; export {variables}");
    let child = child("prints_what_it_inherits", &setup, first, second);
    let output = String::from_utf8(child.stderr).unwrap();
    assert!(child.status.success(), "{output}");
    output
}

#[test]
#[ignore = "run by other tests, with sockets"]
fn prints_what_it_inherits() {
    match listener::inherited() {
        Ok(None) => eprintln!("nothing"),
        Ok(Some(listeners)) => {
            for listener in &listeners {
                let name = listener.name().unwrap_or_default();
                eprintln!("inherited {} called {name:?}", listener.address());
            }
            let again = listener::inherited().unwrap();
            assert!(again.is_none(), "they can be taken once");
            assert!(std::fs::exists("/proc/self/fd/3").unwrap(), "and they are open");
        }
        Err(error) => eprintln!("error: {error}"),
    }
}

fn tcp() -> (OwnedFd, String) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket.into(), address)
}

#[test]
fn sockets_of_a_service_manager_are_inherited_with_their_names() {
    let folder = test_needs::folder();
    let path = folder.path().join("web.sock");
    let (socket, address) = tcp();
    let unix = UnixListener::bind(&path).unwrap().into();
    let output = found_with(socket, unix, "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:local");
    assert!(output.contains(&format!("inherited {address} called \"web\"")), "{output}");
    assert!(
        output.contains(&format!("inherited unix:{} called \"local\"", path.display())),
        "{output}"
    );
    assert!(path.exists(), "the file is the service manager's");
}

#[test]
fn an_abstract_name_is_shown_as_systemd_writes_it() {
    let name = format!("evshard-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixListener::bind_addr(&address).unwrap().into();
    let output = found_with(socket, tcp().0, "LISTEN_PID=$$ LISTEN_FDS=1");
    assert!(output.contains(&format!("inherited unix:@{name} called")), "{output}");
}

#[test]
fn sockets_of_one_address_are_one_listener() {
    let (socket, address) = tcp();
    let same = socket.try_clone().unwrap();
    let output = found_with(socket, same, "LISTEN_PID=$$ LISTEN_FDS=2");
    assert_eq!(output.matches(&format!("inherited {address}")).count(), 1, "{output}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    for variables in [
        "LISTEN_PID=1 LISTEN_FDS=2",
        "LISTEN_FDS=2",
        "LISTEN_PID=$$ LISTEN_FDS=0",
        "LISTEN_PID=$$",
        "NOTHING=1",
    ] {
        let output = found_with(tcp().0, tcp().0, variables);
        assert!(output.contains("nothing\n"), "{variables}: {output}");
    }
}

#[test]
fn what_cannot_be_listened_on_is_an_error() {
    let connected = || OwnedFd::from(std::os::unix::net::UnixStream::pair().unwrap().0);
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let datagrams = || OwnedFd::from(std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    for wrong in [connected(), file(), datagrams()] {
        let output = found_with(tcp().0, wrong, "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b");
        assert!(
            output.contains("fd 4, called \"b\": it is no listening stream socket"),
            "{output}"
        );
    }
    for variables in [
        "LISTEN_PID=$$ LISTEN_FDS=many",
        "LISTEN_PID=me LISTEN_FDS=1",
        "LISTEN_PID=$$ LISTEN_FDS=1000",
        "LISTEN_PID=$$ LISTEN_FDS=4294967295",
        "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a",
    ] {
        let output = found_with(tcp().0, tcp().0, variables);
        assert!(
            output.contains("error: cannot use the sockets of LISTEN_FDS"),
            "{variables}: {output}"
        );
    }
}

/// Prints what is logged.
struct Printing;

impl log::Log for Printing {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    #[allow(clippy::print_stderr, reason = "the parent reads it")]
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("logged: {}", record.args());
    }

    fn flush(&self) {}
}

#[test]
#[ignore = "run by other tests, with a socket to notify"]
fn sends_every_notification() {
    log::set_logger(&Printing).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    service_manager::ready();
    service_manager::status("7 connections\nREADY=1");
    service_manager::succeeded_by(4711);
    service_manager::stopping();
}

fn nothing() -> OwnedFd {
    std::fs::File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

#[test]
fn the_service_manager_gets_every_notification() {
    let folder = test_needs::folder();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let setup = format!("export NOTIFY_SOCKET={}", path.display());
    let output = child("sends_every_notification", &setup, nothing(), nothing());
    assert!(output.status.success());
    let received = || {
        let mut bytes = [0; 1000];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(received(), "READY=1\n");
    assert_eq!(received(), "STATUS=7 connections READY=1\n", "one message, whatever is in it");
    assert_eq!(received(), "MAINPID=4711\n");
    assert_eq!(received(), "STOPPING=1\n");
}

/// How many lines a process logs that notifies a service manager at this address.
fn logged_with(address: &str) -> usize {
    let setup = format!("export NOTIFY_SOCKET={address}");
    let output = child("sends_every_notification", &setup, nothing(), nothing());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.matches("logged: the service manager cannot be notified of READY=1").count()
}

#[test]
fn a_missing_service_manager_is_no_error_and_is_logged_once() {
    assert_eq!(logged_with(""), 1, "an empty name is no address");
    assert_eq!(logged_with("/nowhere/at/all"), 1);
    let output = child("sends_every_notification", "unset NOTIFY_SOCKET", nothing(), nothing());
    assert!(output.status.success() && !output.stderr.windows(7).any(|w| w == b"logged:"));
}

/// evshard: the server waited in send(2) for room, and neither served nor handled signals.
#[test]
fn a_service_manager_that_reads_nothing_stops_the_server() {
    let folder = test_needs::folder();
    let path = folder.path().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", &path).is_ok() {}
    assert_eq!(logged_with(path.to_str().unwrap()), 1);
}

#[test]
fn a_service_manager_in_the_abstract_namespace_gets_nothing() {
    let name = format!("evshard-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(logged_with(&format!("@{name}")), 0);
    let mut bytes = [0; 100];
    let length = manager.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1\n");
}
