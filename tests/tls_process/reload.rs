//! Certificates that are replaced while the server runs.

use std::io::Read;
use std::net::TcpStream;

use crate::clients::{Client, Version};
use crate::common::{ServerProcess, TEST_TIMEOUT};
use crate::files::{Authority, Folder, TLS};
use crate::load::Load;

const READ: &str = "INFO reload: the configuration was read";
const REFUSED: &str = "ERROR reload: the configuration was not reloaded; the server keeps";

/// The server with its certificate's files, by flags or by a configuration file, and its admin.
fn start(folder: &Folder, by_file: bool) -> (ServerProcess, String) {
    if !by_file {
        return folder.serve_with_admin(&TLS);
    }
    folder.write(
        "evshard.toml",
        "listen = \"tls:127.0.0.1:0\"\ntls-cert = \"server.pem\"\ntls-key = \"server.key\"\n",
    );
    folder.serve_with_admin(&["--config", "evshard.toml"])
}

#[track_caller]
fn expect_lines(report: &str, lines: &[&str]) {
    for line in lines {
        assert!(report.lines().any(|found| found == *line), "{line}: {report}");
    }
}

#[test]
fn certificates_are_replaced_twenty_times_under_load_and_no_connection_fails() {
    let folder = Folder::new();
    let first = folder.put();
    let (server, admin) = start(&folder, false);
    let load = Load::start(&folder.authority, server.address);
    load.expect(&first.der);
    let client = Client::new(&folder.authority, Version::Tls13);
    let mut old = Vec::new();
    let mut current = first;
    for round in 1..=20 {
        let session = client.connect(server.address).unwrap();
        assert_eq!(session.certificate(), current.der, "round {round}");
        old.push(session);
        current = folder.put();
        load.expect(&current.der);
        if round % 2 == 0 {
            server.signal("HUP");
            folder.expect_logged(READ, round);
        } else {
            expect_lines(&folder.reload(&admin), &["tls-cert: read again", "tls-key: read again"]);
        }
        // From now on, each connection has the new one.
        assert_eq!(client.exchange(server.address).unwrap(), current.der, "round {round}");
        load.wait_for(20);
    }
    for session in &mut old {
        session.echo(b"an old connection goes on").unwrap();
    }
    let served = load.stop();
    for session in old {
        session.end().unwrap();
    }
    let (status, table) = server.terminate();
    assert!(status.success() && served >= 400, "{served} {table}");
    assert_eq!(crate::common::total(&table, "errors"), 0, "{table}");
}

/// Writes files that are wrong, and returns what the complaint must name.
type Spoil = fn(&Folder) -> &'static str;

const SPOILS: [(&str, Spoil); 8] = [
    ("a truncated certificate", |folder| {
        let text = folder.put().certificate;
        folder.write("server.pem", &text[..text.len() / 2]);
        "--tls-cert: read PEM from server.pem: its section CERTIFICATE has no end"
    }),
    ("an empty certificate", |folder| {
        folder.write("server.pem", "");
        "--tls-cert: find a certificate in server.pem: it has none"
    }),
    ("no certificate", |folder| {
        std::fs::remove_file(folder.path("server.pem")).unwrap();
        "--tls-cert: read server.pem: No such file"
    }),
    ("a damaged certificate", |folder| {
        let text = folder.put().certificate.replace("MII", "AAA");
        folder.write("server.pem", text);
        "--tls-cert: use a certificate of server.pem: "
    }),
    ("the key of another certificate", |folder| {
        folder.write("server.key", folder.authority.issue("localhost").key);
        "--tls-key: use the private key of server.key with the certificate of server.pem"
    }),
    ("a truncated key", |folder| {
        let text = folder.put().key;
        folder.write("server.key", &text[..text.len() / 2]);
        "--tls-key: read PEM from server.key: its section PRIVATE KEY has no end"
    }),
    ("an empty key", |folder| {
        folder.write("server.key", "");
        "--tls-key: find a private key in server.key: it has none"
    }),
    ("no key", |folder| {
        std::fs::remove_file(folder.path("server.key")).unwrap();
        "--tls-key: read server.key: No such file"
    }),
];

