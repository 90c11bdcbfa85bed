//! The distribution's memcached on this library.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::admin::{get, number, stats_when};
use crate::library::Library;
use serde_json::Value;
use test_needs::{Need, missing};

const CONNECTIONS: usize = 20;
const VALUES_PER_CONNECTION: usize = 500;
/// Most values fill one read; some need many writes.
const SMALL: usize = 1_000;
const LARGE: usize = 900_000;

/// A memcached with four threads, which ends with the value.
struct Memcached(Child);

impl Drop for Memcached {
    fn drop(&mut self) {
        // It has ended already if the test failed because of that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reports_of(library: &Library) -> PathBuf {
    library.folder().join("memcached.err")
}

fn start(socket: &Path, library: &Library, environment: &[(&str, &str)]) -> Memcached {
    let mut command = Command::new("memcached");
    command.envs(environment.iter().copied());
    command.args(["-u", "root", "-t", "4", "-m", "512", "-I", "2m", "-s"]).arg(socket);
    let reports = File::create(reports_of(library)).expect("a file for its messages");
    command.env("LD_LIBRARY_PATH", library.folder());
    let child = command.stderr(reports).spawn();
    Memcached(child.expect("memcached starts"))
}

fn connect(socket: &Path) -> UnixStream {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => {
                assert!(begin.elapsed() < Duration::from_secs(20), "{}: {error}", socket.display());
                thread::yield_now();
            }
        }
    }
}

/// Sets and gets values, each of one letter.
fn work(socket: &Path, number: usize) {
    let mut stream = connect(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    for i in 0..VALUES_PER_CONNECTION {
        let length = if i % 100 == 7 { LARGE } else { SMALL + i };
        let value = vec![b'a' + (number % 26) as u8; length];
        write!(stream, "set k{number}.{i} 0 0 {length}\r\n").expect("a command is sent");
        stream.write_all(&value).expect("a value is sent");
        write!(stream, "\r\nget k{number}.{i}\r\n").expect("a command is sent");
        let mut expect_line = |expected: &str| {
            line.clear();
            reader.read_line(&mut line).expect("a reply");
            assert_eq!(line.trim_end(), expected);
        };
        expect_line("STORED");
        expect_line(&format!("VALUE k{number}.{i} 0 {length}"));
        let mut got = vec![0; length + 2];
        reader.read_exact(&mut got).expect("a value");
        assert!(got.ends_with(b"\r\n") && got[..length] == value, "k{number}.{i} is another value");
        line.clear();
        reader.read_line(&mut line).expect("the end of the reply");
        assert_eq!(line, "END\r\n");
    }
}

#[test]
fn an_unchanged_memcached_with_four_threads_returns_what_was_set() {
    serve_values("0");
}

#[test]
fn the_checked_mode_has_nothing_to_report_of_memcached_under_load() {
    serve_values("1");
}

/// Runs memcached with this value of `EVSHARD_CHECK`.
fn serve_values(checks: &str) {
    if missing(Need::Libevent) || missing(Need::Program("memcached")) {
        return;
    }
    let library = Library::new();
    let socket = library.folder().join("memcached.sock");
    let preloaded = library.folder().join("libevshard_check.so").display().to_string();
    let preloaded = if checks == "1" { &*preloaded } else { "" };
    let environment = [("EVSHARD_CHECK", checks), ("LD_PRELOAD", preloaded)];
    let memcached = start(&socket, &library, &environment);
    drop(connect(&socket));
    let maps = fs::read_to_string(format!("/proc/{}/maps", memcached.0.id())).expect("its maps");
    let loaded: Vec<&str> = maps.lines().filter(|line| line.contains("libev")).collect();
    let folder = library.folder().to_str().expect("text");
    assert!(!loaded.is_empty() && loaded.iter().all(|line| line.contains(folder)), "{loaded:?}");
    thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let socket = &socket;
            scope.spawn(move || work(socket, number));
        }
    });
    let reports = fs::read_to_string(reports_of(&library)).expect("its messages");
    assert!(!reports.contains("EVSHARD_CHECK"), "{reports}");
}

#[test]
fn the_page_of_memcached_under_load_counts_all_requests() {
    if missing(Need::Libevent) || missing(Need::Program("memcached")) {
        return;
    }
    let library = Library::new();
    let socket = library.folder().join("memcached.sock");
    let pages = library.folder().join("pages.sock");
    let admin = format!("unix:{}", pages.display());
    let _memcached = start(&socket, &library, &[("EVSHARD_ADMIN", &admin)]);
    drop(connect(&socket));
    let is_loaded = AtomicBool::new(true);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while is_loaded.load(Ordering::Relaxed) {
                for path in ["/", "/stats", "/metrics"] {
                    get(&pages, path).expect("a page under load");
                }
                reads += 1;
            }
            reads
        });
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let socket = &socket;
                scope.spawn(move || work(socket, number))
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
        is_loaded.store(false, Ordering::Relaxed);
        for result in results {
            result.expect("all values are right");
        }
        reader.join().expect("all pages were read")
    });
    assert!(reads > 0);
    // Each request is a callback of its own: it is sent when the reply to the one before is there.
    let requests = (CONNECTIONS * VALUES_PER_CONNECTION) as u64;
    let calls = |stats: &Value| -> u64 {
        let functions = stats["functions"].as_array().expect("a list");
        functions.iter().map(|function| number(&function["calls"])).sum()
    };
    let bases = |stats: &Value| stats["bases"].as_array().expect("a list").clone();
    // A page is not of one moment, so the last callbacks must have returned.
    let stats = stats_when(&pages, |stats| {
        let callbacks: u64 = bases(stats).iter().map(|base| number(&base["callbacks"])).sum();
        let is_idle = bases(stats).iter().all(|base| base["state"] == "waiting");
        is_idle && calls(stats) == callbacks
    });
    assert!(calls(&stats) >= requests, "{stats}");
    let bases = bases(&stats);
    assert_eq!(bases.len(), 5, "four workers and the listener");
    for base in &bases {
        let times: u64 =
            ["waiting_ns", "callback_ns", "loop_ns"].map(|of| number(&base[of])).iter().sum();
        assert!(times <= number(&stats["observed_ns"]), "{base}");
        assert_eq!(base["lag"]["count"], base["callbacks"]);
    }
}
