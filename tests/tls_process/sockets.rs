//! Listening sockets that a service manager passes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;

use crate::clients::{Client, Version};
use crate::common::{ServerProcess, eventually};
use crate::files::{Folder, address_of};

/// Two sockets with their addresses, and a shell that becomes the server in this folder. It passes
/// them as systemd does, by these names.
fn command(folder: &Folder, names: &str, flags: &str) -> (Command, OwnedFd, [String; 2]) {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let [first, second] = sockets.map(OwnedFd::from);
    let script = format!(
        "cd '{}'; exec 3<&0 4>&2 </dev/null 2>log; export LISTEN_PID=$$ LISTEN_FDS=2 \
         LISTEN_FDNAMES={names}; exec '{}' serve --workers 2 {flags}",
        folder.path("").display(),
        env!("CARGO_BIN_EXE_evshard")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(first);
    (command, second, addresses)
}

#[test]
fn inherited_sockets_named_tls_have_tls_and_others_do_not() {
    let folder = Folder::new();
    let first = folder.put();
    folder.write("evshard.toml", "tls-cert = \"server.pem\"\ntls-key = \"server.key\"\n");
    let flags = "--config evshard.toml --admin 127.0.0.1:0";
    let (command, second, [tls, plain]) = command(&folder, "tls:evshard", flags);
    let mut server = ServerProcess::spawn_with_stderr(command, second);
    assert_eq!(server.address.to_string(), tls);
    assert_eq!(address_of("listening on ", &mut server), plain);
    let admin = address_of("admin on ", &mut server);
    let client = Client::new(&folder.authority, Version::Tls13);
    assert_eq!(client.exchange(server.address).unwrap(), first.der);
    let mut stream = TcpStream::connect(plain).unwrap();
    stream.write_all(b"plain").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();

    let next = folder.put();
    folder.reload(&admin);
    assert_eq!(client.exchange(server.address).unwrap(), next.der);
    // Nothing but the socket asks for a certificate, so the file may lack it.
    folder.write("evshard.toml", "tls-min-version = \"1.3\"\n");
    let report = folder.reload(&admin);
    for key in ["tls-cert", "tls-key", "tls-min-version"] {
        let line = format!("{key}: needs a restart or an upgrade, to change to ");
        assert!(report.contains(&line), "{line}: {report}");
    }
    assert_eq!(client.exchange(server.address).unwrap(), next.der);
    let old = Client::new(&folder.authority, Version::Tls12);
    assert_eq!(old.exchange(server.address).unwrap(), next.der, "as the report says");
    assert!(server.terminate().0.success());
}

#[test]
fn an_inherited_socket_named_tls_without_a_certificate_ends_the_start_with_advice() {
    let folder = Folder::new();
    let (mut command, second, [_, tls]) = command(&folder, "evshard:tls", "");
    let mut child = command.stderr(second).spawn().unwrap();
    let mut status = None;
    eventually("the start ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    let log = fs::read_to_string(folder.path("log")).unwrap();
    let expected = format!("evshard: cannot serve TLS on {tls}: the server has no certificate");
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn a_certificate_without_a_listener_that_has_tls_is_warned_about() {
    let folder = Folder::new();
    folder.put();
    let flags = ["--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key"];
    let server = folder.serve(&flags);
    eventually("it is logged", || {
        !folder.logged("no listener has TLS, so --tls-cert has no effect").is_empty()
    });
    drop(server);
}
