//! Keys and flags of TLS: what is accepted, and what each mistake is answered with.

use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::clients::{Client, Version};
use crate::common::{eventually, total};
use crate::files::{Folder, TLS};

/// Files of every kind that can be given by mistake.
fn folder_with_mistakes() -> Folder {
    let folder = Folder::new();
    let issued = folder.put();
    folder.write("other.key", folder.authority.issue("localhost").key);
    folder.write("both.pem", [&*issued.certificate, &*issued.key].concat());
    folder.write("empty.pem", "");
    folder.write("server.der", &issued.der);
    folder.write("cut.pem", &issued.certificate[..200]);
    folder.write("unnamed.pem", {
        let unnamed = folder.authority.issue("127.0.0.1");
        [unnamed.certificate, unnamed.key].concat()
    });
    folder.write("locked.key", LOCKED_KEY);
    folder.write("old_locked.key", OLD_LOCKED_KEY);
    folder.write("p521.key", P521_KEY);
    std::fs::create_dir(folder.path("folder")).unwrap();
    mkfifo(&folder.path("named_pipe"));
    // No user can read it, not even root.
    symlink("loop.pem", folder.path("loop.pem")).unwrap();
    folder
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A file, the position of its error, and what the error contains.
const MISTAKES: [(&str, &str, &str); 25] = [
    ("tls-cert = 'named_pipe'", "1:1", "read named_pipe: it is a named pipe; name a PEM file"),
    ("tls-cert = 'none.pem'", "1:1", "--tls-cert: read none.pem: No such file"),
    ("tls-cert = 'folder'", "1:1", "--tls-cert: read folder: Is a directory"),
    ("tls-cert = 'loop.pem'", "1:1", "--tls-cert: read loop.pem: Too many levels of symbolic"),
    ("tls-cert = '/dev/zero'", "1:1", "--tls-cert: read /dev/zero: it is longer than 16 MiB"),
    ("tls-cert = 'empty.pem'", "1:1", "find a certificate in empty.pem: it has none"),
    ("tls-cert = 'server.der'", "1:1", "server.der: it has none; it needs a PEM section CERT"),
    ("tls-cert = 'cut.pem'", "1:1", "cut.pem: its section CERTIFICATE has no end"),
    ("tls-cert = 'server.pem'", "1:1", "--tls-cert: find a private key in server.pem"),
    ("tls-cert = ['both.pem', 'unnamed.pem']", "1:1", "certificate of unnamed.pem: it has no host"),
    ("tls-cert = 'server.pem'\ntls-key = 'none'", "2:1", "--tls-key: read none: No such file"),
    ("tls-cert = 'server.pem'\ntls-key = 'folder'", "2:1", "--tls-key: read folder: Is a direct"),
    ("tls-key = 'loop.pem'\ntls-cert = 'server.pem'", "1:1", "--tls-key: read loop.pem: "),
    ("tls-key = 'server.pem'\ntls-cert = 'server.pem'", "1:1", "find a private key in server.pem"),
    ("tls-cert = 'server.pem'\ntls-key = 'other.key'", "2:1", "they do not belong together"),
    ("tls-cert = 'server.pem'\ntls-key = 'locked.key'", "2:1", "a passphrase protects it"),
    ("tls-cert = 'server.pem'\ntls-key = 'old_locked.key'", "2:1", "a passphrase protects it"),
    ("tls-cert = 'server.pem'\ntls-key = 'p521.key'", "2:1", "an ECDSA key of P-256 or P-384"),
    ("tls-key = 'server.key'", "1:1", "not provided: --tls-cert <FILE>"),
    ("tls-client-ca = 'ca.pem'", "1:1", "not provided: --tls-cert <FILE>"),
    (
        "tls-cert = ['both.pem', 'server.pem']\ntls-key = 'server.key'",
        "2:1",
        "--tls-key names 1 and --tls-cert 2 of the files",
    ),
    (
        "tls-cert = 'both.pem'\ntls-client-ca = 'server.key'",
        "2:1",
        "--tls-client-ca: find a certificate in server.key",
    ),
    ("tls-cert = 'both.pem'\ntls-min-version = 1.1", "2:19", "[possible values: 1.2, 1.3]"),
    ("tls-cert = 'both.pem'\ntls-handshake-timeout = 7", "2:25", "write a duration from 1ms"),
    ("listen = 'tls:127.0.0.1:0'", "1:1", "needs a certificate; give --tls-cert"),
];

/// The one line of an error with status 2.
#[track_caller]
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty() && !text.contains("panicked"), "{text}");
    text.lines().next().unwrap().to_owned()
}