#[test]
fn a_bad_certificate_or_key_leaves_the_old_ones_in_force_and_is_named() {
    for by_file in [false, true] {
        let folder = Folder::new();
        let first = folder.put();
        let (server, admin) = start(&folder, by_file);
        let client = Client::new(&folder.authority, Version::Tls13);
        for (round, (what, spoil)) in SPOILS.iter().enumerate() {
            folder.put();
            let expected = spoil(&folder);
            let reason = folder.refused_reload(&admin);
            assert!(reason.contains(expected), "{what}: {reason}");
            assert_eq!(reason.contains("evshard.toml:"), by_file, "{what}: {reason}");
            folder.expect_logged(REFUSED, 2 * round + 1);
            server.signal("HUP");
            folder.expect_logged(REFUSED, 2 * round + 2);
            let line = folder.logged(REFUSED).pop().unwrap();
            assert!(line.contains(expected), "{what}: {line}");
            assert_eq!(client.exchange(server.address).unwrap(), first.der, "{what}");
        }
        let last = folder.put();
        folder.reload(&admin);
        assert_eq!(client.exchange(server.address).unwrap(), last.der);
        assert!(server.terminate().0.success());
    }
}

#[test]
fn a_new_authority_of_clients_counts_from_the_next_handshake_on() {
    let folder = Folder::new();
    folder.put();
    let authorities = [Authority::new(), Authority::new()];
    let clients = authorities
        .each_ref()
        .map(|authority| Client::with_certificate(&folder.authority, &authority.issue("a client")));
    folder.write("clients.pem", &authorities[0].pem);
    let flags = [&TLS[..], &["--tls-client-ca", "clients.pem"]].concat();
    let (server, admin) = folder.serve_with_admin(&flags);
    let is_let_in = |client: &Client| {
        // In TLS 1.3 the server verifies the client after the client's handshake is done.
        client.exchange(server.address).is_ok()
    };
    let mut old = clients[0].connect(server.address).unwrap();
    old.echo(b"before").unwrap();
    assert_eq!(clients.each_ref().map(is_let_in), [true, false]);
    folder.write("clients.pem", &authorities[1].pem);
    expect_lines(&folder.reload(&admin), &["tls-client-ca: read again"]);
    assert_eq!(clients.each_ref().map(is_let_in), [false, true]);
    old.echo(b"after").unwrap();
    folder.write("clients.pem", [&*authorities[0].pem, &*authorities[1].pem].concat());
    folder.reload(&admin);
    assert_eq!(clients.each_ref().map(is_let_in), [true, true]);
    folder.write("clients.pem", "no certificate");
    let reason = folder.refused_reload(&admin);
    assert!(reason.contains("--tls-client-ca: find a certificate in clients.pem"), "{reason}");
    assert_eq!(clients.each_ref().map(is_let_in), [true, true]);
    let anonymous = Client::new(&folder.authority, Version::Tls12);
    assert!(!is_let_in(&anonymous));
}

const BEFORE: &str = "listen = \"tls:127.0.0.1:0\"\ntls-cert = \"server.pem\"\n\
                      tls-key = \"server.key\"\ntls-client-ca = \"ca.pem\"\n";

