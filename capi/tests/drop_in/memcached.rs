//! The distribution's memcached on this library.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::library::Library;
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

fn start(socket: &Path, library: &Library) -> Memcached {
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-t", "4", "-m", "512", "-I", "2m", "-s"]).arg(socket);
    let child = command.env("LD_LIBRARY_PATH", library.folder()).spawn();
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
    if missing(Need::Libevent) || missing(Need::Program("memcached")) {
        return;
    }
    let library = Library::new();
    let socket = library.folder().join("memcached.sock");
    let memcached = start(&socket, &library);
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
}