#[test]
fn each_mistake_in_a_file_is_reported_at_its_key_and_once() {
    let folder = folder_with_mistakes();
    for (text, at, expected) in MISTAKES {
        folder.write("evshard.toml", text);
        let output = folder.run(&["check-config", "evshard.toml"]);
        let line = complaint(&output);
        let start = format!("evshard: evshard.toml:{at}: ");
        assert!(line.starts_with(&start) && line.contains(expected), "{text}: {line}");
        let all = String::from_utf8(output.stderr).unwrap();
        assert_eq!(all.matches("evshard.toml:").count(), 1, "{text}: {all}");
        let served = folder.run(&["serve", "--config", "evshard.toml"]);
        assert_eq!(complaint(&served), line, "{text}");
    }
}

#[test]
fn each_mistake_in_flags_is_one_line() {
    let folder = folder_with_mistakes();
    for (text, _, expected) in MISTAKES {
        // The flags that these keys mean.
        let keys = text.lines().map(|line| line.split_once(" = ").unwrap());
        let flags = keys.flat_map(|(key, value)| {
            let values = value.trim_matches(['[', ']']).split(", ");
            values.map(move |value| format!("--{key}={}", value.trim_matches('\'')))
        });
        let flags: Vec<String> = flags.collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = folder.run(&[&["serve"], &flags[..]].concat());
        let line = complaint(&output);
        assert!(line.contains(expected) && line.contains("serve --help"), "{flags:?}: {line}");
        assert_eq!(output.stderr.iter().filter(|byte| **byte == b'\n').count(), 1, "{line}");
    }
}

#[test]
fn several_mistakes_about_tls_are_reported_together() {
    let folder = folder_with_mistakes();
    folder.write(
        "evshard.toml",
        "listen = 'tls:127.0.0.1:0'\ntls-cert = 'none.pem'\ntls-key = 'none.key'\n\
         tls-min-version = 'old'\nbacklog = 0\n",
    );
    let output = folder.run(&["check-config", "evshard.toml"]);
    let text = String::from_utf8(output.stderr).unwrap();
    let at = text.lines().filter(|line| line.contains("evshard.toml:"));
    let at: Vec<&str> =
        at.map(|line| line.split(": ").find(|part| part.contains(':')).unwrap()).collect();
    assert_eq!(at, ["evshard.toml:2:1", "evshard.toml:4:19", "evshard.toml:5:11"], "{text}");
}

