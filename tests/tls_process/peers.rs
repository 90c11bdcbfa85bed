//! Other implementations of TLS as clients: the programs of OpenSSL, and Python's module `ssl`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use test_needs::program;

use crate::common::{Program, TEST_TIMEOUT, eventually};
use crate::files::{Folder, TLS};

/// `openssl s_client`, which trusts the authority of a folder.
struct Peer {
    program: Program,
    seen: String,
}

impl Peer {
    fn start(openssl: &Path, folder: &Folder, address: SocketAddr, flags: &[&str]) -> Self {
        let mut command = Command::new(openssl);
        command.args(["s_client", "-connect", &address.to_string(), "-verify_return_error"]);
        command.arg("-CAfile").arg(folder.path("ca.pem")).args(flags).current_dir(folder.path(""));
        Self { program: Program::start(&mut command), seen: String::new() }
    }

    /// Waits until it has printed this.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let line = self.program.lines.recv_timeout(TEST_TIMEOUT);
            let line = line.unwrap_or_else(|_| panic!("{text:?} does not come: {}", self.seen));
            self.seen += &(line + "\n");
        }
    }

    /// Sends a line, and waits for its echo.
    #[track_caller]
    fn echo(&mut self, line: &str) {
        self.program.input(&format!("{line}\n"));
        self.expect(line);
    }

    /// Ends its input, and waits for its end. Returns all that it printed.
    fn end(mut self) -> (ExitStatus, String) {
        self.program.stdin = None;
        let mut status = None;
        eventually("s_client ends", || {
            status = self.program.child.try_wait().unwrap();
            status.is_some()
        });
        let rest: Vec<String> = self.program.lines.iter().collect();
        (status.expect("it ended"), std::mem::take(&mut self.seen) + &rest.join("\n"))
    }
}

/// A number of the server's statistics, added over its shards.
fn counted(folder: &Folder, admin: &str, pointer: &str) -> u64 {
    let output = folder.run(&["ctl", "stats", "--admin", admin]);
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard.pointer(pointer).unwrap().as_u64().unwrap()).sum()
}

#[test]
fn openssl_is_served_by_both_versions_and_refused_with_older_ones() {
    let Some(openssl) = program("openssl") else { return };
    let folder = Folder::new();
    folder.put();
    let (server, admin) = folder.serve_with_admin(&TLS);
    for (flag, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let names = ["-servername", "localhost", "-verify_hostname", "localhost"];
        let flags = [&[flag], &names[..]].concat();
        let mut peer = Peer::start(&openssl, &folder, server.address, &flags);
        peer.expect("Verify return code: 0 (ok)");
        peer.echo("first line");
        peer.echo("second line");
        let (status, seen) = peer.end();
        assert!(status.success() && seen.contains(&format!("New, {name}, Cipher is")), "{seen}");
    }
    for flag in ["-tls1", "-tls1_1"] {
        let flags = [flag, "-cipher", "DEFAULT@SECLEVEL=0"];
        let (status, seen) = Peer::start(&openssl, &folder, server.address, &flags).end();
        assert!(!status.success() && seen.contains("SSL alert number"), "{seen}");
    }
    assert_eq!(counted(&folder, &admin, "/handshakes/done"), 2);
    assert_eq!(counted(&folder, &admin, "/handshakes/errors/incompatible"), 2);
    assert!(server.terminate().0.success());
}

#[test]
fn openssl_resumes_its_session() {
    let Some(openssl) = program("openssl") else { return };
    let folder = Folder::new();
    folder.put();
    let (server, admin) = folder.serve_with_admin(&TLS);
    for (flag, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let flags = [flag, "-sess_out", "session"];
        let mut peer = Peer::start(&openssl, &folder, server.address, &flags);
        // In TLS 1.3, tickets come before the first byte of the service.
        peer.echo("a line");
        assert!(peer.end().0.success());
        let flags = [flag, "-sess_in", "session"];
        let mut peer = Peer::start(&openssl, &folder, server.address, &flags);
        peer.expect(&format!("Reused, {name}, Cipher is"));
        peer.echo("a line of the resumed session");
        assert!(peer.end().0.success());
    }
    assert_eq!(counted(&folder, &admin, "/handshakes/resumed"), 2);
    assert_eq!(counted(&folder, &admin, "/handshakes/done"), 4);
}

