//! TLS with other implementations: the programs of OpenSSL, and Python's module `ssl`.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use evshard::tls::{TlsClient, TlsServer, TlsVersion};
use evshard::{
    Accepted, BuffereventHandlers, BuffereventId, BuffereventOptions, Interest, ListenOptions,
    ListenerId, Registry, What,
};
use tempfile::TempDir;
use test_needs::program;

use crate::app::{App, Bench, Seen, bench, echo, logging, on_each_backend};
use crate::common::Program;
use crate::tls::{Authority, expect_input, pattern};

/// Another program that speaks TLS.
struct Peer {
    program: Program,
    seen: Vec<String>,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        Self { program: Program::start(command), seen: Vec::new() }
    }

    /// Waits for a line with these words while the loop runs.
    fn expect(&mut self, bench: &mut Bench, words: &str) -> String {
        let mut found = None;
        bench.run_until(words, |_| {
            self.seen.extend(self.program.lines.try_iter());
            found = self.seen.iter().find(|line| line.contains(words)).cloned();
            found.is_some()
        });
        found.unwrap()
    }
}

/// The PEM files of a server named localhost and of its authority.
struct Files {
    authority: Authority,
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let (authority, folder) = (Authority::new(), test_needs::folder());
        let (certificate, key) = authority.issue(&["localhost"]);
        for (name, text) in
            [("ca.pem", &authority.pem), ("server.pem", &certificate), ("server.key", &key)]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { authority, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn on_client(registry: &mut Registry<App>, app: &mut App, _: ListenerId, client: Accepted) {
    let server = app.tls.clone().unwrap();
    let options = BuffereventOptions::empty();
    let id = app.table.accept_tls(registry, client.socket, &server, options).unwrap();
    let mut bufferevent = app.table.get(registry, id).unwrap();
    bufferevent.set_handlers(BuffereventHandlers {
        read: Some(echo),
        write: None,
        event: Some(|registry, app, id, what| {
            app.seen.push(Seen::Event(id, what));
            if what.intersects(What::EOF | What::ERROR)
                && let Some(bufferevent) = app.table.get(registry, id)
            {
                bufferevent.free_when_sent();
            }
        }),
    });
    bufferevent.enable(Interest::READ);
    app.others.push(id);
}

/// A server that echoes; returns its address.
fn serve(bench: &mut Bench, server: TlsServer) -> SocketAddr {
    bench.app.tls = Some(server);
    let any = "127.0.0.1:0".parse().unwrap();
    let registry = bench.base.registry();
    let id = bench.app.table.listen(registry, any, ListenOptions::default(), on_client).unwrap();
    bench.app.table.listener(registry, id).unwrap().local_address().unwrap()
}

/// A client that logs and reads.
fn client(bench: &mut Bench, tls: &TlsClient, port: u16) -> BuffereventId {
    let none = BuffereventOptions::empty();
    let id = bench.app.table.unconnected(bench.base.registry(), none);
    bench.get(id).set_handlers(logging());
    bench.get(id).enable(Interest::READ);
    bench.get(id).start_tls_client(tls, "localhost").unwrap();
    bench.get(id).connect(SocketAddr::from(([127, 0, 0, 1], port)), None).unwrap();
    id
}

/// The last number of a line, a port.
fn port(line: &str) -> u16 {
    line.rsplit([':', ' ']).next().unwrap().parse().unwrap()
}

#[test]
fn openssls_client_is_served_in_both_versions_and_with_new_keys() {
    let Some(openssl) = program("openssl") else { return };
    on_each_backend(|bench| {
        let files = Files::new();
        let address = serve(bench, files.authority.server());
        for (version, name) in [("-tls1_2", TlsVersion::Tls12), ("-tls1_3", TlsVersion::Tls13)] {
            let mut command = Command::new(&openssl);
            command.args(["s_client", version, "-verify_return_error", "-servername", "localhost"]);
            command.args(["-verify_hostname", "localhost", "-connect", &address.to_string()]);
            command.arg("-CAfile").arg(files.path("ca.pem"));
            let mut peer = Peer::start(&mut command);
            peer.expect(bench, "Verify return code: 0 (ok)");
            peer.program.input("first line\n");
            peer.expect(bench, "first line");
            if name == TlsVersion::Tls13 {
                // It asks for new keys of both directions.
                peer.program.input("K\n");
                peer.expect(bench, "KEYUPDATE");
                peer.program.input("with new keys\n");
                peer.expect(bench, "with new keys");
                peer.program.input("K\n");
                peer.program.input("and newer ones\n");
            }
            let id = bench.app.others.pop().unwrap();
            let facts = bench.get(id).tls().unwrap();
            assert_eq!(facts.version, name);
            assert_eq!(facts.server_name.as_deref(), Some("localhost"));
            // Its standard input ends, and it sends close_notify.
            peer.program.stdin = None;
            bench.run_until("its end", |bench| bench.app.table.is_empty());
            assert!(bench.app.seen.contains(&Seen::Event(id, What::EOF | What::READING)));
        }
    });
}

#[test]
fn openssls_server_is_a_peer_in_both_versions() {
    let Some(openssl) = program("openssl") else { return };
    on_each_backend(|bench| {
        let files = Files::new();
        for (version, name) in [("-tls1_2", TlsVersion::Tls12), ("-tls1_3", TlsVersion::Tls13)] {
            let mut command = Command::new(&openssl);
            command.args(["s_server", version, "-rev", "-accept", "127.0.0.1:0"]);
            command.arg("-cert").arg(files.path("server.pem"));
            command.arg("-key").arg(files.path("server.key"));
            let mut peer = Peer::start(&mut command);
            let line = peer.expect(bench, "ACCEPT");
            let id = client(bench, &files.authority.client(), port(&line));
            bench.get(id).write(b"abc\n");
            bench.run_until_seen(Seen::Event(id, What::CONNECTED));
            expect_input(bench, id, b"cba\n");
            assert_eq!(bench.get(id).tls().unwrap().version, name);
            bench.app.table.free(bench.base.registry(), id);
        }
    });
}

#[test]
fn openssls_client_resumes_its_session_by_ticket_and_by_session_id() {
    let Some(openssl) = program("openssl") else { return };
    let bench = &mut bench();
    let files = Files::new();
    let address = serve(bench, files.authority.server());
    for options in [&["-tls1_2"][..], &["-tls1_2", "-no_ticket"], &["-tls1_3"]] {
        for (file_option, is_resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let mut command = Command::new(&openssl);
            command.arg("s_client").args(options).args(["-connect", &address.to_string()]);
            command.arg(file_option).arg(files.path("session"));
            let mut peer = Peer::start(&mut command);
            peer.program.input("line\n");
            peer.expect(bench, "line");
            let id = bench.app.others.pop().unwrap();
            assert_eq!(bench.get(id).tls().unwrap().is_resumed, is_resumed, "{options:?}");
            peer.program.stdin = None;
            bench.run_until("its end", |bench| bench.app.table.is_empty());
            peer.program.child.wait().unwrap();
        }
    }
}

#[test]
fn a_session_of_openssls_server_is_resumed_in_both_versions() {
    let Some(openssl) = program("openssl") else { return };
    let bench = &mut bench();
    let files = Files::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = Command::new(&openssl);
        command.args(["s_server", version, "-rev", "-accept", "127.0.0.1:0"]);
        command.arg("-cert").arg(files.path("server.pem"));
        command.arg("-key").arg(files.path("server.key"));
        let mut peer = Peer::start(&mut command);
        let port = port(&peer.expect(bench, "ACCEPT"));
        let tls = files.authority.client();
        for is_resumed in [false, true] {
            let id = client(bench, &tls, port);
            bench.get(id).write(b"abc\n");
            bench.run_until_seen(Seen::Event(id, What::CONNECTED));
            expect_input(bench, id, b"cba\n");
            assert_eq!(bench.get(id).tls().unwrap().is_resumed, is_resumed, "{version}");
            bench.app.table.free(bench.base.registry(), id);
        }
    }
}

/// An echo server on Python's ssl, which prints its port and how the stream of its client ended.
const PYTHON_SERVER: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1], flush=True)
client = context.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=False)
while data := client.recv(1000):
    client.sendall(data)
