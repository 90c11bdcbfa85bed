//! Upgrades: which connections other servers lost when one replaced another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use test_needs::Need;

use crate::clients::{StopAtEnd, ask, connect, is_served, reset_when_dropped};
use crate::common::{MS, ServerProcess, eventually, read_to_end, total};
use crate::servers::in_every_mode;

/// A server, and the path of its upgrade socket.
struct Offering {
    server: ServerProcess,
    path: String,
    _folder: tempfile::TempDir,
}

impl Offering {
    fn start(flags: &[&str]) -> Self {
        let folder = test_needs::folder();
        let path = folder.path().join("upgrade").into_os_string().into_string().unwrap();
        let server = ServerProcess::start(&[&["--upgrade-socket", &path], flags].concat());
        Self { server, path, _folder: folder }
    }

    fn succeed(&self, flags: &[&str]) -> ServerProcess {
        let new = ServerProcess::start(&[&["--upgrade-from", &self.path], flags].concat());
        assert_eq!(new.address, self.server.address);
        new
    }
}

/// Envoy, sozu, nginx: queued and idle connections were reset, and requests in progress were lost.
#[test]
fn an_upgrade_loses_the_queued_the_idle_and_those_in_the_middle() {
    in_every_mode(|mode| {
        let flags = ["--workers", "2", "--no-pin", "--accept", mode.name()];
        // The limit keeps the last ones in the backlog.
        let work = ["--service", "work", "--work", "sleep:1s", "--max-connections", "20"];
        let old = Offering::start(&[&flags[..], &work].concat());
        let before = old.server.sockets();
        let idle: Vec<TcpStream> = (0..10).map(|_| old.server.connect()).collect();
        let mut asking: Vec<TcpStream> = (0..10).map(|_| old.server.connect()).collect();
        eventually("they are accepted", || old.server.sockets() == before + 20);
        asking.iter_mut().for_each(|stream| stream.write_all(b"request").unwrap());
        let mut queued: Vec<TcpStream> = (0..30).map(|_| old.server.connect()).collect();
        queued.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());

        let new = old.succeed(&flags);
        for stream in queued {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(stream).unwrap(), b"x", "{mode}: the queued are the new one's");
        }
        for stream in idle {
            assert_eq!(read_to_end(stream).unwrap(), b"", "{mode}: the idle end in order");
        }
        for stream in asking {
            assert_eq!(read_to_end(stream).unwrap(), b"request", "{mode}: the answer is whole");
        }
        let (status, table) = old.server.wait();
        assert!(status.success());
        assert_eq!((total(&table, "connections"), total(&table, "errors")), (20, 0), "{mode}");
        assert_eq!(total(&new.terminate().1, "connections"), 30, "{mode}");
    });
}