#[test]
fn openssl_gets_the_certificate_for_the_name_that_it_asks_for() {
    let Some(openssl) = program("openssl") else { return };
    let folder = Folder::new();
    for name in ["first.example", "second.example", "*.third.example"] {
        let issued = folder.authority.issue(name);
        let file = format!("{}.pem", name.trim_start_matches("*."));
        folder.write(&file, [issued.certificate, issued.key].concat());
    }
    let certificates = [
        "--tls-cert=first.example.pem",
        "--tls-cert=second.example.pem",
        "--tls-cert=third.example.pem",
    ];
    let server = folder.serve(&[&["--listen", "tls:127.0.0.1:0"], &certificates[..]].concat());
    for (asked, of) in [
        (Some("second.example"), "second.example"),
        (Some("a.third.example"), "a.third.example"),
        (Some("unknown.example"), "first.example"),
        (None, "first.example"),
    ] {
        let name = asked.map_or(vec!["-noservername"], |asked| vec!["-servername", asked]);
        let flags = [&name[..], &["-verify_hostname", of]].concat();
        let mut peer = Peer::start(&openssl, &folder, server.address, &flags);
        peer.expect("Verify return code: 0 (ok)");
        peer.echo("a line");
        assert!(peer.end().0.success());
    }
}

#[test]
fn openssl_without_a_certificate_is_refused_where_clients_need_one() {
    let Some(openssl) = program("openssl") else { return };
    let folder = Folder::new();
    folder.put();
    let client = folder.authority.issue("a client");
    folder.write("client.pem", [client.certificate, client.key].concat());
    let flags = [&TLS[..], &["--tls-client-ca", "ca.pem"]].concat();
    let (server, admin) = folder.serve_with_admin(&flags);
    for version in ["-tls1_2", "-tls1_3"] {
        let flags = [version, "-cert", "client.pem"];
        let mut peer = Peer::start(&openssl, &folder, server.address, &flags);
        peer.echo("a line");
        assert!(peer.end().0.success());
        let mut peer = Peer::start(&openssl, &folder, server.address, &[version]);
        peer.expect("alert certificate required");
    }
    assert_eq!(counted(&folder, &admin, "/handshakes/errors/certificate"), 2);
}

/// Prints the version and the cipher suite, and has 300,000 bytes echoed.
///
/// One thread sends and receives. Two threads must not share a connection of OpenSSL: in Python
/// 3.11 one of them sometimes sees an end of the stream that is none.
const PYTHON: &str = "
import select, socket, ssl, sys
context = ssl.create_default_context(cafile='ca.pem')
raw = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=60)
with context.wrap_socket(raw, server_hostname='localhost') as peer:
    sent = bytes(range(250)) * 1200
    to_send = memoryview(sent)
    came = b''
    peer.setblocking(False)
    while len(came) < len(sent):
        ready = select.select([peer], [peer] if to_send else [], [], 60)
        assert any(ready), 'the server neither sends nor receives'
        try:
            if to_send:
                to_send = to_send[peer.send(to_send):]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            part = peer.recv(65536)
            assert part, 'the stream ended early'
            came += part
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
    assert came == sent
    print(peer.version(), peer.cipher()[0])
    peer.settimeout(60)
    peer.unwrap()
";

#[test]
fn pythons_client_has_its_bytes_echoed_and_both_ends_end_in_order() {
    let Some(python) = program("python3") else { return };
    let folder = Folder::new();
    folder.put();
    let (server, admin) = folder.serve_with_admin(&TLS);
    let mut command = Command::new(python);
    command.args(["-c", PYTHON, &server.address.port().to_string()]);
    let output = command.current_dir(folder.path("")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.starts_with("TLSv1.3 TLS_AES_"), "{complaint}");
    assert_eq!(counted(&folder, &admin, "/errors/truncated"), 0);
    assert_eq!(counted(&folder, &admin, "/bytes_in"), 300_000);
}