#[test]
fn a_printed_configuration_has_the_keys_of_tls_and_is_valid() {
    let folder = folder_with_mistakes();
    folder.write("evshard.toml", "tls-cert = 'both.pem'\ntls-min-version = 1.3\n");
    let flags = ["--listen", "tls:127.0.0.1:0", "--tls-client-ca", "ca.pem", "--print-config"];
    let output = folder.run(&[&["serve", "--config", "evshard.toml"], &flags[..]].concat());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    for line in [
        "listen = [\"tls:127.0.0.1:0\"]  # flag",
        "tls-cert = [\"both.pem\"]  # file",
        "tls-client-ca = \"ca.pem\"  # flag",
        "tls-min-version = \"1.3\"  # file",
        "tls-handshake-timeout = \"10s\"  # default",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    folder.write("evshard.toml", printed);
    assert!(folder.run(&["check-config", "evshard.toml"]).status.success());
}

#[test]
fn one_file_may_have_the_certificate_and_its_key_in_any_order() {
    let folder = Folder::new();
    let issued = folder.put();
    for parts in [[&issued.certificate, &issued.key], [&issued.key, &issued.certificate]] {
        folder.write("both.pem", format!("a comment\n{}\nanother\n{}", parts[0], parts[1]));
        let server = folder.serve(&["--listen", "tls:127.0.0.1:0", "--tls-cert", "both.pem"]);
        let client = Client::new(&folder.authority, Version::Tls12);
        assert_eq!(client.exchange(server.address).unwrap(), issued.der);
    }
}

/// The server does not judge its own certificate: its clock may be the wrong one.
#[test]
fn an_expired_certificate_is_served_and_clients_refuse_it() {
    let folder = Folder::new();
    let expired = folder.authority.issue_expired("localhost");
    folder.write("both.pem", [expired.certificate, expired.key].concat());
    let server = folder.serve(&["--listen", "tls:127.0.0.1:0", "--tls-cert", "both.pem"]);
    for version in [Version::Tls12, Version::Tls13] {
        let client = Client::new(&folder.authority, version);
        let error = client.exchange(server.address).expect_err("it is refused").to_string();
        assert!(error.contains("expired"), "{error}");
    }
    eventually("the alert is logged", || {
        !folder.logged("received fatal alert: CertificateExpired;").is_empty()
    });
    let (status, table) = server.terminate();
    assert!(status.success());
    assert_eq!(total(&table, "errors"), 2, "{table}");
}

/// As a health check does that only tests whether the port is open.
#[test]
fn a_connection_that_ends_before_its_first_byte_is_no_error() {
    let folder = Folder::new();
    folder.put();
    let (server, admin) = folder.serve_with_admin(&TLS);
    for _ in 0..10 {
        drop(TcpStream::connect(server.address).unwrap());
    }
    let client = Client::new(&folder.authority, Version::Tls13);
    client.exchange(server.address).unwrap();
    eventually("all are closed", || {
        let output = folder.run(&["ctl", "stats", "--admin", &admin]);
        let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        stats["shards"].as_array().unwrap().iter().all(|shard| shard["open"] == 0)
    });
    let (status, table) = server.terminate();
    assert!(status.success());
    assert_eq!((total(&table, "connections"), total(&table, "errors")), (11, 0), "{table}");
    assert!(folder.logged("a TLS handshake failed").is_empty());
}

#[test]
fn a_flag_replaces_the_certificate_of_the_file() {
    let folder = Folder::new();
    folder.write("evshard.toml", "tls-cert = 'none.pem'\ntls-key = 'none.key'\n");
    let issued = folder.put();
    let server = folder.serve(&[&TLS[..], &["--config", "evshard.toml"]].concat());
    let client = Client::new(&folder.authority, Version::Tls13);
    assert_eq!(client.exchange(server.address).unwrap(), issued.der);
}

/// `openssl pkcs8 -topk8 -v2 aes-128-cbc`, of a key that nothing uses.
const LOCKED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi6lqTf05AhAgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEENkoIfKK4fwEorMYDCJpnhkEgZCO
WmH734kFNhG24fGfEzZf23A3mY+F5/F+NLj7ROLZeeJdjTXCAGubXKyL+YeyJ2su
+s9OGDJHf7lT8YaE1AHbuVqbZY4bzkqiUbQvJb78GXsrhC6UZmqzFRFTTb56fBjV
vksDucJpjy4ZbbPG4F1cVyXOL6MLYIL4x6PT5s6Mg/SyxZDr6yCTqv8YU6e3c8s=
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl ec -aes128`, of the same key.
const OLD_LOCKED_KEY: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,941A74556E63BF820D19F7D636F20F8C

pexEoqLUH6hXHMCLd6eMf0LnVHjy484VeFURRrZ4YX6LlgcZ6aqJUBGrUzwQxHGW
mZaPBmZKeKT9gRp0AtfcLdpRRZTKwcFXnnvp16V+DnzszDBlzgq6OMruOAslzBFy
bmY05nns/kVPhXvC93Z0s/tVCwc8BFHdm2LTm4i49E0=
-----END EC PRIVATE KEY-----
";

/// `openssl ecparam -name secp521r1 -genkey`.
const P521_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBlrjnYnNMJ5EdedgN
IDWrzl74zNuo1BRwUoNmEEk+/4lz31joIkEyGEfkOvICSBBEMGA4JbyXcuAgcLVT
ngVovw2hgYkDgYYABAGzssolLWJDBLa+h2nlfebjAapWoyTwIVocUw5/0s8UMCir
MbKfonDRsRw4BJuhEuQmyurWJ5P7ALm3y9l04J2rzgBTTUh1gKvRQQUFooYD/4Tm
/C19wtCe43nfr5vlYYFuougqmeh3zfcNVrcnTVW+1ekIZd0BZKnUMWTv38U3sVFN
Yg==
-----END PRIVATE KEY-----
";
