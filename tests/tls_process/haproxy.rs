//! HAProxy as a client of TLS: plain from its clients, TLS to the server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use test_needs::program;

use crate::common::{ServerProcess, TEST_TIMEOUT, eventually, noise, total};
use crate::files::{Authority, Folder, TLS};

/// HAProxy in front of a server.
struct Front {
    haproxy: Child,
    address: SocketAddr,
}

impl Front {
    /// Verifies the server, by the authority of this file. `flags` are more flags of its line.
    fn start(haproxy: &Path, folder: &Folder, server: &ServerProcess, flags: &str) -> Self {
        let configuration = format!(
            "global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen clients
    bind fd@0
    server one {} ssl verify required sni str(localhost) verifyhost localhost {flags}
",
            server.address
        );
        folder.write("haproxy.cfg", configuration);
        // HAProxy cannot choose a free port, but can inherit a socket that has one.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = Command::new(haproxy);
        command.args(["-db", "-f", "haproxy.cfg"]).current_dir(folder.path(""));
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
        Self { haproxy: command.spawn().unwrap(), address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
    }

    /// Sends a message and the end of the stream, and reads up to the end of the server's.
    fn exchange(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect();
        let mut writer = stream.try_clone()?;
        let mut echo = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A server that refuses does not read.
                let _ = writer.write_all(message).and_then(|()| writer.shutdown(Shutdown::Write));
            });
            stream.read_to_end(&mut echo)
        })?;
        Ok(echo)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

#[test]
fn haproxy_verifies_the_server_and_passes_all_bytes() {
    let Some(haproxy) = program("haproxy") else { return };
    let folder = Folder::new();
    folder.put();
    let server = folder.serve(&TLS);
    let front = Front::start(&haproxy, &folder, &server, "ca-file ca.pem");
    for size in [1, 1_000, 1_000_000] {
        let message = noise(size as u64, size);
        assert!(front.exchange(&message).unwrap() == message, "{size} bytes");
    }
    let mut stream = front.connect();
    for round in 0..100_u8 {
        stream.write_all(&[round; 100]).unwrap();
        let mut echo = [0; 100];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(echo, [round; 100]);
    }
    drop((stream, front));
    let (status, table) = server.terminate();
    assert!(status.success(), "{table}");
    assert_eq!(total(&table, "connections"), 4, "{table}");
}

#[test]
fn haproxy_refuses_a_server_of_another_authority_and_the_log_names_the_alert() {
    let Some(haproxy) = program("haproxy") else { return };
    let folder = Folder::new();
    folder.put();
    folder.write("other.pem", Authority::new().pem);
    let server = folder.serve(&TLS);
    let front = Front::start(&haproxy, &folder, &server, "ca-file other.pem");
    let echo = front.exchange(b"a message").unwrap_or_default();
    assert!(echo.is_empty(), "{echo:?}");
    eventually("the alert is logged", || !folder.logged("a TLS handshake failed").is_empty());
    let line = folder.logged("a TLS handshake failed").remove(0);
    assert!(line.contains("received fatal alert: UnknownCA"), "{line}");
}

#[test]
fn haproxy_sends_its_header_before_tls_and_a_client_without_one_is_reset() {
    let Some(haproxy) = program("haproxy") else { return };
    let folder = Folder::new();
    folder.put();
    let proxy = ["--proxy-protocol", "require", "--proxy-trust", "127.0.0.0/8"];
    let flags = [&TLS[..], &proxy, &["--slow-callback", "0s"]].concat();
    let (server, admin) = folder.serve_with_admin(&flags);
    // Checks of another port have no TLS and no header. If one failed, HAProxy would take it out.
    let port = admin.rsplit(':').next().unwrap();
    let flags = format!("ca-file ca.pem send-proxy-v2 check port {port} inter 50ms fall 1");
    let front = Front::start(&haproxy, &folder, &server, &flags);
    for size in [1, 1_000, 1_000_000] {
        let message = noise(size as u64, size);
        assert!(front.exchange(&message).unwrap() == message, "{size} bytes");
    }
    // The server knows the client's address, and not HAProxy's. It logs one slow callback a second.
    let stream = front.connect();
    let peer = format!("peer={}", stream.local_addr().unwrap());
    eventually("the client's address is logged", || {
        (&stream).write_all(b"x").unwrap();
        (&stream).read_exact(&mut [0]).unwrap();
        !folder.logged(&peer).is_empty()
    });

    assert_eq!(front.exchange(b"it is not taken out").unwrap(), b"it is not taken out");
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let mut direct = TcpStream::connect(server.address).unwrap();
    direct.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    direct.write_all(&hello).unwrap();
    let error = direct.read(&mut [0; 64]).expect_err("there is no answer");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
