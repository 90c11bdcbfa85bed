//! Errors of the calls that wait for events. A worker ended in silence, a server that could not
//! serve was reported as ready, and a pause of the process lost data.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use evshard::BackendKind;
use test_needs::Need;

use crate::clients::is_served;
use crate::common::{MS, ServerProcess, eventually, usable_backends};
use crate::servers::Watched;

/// The calls by which a backend waits, as strace takes them.
fn wait_calls(backend: BackendKind) -> &'static str {
    match backend {
        BackendKind::Epoll => "epoll_wait,epoll_pwait2",
        BackendKind::IoUring => "io_uring_enter",
        BackendKind::Poll => "ppoll",
        BackendKind::Select => "pselect6",
        other => panic!("how does {other:?} wait?"),
    }
}

/// A server whose calls fail as strace's `inject` says, by `error=…` and `when=…` of each thread.
fn traced(backend: BackendKind, calls: &str, inject: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:{inject}"), env!("CARGO_BIN_EXE_evshard")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--workers", "2", "--no-pin", "--backend", backend.name()]);
    command
}

#[test]
fn one_lack_of_memory_ended_a_worker_for_ever() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for (backend, error) in
        usable_backends().flat_map(|backend| ["ENOMEM", "EAGAIN"].map(|error| (backend, error)))
    {
        let inject = format!("error={error}:when=12..19");
        let server = ServerProcess::spawn(traced(backend, wait_calls(backend), &inject));
        let watched = Watched::of(server);
        let failed = || {
            let stats: serde_json::Value =
                serde_json::from_str(&watched.http("GET", "/stats").1).unwrap();
            let shards = stats["shards"].as_array().unwrap().iter();
            shards.map(|shard| shard["wait_errors"].as_u64()).sum::<Option<u64>>()
        };
        eventually("the waits of a worker fail", || {
            assert!(is_served(&watched.server.connect()), "{backend:?} after {error}");
            failed() >= Some(2)
        });
        for _ in 0..20 {
            assert!(is_served(&watched.server.connect()), "{backend:?} after {error}");
        }
        let metrics = watched.http("GET", "/metrics").1;
        assert!(metrics.contains("evshard_shard_wait_errors_total"), "{metrics}");
        assert!(watched.server.terminate().0.success(), "{backend:?} after {error}");
    }
}

#[test]
fn a_worker_ended_in_silence_and_the_server_stayed_ready() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for backend in usable_backends() {
        let mut command = traced(backend, wait_calls(backend), "error=EPERM:when=40+");
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Its clients make it wait, and so fail.
        let mut stdout = std::io::BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("it serves at first");
        eventually("the server ends", || {
            if let Ok(mut client) = std::net::TcpStream::connect(address) {
                let _ = client.write_all(b"x").and_then(|()| client.read(&mut [0]));
            }
            server.try_wait().unwrap().is_some()
        });
        let output = server.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{backend:?}: {log}");
        assert!(log.contains("wait for events: Operation not permitted"), "{backend:?}: {log}");
    }
}

#[test]
fn a_server_that_could_not_wait_was_reported_as_listening() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for backend in usable_backends() {
        // It fails when it opens a ring, or in the first wait of a thread.
        let mut command = traced(backend, wait_calls(backend), "error=EPERM");
        let output = command.stdin(Stdio::null()).output().expect("start strace");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{backend:?}: {log}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{backend:?}");
        assert!(log.contains("Operation not permitted"), "{backend:?}: {log}");
    }
}

/// SIGSTOP interrupts a wait. With epoll, the interruption was taken for "nothing is ready", and
/// the idle timeout closed the connections although a byte had come.
#[test]
fn a_pause_of_the_process_lost_what_came_meanwhile() {
    for backend in usable_backends() {
        let flags = ["--workers", "1", "--no-pin", "--idle-timeout", "1s"];
        let server = ServerProcess::start(&[&flags[..], &["--backend", backend.name()]].concat());
        // More than the event array of epoll has entries at first.
        let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
        assert!(clients.iter().all(is_served));
        server.signal("STOP");
        eventually("the server stops", || server.is_stopped());
        for client in &mut clients {
            client.write_all(b"b").unwrap();
        }
        // Not a wait for a condition: the idle timeout passes meanwhile.
        thread::sleep(1200 * MS);
        server.signal("CONT");
        for (index, client) in clients.iter_mut().enumerate() {
            let mut echo = [0];
            client.read_exact(&mut echo).unwrap_or_else(|error| {
                panic!("{backend:?}: the byte of client {index} is lost: {error}")
            });
            assert_eq!(&echo, b"b");
        }
        drop(clients);
        assert!(server.terminate().0.success());
    }
}
