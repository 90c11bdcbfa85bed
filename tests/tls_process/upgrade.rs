//! A server with TLS that another one succeeds.

use std::io::{Read, Write};
use std::net::TcpStream;

use evshard::server::AcceptMode;

use crate::clients::{Client, Version};
use crate::common::total;
use crate::files::{Folder, TLS, address_of};
use crate::load::Load;

/// What the successor has besides `--upgrade-from`: its certificate, and no addresses.
const SUCCESSOR: [&str; 4] = [TLS[2], TLS[3], TLS[4], TLS[5]];

#[test]
fn four_upgrades_under_load_fail_no_connection_and_bring_new_certificates() {
    for mode in AcceptMode::ALL {
        upgrade_under_load(mode.name());
    }
}

/// With a listener without TLS, too.
fn upgrade_under_load(mode: &str) {
    let folder = Folder::new();
    let mut current = folder.put();
    let flags = ["--listen", "127.0.0.1:0", "--upgrade-socket", "upgrade", "--accept", mode];
    let mut server = folder.serve(&[&TLS[..], &flags].concat());
    let plain = address_of("listening on ", &mut server);
    let address = server.address;
    let load = Load::start_with_drains(&folder.authority, address);
    load.expect(&current.der);
    load.wait_for(50);
    let client = Client::new(&folder.authority, Version::Tls13);
    for round in 1..=4 {
        let mut session = client.connect(address).unwrap();
        assert_eq!(session.certificate(), current.der);
        session.echo(b"of the old server").unwrap();
        current = folder.put();
        load.expect(&current.der);
        let successor = [&["--upgrade-from", "upgrade", "--accept", mode], &SUCCESSOR[..]].concat();
        let mut new = folder.serve(&successor);
        assert_eq!(new.address, address);
        assert_eq!(address_of("listening on ", &mut new), plain);
        let (status, table) = std::mem::replace(&mut server, new).wait();
        assert!(status.success(), "{mode}: {status}");
        // The load leaves no connection that is cut off, and this one is idle.
        assert_eq!(total(&table, "errors"), 0, "{mode}, round {round}: {table}");
        assert_eq!(session.read(&mut [0; 1]).unwrap(), 0, "it ends with close_notify");
        assert_eq!(client.exchange(address).unwrap(), current.der, "{mode}, round {round}");
        let mut stream = TcpStream::connect(&plain).unwrap();
        stream.write_all(b"plain").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        load.wait_for(50);
    }
    assert!(load.stop() >= 250);
    assert!(server.terminate().0.success());
}

#[test]
fn a_successor_without_a_certificate_is_refused_and_the_old_server_goes_on() {
    let folder = Folder::new();
    let first = folder.put();
    let server = folder.serve(&[&TLS[..], &["--upgrade-socket", "upgrade"]].concat());
    let load = Load::start_with_drains(&folder.authority, server.address);
    load.expect(&first.der);
    for _ in 0..3 {
        let output = folder.run(&["serve", "--upgrade-from", "upgrade"]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(output.stdout.is_empty());
        let expected = format!(
            "evshard: cannot serve TLS on {}: the server has no certificate; give it one and its \
             key (--tls-cert, --tls-key), or listen without TLS",
            server.address
        );
        assert!(complaint.lines().any(|line| line == expected), "{complaint}");
        load.wait_for(20);
    }
    // A certificate that cannot be used is found before the other server knows of it.
    let flags = ["--upgrade-from", "upgrade", "--tls-cert", "ca.pem"];
    assert_eq!(folder.run(&[&["serve"], &flags[..]].concat()).status.code(), Some(2));
    let successor = [&["--upgrade-from", "upgrade"], &SUCCESSOR[..]].concat();
    let new = folder.serve(&successor);
    assert!(server.wait().0.success());
    load.wait_for(20);
    load.stop();
    assert!(new.terminate().0.success());
}

/// Tickets of the old server are none of the new one's, and lead to a whole handshake.
#[test]
fn sessions_of_before_an_upgrade_are_not_resumed_after_it() {
    let folder = Folder::new();
    folder.put();
    let server = folder.serve(&[&TLS[..], &["--upgrade-socket", "upgrade"]].concat());
    let clients = [Version::Tls12, Version::Tls13].map(|v| Client::resuming(&folder.authority, v));
    let address = server.address;
    let are_resumed = || {
        clients.each_ref().map(|client| {
            let mut session = client.connect(address).unwrap();
            session.echo(b"the ticket comes before this").unwrap();
            let is_resumed = session.is_resumed();
            session.end().unwrap();
            is_resumed
        })
    };
    assert_eq!([are_resumed(), are_resumed()], [[false; 2], [true; 2]]);
    let new = folder.serve(&[&["--upgrade-from", "upgrade"], &SUCCESSOR[..]].concat());
    // Until then it accepts, too.
    assert!(server.wait().0.success());
    assert_eq!([are_resumed(), are_resumed()], [[false; 2], [true; 2]]);
    assert!(new.terminate().0.success());
}