print('proper end', flush=True)
client.unwrap()
";

#[test]
fn pythons_server_echoes_much_and_sees_a_proper_end() {
    let Some(python) = program("python3") else { return };
    let bench = &mut bench();
    let files = Files::new();
    let mut command = Command::new(&python);
    command.args(["-c", PYTHON_SERVER]).arg(files.path("server.pem"));
    command.arg(files.path("server.key"));
    let mut peer = Peer::start(&mut command);
    let line = peer.expect(bench, "port");
    let id = client(bench, &files.authority.client(), port(&line));
    let sent = pattern(300_000);
    bench.get(id).write(&sent);
    bench.run_until("echo", |bench| bench.get(id).input().len() == sent.len());
    bench.get(id).end_write().unwrap();
    peer.expect(bench, "proper end");
    bench.run_until_seen(Seen::Event(id, What::EOF | What::READING));
    expect_input(bench, id, &sent);
    bench.app.table.free(bench.base.registry(), id);
}

/// A client on Python's ssl: it sends everything, ends its stream properly, and prints what it got.
const PYTHON_CLIENT: &str = "
import socket, ssl, sys, hashlib
context = ssl.create_default_context(cafile=sys.argv[1])
plain = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
client = context.wrap_socket(plain, server_hostname='localhost', suppress_ragged_eofs=False)
total, got = 500000, 0
for part in range(total // 1000):
    client.sendall(b'x' * 1000)
    while got < (part - 100) * 1000:
        got += len(client.recv(65536))
while got < total:
    got += len(client.recv(65536))
rest = client.unwrap()
print('ended properly', got, flush=True)
";

#[test]
fn pythons_client_gets_its_echo_and_a_proper_end() {
    let Some(python) = program("python3") else { return };
    let bench = &mut bench();
    let files = Files::new();
    let address = serve(bench, files.authority.server());
    let mut command = Command::new(&python);
    command.args(["-c", PYTHON_CLIENT]).arg(files.path("ca.pem"));
    command.arg(address.port().to_string());
    let mut peer = Peer::start(&mut command);
    peer.expect(bench, "ended properly 500000");
    bench.run_until("its end", |bench| bench.app.table.is_empty());
}

#[test]
fn a_client_that_speaks_no_tls_and_one_that_is_too_old_are_refused_and_others_served() {
    let Some(openssl) = program("openssl") else { return };
    let mut bench = bench();
    let files = Files::new();
    let identity = files.authority.identity(&["localhost"]);
    let server = TlsServer::builder(identity).oldest_version(TlsVersion::Tls13).build().unwrap();
    let address = serve(&mut bench, server);
    let mut plain = std::net::TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let start = |version| {
        let mut command = Command::new(&openssl);
        command.args(["s_client", version, "-connect", &address.to_string()]);
        Peer::start(&mut command)
    };
    let _old = start("-tls1_2");
    let mut new = start("-tls1_3");
    new.program.input("served\n");
    new.expect(&mut bench, "served");
    let failed = |seen: &&Seen| matches!(seen, Seen::Event(_, what) if what.contains(What::ERROR));
    bench.run_until("two failures", |bench| bench.app.seen.iter().filter(failed).count() == 2);
}
