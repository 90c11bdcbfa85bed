//! Real servers over blocking sockets, where they are installed.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::fixture::{get, http_traffic, traffic};
use crate::wire::http::{HttpOptions, RequestSpec, Requests};
use crate::wire::{Exchange, Mismatch, Protocol, Reply, Traffic, Verify};

/// How long a server may take to start, and a reply to come.
const REPLY_TIME_MAX: Duration = Duration::from_secs(10);

/// A server as a child process, stopped with the test. It listens on a unix socket in a folder of
/// its own, because a free port may not be free any more when it is opened.
struct ServerProcess {
    child: Child,
    folder: TempDir,
}

impl ServerProcess {
    /// Starts a server by this command, in a folder with these files. `None`, and the test is
    /// skipped, if it is not installed. It must listen on `socket` in that folder.
    fn start(program: &'static str, arguments: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let folder = test_needs::folder();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut command = Command::new(test_needs::program(program)?);
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut server = Self { child, folder };
        let give_up = Instant::now() + REPLY_TIME_MAX;
        while server.connect().is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < give_up, "{program} does not listen");
            thread::yield_now();
        }
        Some(server)
    }

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.folder.path().join("socket"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn redis(more: &[&str]) -> Option<ServerProcess> {
    let mut arguments = vec!["--port", "0", "--unixsocket", "socket", "--save", ""];
    arguments.extend_from_slice(more);
    ServerProcess::start("redis-server", &arguments, &[])
}

fn memcached() -> Option<ServerProcess> {
    ServerProcess::start("memcached", &["-s", "socket", "-t", "1", "-c", "64", "-u", "root"], &[])
}

fn nginx() -> Option<ServerProcess> {
    // root: elsewhere than in its own folder, no user that nginx would become may read.
    let configuration =
        "user root root; daemon off; master_process off; pid nginx.pid; error_log stderr;
        events { worker_connections 64; }
        http {
            access_log off; types { text/plain txt; } root .; keepalive_requests 100;
            gzip on; gzip_types text/plain; gzip_min_length 1;
            client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t;
            uwsgi_temp_path t; scgi_temp_path t;
            server { listen unix:socket; }
        }";
    let text = "all the same\n".repeat(1_000);
    let files = [("nginx.conf", configuration), ("path", &text), ("text.txt", &text)];
    let arguments = ["-p", ".", "-c", "nginx.conf", "-e", "stderr"];
    ServerProcess::start("nginx", &arguments, &files)
}

/// Asks `requests` times, `depth` at once; returns how many replies came, and what was wrong or
/// whether the server announced the end. All replies must be right.
fn ask(
    server: &ServerProcess,
    traffic: &Traffic,
    requests: usize,
    depth: usize,
) -> (usize, Result<bool, Mismatch>) {
    let (replies, result) = replies_to(server, traffic, requests, depth);
    let wrong = replies.iter().find(|reply| !matches!(reply, Reply::Right { .. }));
    assert_eq!(wrong, None);
    (replies.len(), result)
}

/// Asks `requests` times, `depth` at once; returns the replies, and what was wrong or whether the
/// server announced the end.
fn replies_to(
    server: &ServerProcess,
    traffic: &Traffic,
    requests: usize,
    depth: usize,
) -> (Vec<Reply>, Result<bool, Mismatch>) {
    let mut socket = server.connect().unwrap();
    socket.set_read_timeout(Some(REPLY_TIME_MAX)).unwrap();
    let mut exchange = Exchange::new(traffic, 2);
    let (mut scratch, mut buffer) = (Vec::new(), vec![0; 100_000]);
    let (mut begun, mut replies) = (0, Vec::new());
    while replies.len() < requests && !exchange.wants_close() {
        let outstanding = begun - replies.len();
        let new = (requests - begun).min(depth - outstanding);
        let bytes = exchange.outgoing(traffic, new, &mut scratch);
        if !bytes.is_empty() {
            let taken = socket.write(bytes).unwrap();
            begun += exchange.advance_sent(traffic, taken);
            if exchange.is_mid_request() {
                continue;
            }
        }
        let count = socket.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the server closed after {} replies", replies.len());
        let outstanding = begun - replies.len();
        let on_reply = |reply| replies.push(reply);
        if let Err(mismatch) =
            exchange.verify_received(traffic, &buffer[..count], outstanding, on_reply)
        {
            return (replies, Err(mismatch));
        }
    }
    (replies, Ok(exchange.wants_close()))
}

#[track_caller]
fn expect_replies(server: &ServerProcess, protocol: Protocol, sizes: &str) {
    let traffic = traffic(protocol, sizes, Verify::Full);
    for (requests, depth) in [(100, 1), (1_000, 30)] {
        assert_eq!(ask(server, &traffic, requests, depth), (requests, Ok(false)));
    }
}

/// The server answers 50 requests on one connection with errors, and says this.
#[track_caller]
fn expect_complaints(
    server: &ServerProcess,
    traffic: &Traffic,
    expected: Option<u16>,
    said: [&str; 2],
) {
    let (replies, result) = replies_to(server, traffic, 50, 5);
    assert_eq!((replies.len(), result), (50, Ok(false)));
    for (number, reply) in replies.into_iter().enumerate() {
        let Reply::Unexpected { status, quote } = reply else { panic!("{reply:?}") };
        assert_eq!((status, quote.is_some()), (expected, number == 0));
        if let Some(quote) = quote {
            assert!(quote.first_line.contains(said[0]), "{quote:?}");
            assert!(quote.body_line.unwrap_or_default().contains(said[1]));
        }
    }
}

#[test]
fn redis_answers_pings_and_echoes() {
    let Some(server) = redis(&[]) else { return };
    expect_replies(&server, Protocol::RespPing, "64");
    expect_replies(&server, Protocol::RespEcho, "1..2000");
    let long = traffic(Protocol::RespEcho, "3MiB", Verify::Full);
    assert_eq!(ask(&server, &long, 2, 1), (2, Ok(false)));
}

#[test]
fn redis_that_wants_a_password_is_quoted() {
    let Some(server) = redis(&["--requirepass", "x"]) else { return };
    let traffic = traffic(Protocol::RespPing, "64", Verify::Full);
    expect_complaints(&server, &traffic, None, ["-NOAUTH", ""]);
}

#[test]
fn memcached_stores_what_it_has_room_for_and_is_quoted_where_it_has_not() {
    let Some(server) = memcached() else { return };
    expect_replies(&server, Protocol::Memcached, "1..2000");
    let traffic = traffic(Protocol::Memcached, "2MiB", Verify::Full);
    let said = ["SERVER_ERROR object too large for cache", ""];
    expect_complaints(&server, &traffic, None, said);
}

#[test]
fn nginx_serves_a_file_until_it_announces_the_end_of_the_connection() {
    let Some(server) = nginx() else { return };
    let traffic = traffic(Protocol::Http, "64", Verify::Full);
    assert_eq!(ask(&server, &traffic, 50, 1), (50, Ok(false)));
    assert_eq!(ask(&server, &traffic, 60, 10), (60, Ok(false)));
    assert_eq!(ask(&server, &traffic, 1_000, 1), (100, Ok(true)));
}

/// The traffic of requests for a file of nginx's.
fn requests_for(path: &str, headers: &[&str]) -> Traffic {
    http_traffic(HttpOptions {
        requests: Requests::One(Box::new(RequestSpec::get(path.to_owned()))),
        headers: headers.iter().map(ToString::to_string).collect(),
        ..get()
    })
}

#[test]
fn nginx_sends_chunks_where_it_compresses() {
    let Some(server) = nginx() else { return };
    let traffic = requests_for("/text.txt", &["Accept-Encoding: gzip"]);
    assert_eq!(ask(&server, &traffic, 60, 1), (60, Ok(false)));
    assert_eq!(ask(&server, &traffic, 60, 5), (60, Ok(false)));
}

#[test]
fn nginx_that_has_no_such_file_is_quoted() {
    let Some(server) = nginx() else { return };
    let traffic = requests_for("/missing", &[]);
    expect_complaints(&server, &traffic, Some(404), ["HTTP/1.1 404 Not Found", "<html>"]);
}