/// Connects over and over until it is stopped. Every connection must be served, and is counted.
fn connect_repeatedly(address: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let streams: Vec<TcpStream> = (0..10).map(|_| connect(address)).collect();
        for stream in streams {
            assert_eq!(ask(&stream, b"hello").expect("no client is reset"), b"hello");
            reset_when_dropped(&stream);
            served.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// nginx, Envoy: with fewer workers than before, a socket of the group was closed with clients in
/// its backlog, or stayed open without an acceptor.
#[test]
fn fewer_workers_than_before_reset_the_queue_of_a_socket_or_forget_it() {
    for (before, after) in [("4", "2"), ("4", "1"), ("2", "4")] {
        for mode in ["reuseport", "hybrid"] {
            let old = Offering::start(&["--workers", before, "--no-pin", "--accept", mode]);
            let (address, stop, served) =
                (old.server.address, AtomicBool::new(false), AtomicUsize::new(0));
            thread::scope(|scope| {
                let _stop = StopAtEnd(&stop);
                (0..3).for_each(|_| {
                    drop(scope.spawn(|| connect_repeatedly(address, &stop, &served)));
                });
                eventually("many connections", || served.load(Ordering::Relaxed) > 500);
                let new = old.succeed(&["--workers", after, "--no-pin", "--accept", mode]);
                assert!(old.server.wait().0.success());
                let so_far = served.load(Ordering::Relaxed);
                eventually("more connections", || served.load(Ordering::Relaxed) > so_far + 500);
                stop.store(true, Ordering::Relaxed);
                // Enough to reach every socket of the group.
                let clients: Vec<TcpStream> = (0..200).map(|_| new.connect()).collect();
                clients.iter().for_each(|stream| assert!(is_served(stream)));
                drop(clients);
                assert!(new.terminate().0.success());
            });
        }
    }
}

/// nginx: with SO_REUSEPORT, the backlog of a process that ended was reset.
#[test]
fn the_end_of_a_reuseport_server_resets_its_backlog() {
    let flags = ["--workers", "4", "--no-pin", "--accept", "reuseport"];
    let server = ServerProcess::start(&flags);
    server.signal("STOP");
    let mut queued: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    queued.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
    server.signal("TERM");
    server.signal("CONT");
    for mut stream in queued {
        stream.read_exact(&mut [0]).expect("it was connected, so it is served");
    }
    let (status, table) = server.wait();
    assert!(status.success());
    assert_eq!(total(&table, "connections"), 200);
}

/// HAProxy: old processes stayed for hours, one for each reload, with one long connection each.
#[test]
fn old_servers_pile_up_behind_their_last_connections() {
    let drain = ["--workers", "1", "--drain-timeout", "300ms"];
    let mut old = Offering::start(&drain);
    for _ in 0..3 {
        let stream = old.server.connect();
        let client = thread::spawn(move || while is_served(&stream) {});
        let new = old.succeed(&drain);
        let (start, last) = (Instant::now(), std::mem::replace(&mut old.server, new));
        assert!(last.wait().0.success());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        client.join().unwrap();
        assert!(is_served(&old.server.connect()));
        thread::sleep(MS);
    }
}

/// evshard: the old server got SIGTERM as soon as its successor listened. It then dropped all
/// handshakes at the socket that both had, and the successor was never reached again.
#[test]
fn a_signal_to_the_old_server_right_after_the_upgrade_makes_the_new_one_deaf() {
    in_every_mode(|mode| {
        let flags = ["--workers", "2", "--no-pin", "--accept", mode.name()];
        for _ in 0..5 {
            let old = Offering::start(&flags);
            let new = old.succeed(&flags);
            old.server.signal("TERM");
            let (status, table) = old.server.wait();
            assert!(status.success(), "{mode}: {status}: {table}");
            assert!(is_served(&new.connect()), "{mode}");
        }
    });
}

/// evshard: a server that had added sockets for its workers handed over only those that it had
/// itself received. The others were closed with the connections in their backlog.
#[test]
fn an_upgrade_after_one_that_added_workers_resets_clients() {
    for mode in ["reuseport", "hybrid"] {
        // The limit keeps all but one in the backlog.
        let flags = |workers| {
            ["--workers", workers, "--no-pin", "--accept", mode, "--max-connections", "1"]
        };
        let mut old = Offering::start(&flags("1"));
        for workers in ["3", "1", "2", "3", "3"] {
            let open = old.server.connect();
            assert!(is_served(&open));
            // Enough to reach every socket of the group.
            let mut queued: Vec<TcpStream> = (0..60).map(|_| old.server.connect()).collect();
            for stream in &mut queued {
                stream.write_all(b"x").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
            let new = old.succeed(&flags(workers));
            assert!(std::mem::replace(&mut old.server, new).wait().0.success());
            for stream in queued {
                assert_eq!(read_to_end(stream).unwrap(), b"x", "{mode}, to {workers} workers");
            }
        }
    }
}

/// evshard: no server could take over from one that had no descriptor left.
#[test]
fn an_upgrade_is_impossible_while_descriptors_are_exhausted() {
    let flags = ["--workers", "1", "--no-pin"];
    let old = Offering::start(&flags);
    let room = old.server.descriptors() as u64 + 5;
    old.server.allow_descriptors(room);
    let clients: Vec<TcpStream> = (0..20).map(|_| old.server.connect()).collect();
    eventually("it ran out", || old.server.descriptors() as u64 >= room);
    let new = old.succeed(&flags);
    drop(clients);
    assert!(old.server.wait().0.success());
    assert!(is_served(&new.connect()));
}

/// evshard: a successor with so few descriptors that it could accept no client took over.
#[test]
fn a_successor_takes_over_and_has_no_descriptor_for_a_client() {
    let old = Offering::start(&["--workers", "2", "--no-pin", "--accept", "reuseport"]);
    let flags = "--workers 2 --no-pin --accept reuseport --admin 127.0.0.1:0";
    for limit in 10..64 {
        let program = env!("CARGO_BIN_EXE_evshard");
        let script = format!("ulimit -n {limit}; exec {program} serve {flags} --upgrade-from");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script} {}", old.path)]);
        let mut new = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(new.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let takes_over = !line.is_empty();
        // With two connections or more, both workers have one.
        let clients: Vec<TcpStream> = (0..2).map(|_| old.server.connect()).collect();
        clients.iter().for_each(|client| assert!(is_served(client), "{limit}, {line:?}"));
        if takes_over {
            new.kill().unwrap();
        }
        let output = new.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        if takes_over {
            assert!(!text.contains("ERROR"), "{limit}: the admin and the offer work: {text}");
            return;
        }
        assert!(text.contains("raise the limit") && text.contains("ulimit -n"), "{limit}: {text}");
    }
    panic!("64 descriptors are enough");
}

/// evshard: a signal to a server that waited for another's sockets had no effect until it had them.
/// Then it ended, and no server was left.
#[test]
fn a_successor_takes_over_although_a_signal_was_to_end_it() {
    let folder = test_needs::folder();
    let path = folder.path().join("upgrade");
    let silent = UnixListener::bind(&path).unwrap();
    let mut successor = Command::new(env!("CARGO_BIN_EXE_evshard"))
        .args(["serve", "--upgrade-from", path.to_str().unwrap()])
        .spawn()
        .unwrap();
    let (mut asked, _) = silent.accept().unwrap();
    asked.read_exact(&mut [0]).expect("it asks for the sockets");
    kill_process(Pid::from_child(&successor), Signal::TERM).unwrap();
    let mut status = None;
    eventually("it ends, and not when the answer is late", || {
        status = successor.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(128 + 15));
}

/// Whether the server that was started with `--upgrade-from PATH` has started its workers.
fn has_workers(path: &str) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let is_successor = |process: &Path| {
        let command = read(process.join("cmdline"));
        command.contains(&format!("--upgrade-from\0{path}")) && !command.starts_with("strace")
    };
    let mut successors = entries(Path::new("/proc")).filter(|entry| is_successor(&entry.path()));
    successors.any(|process| {
        let mut threads = entries(&process.path().join("task"));
        threads.any(|thread| read(thread.path().join("comm")) == "worker-1\n")
    })
}

/// evshard: an old server ended after it had sent the sockets, and before it had said that it was
/// leaving. Its successor served already, withdrew, and no server was left.
#[test]
fn the_end_of_the_old_server_during_an_upgrade_leaves_no_server() {
    if test_needs::missing(Need::Trace) {
        return;
    }
    for signal in ["KILL", "TERM"] {
        let old = Offering::start(&["--workers", "2", "--no-pin"]);
        // The successor asks late, and says late that it is ready. With -D it is our child.
        let mut successor = Command::new("strace");
        successor.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendmsg"]);
        successor.args(["-e", "inject=sendmsg:delay_enter=1000000:when=1"]);
        successor.args([env!("CARGO_BIN_EXE_evshard"), "serve", "--workers", "2", "--no-pin"]);
        successor.args(["--upgrade-from", &old.path]);
        let address = old.server.address;
        let new = thread::spawn(|| ServerProcess::spawn(successor));
        eventually("it serves, and has not said so", || has_workers(&old.path));
        old.server.signal(signal);
        let (status, _) = old.server.wait();
        assert_eq!(status.success(), signal == "TERM", "{status}");
        let new = new.join().unwrap();
        assert_eq!(new.address, address, "{signal}");
        assert!(is_served(&new.connect()), "{signal}");
    }
}