#[test]
fn what_the_report_says_about_each_key_is_true() {
    let folder = Folder::new();
    folder.put();
    folder.write("evshard.toml", BEFORE);
    let (server, admin) = folder.serve_with_admin(&["--config", "evshard.toml"]);
    let [old, new] = [Version::Tls12, Version::Tls13].map(|v| Client::new(&folder.authority, v));
    assert!(new.exchange(server.address).is_err(), "it has no certificate");
    let report = folder.reload(&admin);
    expect_lines(
        &report,
        &[
            "tls-cert: read again",
            "tls-key: read again",
            "tls-client-ca: read again",
            "tls-min-version: unchanged",
            "tls-handshake-timeout: unchanged",
            "listen: unchanged",
        ],
    );

    let without_clients = BEFORE.replace("tls-client-ca = \"ca.pem\"\n", "");
    folder.write("evshard.toml", &without_clients);
    expect_lines(&folder.reload(&admin), &["tls-client-ca: applied, from ca.pem to the default"]);
    assert!(old.exchange(server.address).is_ok() && new.exchange(server.address).is_ok());

    let other = folder.authority.issue("localhost");
    folder.write("both.pem", [&*other.certificate, &*other.key].concat());
    let changed = "listen = \"tls:127.0.0.1:1\"\ntls-cert = \"both.pem\"\n\
                   tls-min-version = \"1.3\"\ntls-handshake-timeout = \"300ms\"\n";
    folder.write("evshard.toml", changed);
    expect_lines(
        &folder.reload(&admin),
        &[
            "listen: needs a restart or an upgrade, to change to tls:127.0.0.1:1",
            "tls-cert: applied, from server.pem to both.pem",
            "tls-key: applied, from server.key to the default",
            "tls-client-ca: unchanged",
            "tls-min-version: applied, from 1.2 to 1.3",
            "tls-handshake-timeout: applied, from 10s to 300ms",
        ],
    );
    assert_eq!(new.exchange(server.address).unwrap(), other.der);
    assert!(old.exchange(server.address).is_err(), "TLS 1.2 is too old now");
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    assert_eq!(silent.read(&mut [0; 64]).unwrap(), 0, "its deadline has passed");
    assert!(server.terminate().0.success());
}

/// A server without TLS has no listener for a certificate.
#[test]
fn a_certificate_that_is_added_to_a_server_without_needs_a_restart() {
    let folder = Folder::new();
    folder.put();
    folder.write("evshard.toml", "listen = \"127.0.0.1:0\"\n");
    let (server, admin) = folder.serve_with_admin(&["--config", "evshard.toml"]);
    folder.write("evshard.toml", BEFORE);
    for _ in 0..2 {
        expect_lines(
            &folder.reload(&admin),
            &[
                "tls-cert: needs a restart or an upgrade, to change to server.pem",
                "tls-key: needs a restart or an upgrade, to change to server.key",
                "tls-client-ca: needs a restart or an upgrade, to change to ca.pem",
                "listen: needs a restart or an upgrade, to change to tls:127.0.0.1:0",
            ],
        );
    }
    drop(server);
}

/// A pipe, from which the shell's `<(…)` passes a certificate, is empty when it is read again.
#[test]
fn a_certificate_that_can_be_read_once_stays_in_force() {
    let folder = Folder::new();
    let first = folder.put();
    let mut command = std::process::Command::new("bash");
    let program = env!("CARGO_BIN_EXE_evshard");
    let script = format!(
        "cd '{}'; exec '{program}' serve --listen tls:127.0.0.1:0 --log-file log \
         --tls-cert <(cat server.pem server.key) --admin 127.0.0.1:0",
        folder.path("").display()
    );
    command.args(["-c", &script]);
    let mut server = ServerProcess::spawn(command);
    let admin = crate::files::address_of("admin on ", &mut server);
    folder.put();
    let reason = folder.refused_reload(&admin);
    assert!(reason.contains("--tls-cert: find a certificate in /dev/fd/"), "{reason}");
    let client = Client::new(&folder.authority, Version::Tls13);
    assert_eq!(client.exchange(server.address).unwrap(), first.der);
    assert!(server.terminate().0.success());
}

/// Sessions are resumed before a reload and after it, but not across it: the keys are new.
#[test]
fn sessions_of_before_a_reload_are_not_resumed_after_it() {
    let folder = Folder::new();
    folder.put();
    let (server, admin) = start(&folder, false);
    for version in [Version::Tls12, Version::Tls13] {
        let client = Client::resuming(&folder.authority, version);
        let is_resumed = || {
            let mut session = client.connect(server.address).unwrap();
            session.echo(b"the ticket comes before this").unwrap();
            let is_resumed = session.is_resumed();
            session.end().unwrap();
            is_resumed
        };
        assert_eq!([is_resumed(), is_resumed(), is_resumed()], [false, true, true], "{version:?}");
        folder.put();
        folder.reload(&admin);
        assert_eq!([is_resumed(), is_resumed()], [false, true], "{version:?}");
    }
}
