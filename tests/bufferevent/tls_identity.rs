//! Certificates, names, and what both sides must have in common.

use std::fs;
use std::os::unix::net::UnixStream;

use evshard::tls::{
    Identity, TlsClient, TlsClientBuilder, TlsError, TlsServer, TlsServerBuilder, TlsVersion,
    TrustRoots,
};
use evshard::{BuffereventId, What};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, date_time_ymd};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::app::{Seen, bench, on_each_backend};
use crate::tls::{Authority, accept, connect, connected};

/// Does a handshake with the server of this name; returns the errors of the server and the client.
/// After TLS 1.3 a client may learn later that it was refused.
fn errors(server: &TlsServer, client: &TlsClient, name: &str) -> [Option<String>; 2] {
    let mut bench = bench();
    let (near, far) = UnixStream::pair().unwrap();
    let ends = [accept(&mut bench, near, server), connect(&mut bench, far, client, name)];
    bench.run_until("an end of both handshakes", |bench| {
        let seen = &bench.app.seen;
        let failed = ends.map(|id| seen.iter().any(|seen| is_error_of(*seen, id)));
        let connected = ends.map(|id| seen.contains(&Seen::Event(id, What::CONNECTED)));
        failed == [true; 2] || (failed == [false; 2] && connected == [true; 2])
    });
    ends.map(|id| bench.get(id).take_error().map(|error| error.to_string()))
}

fn is_error_of(seen: Seen, id: BuffereventId) -> bool {
    matches!(seen, Seen::Event(of, what) if of == id && what.contains(What::ERROR))
}

#[track_caller]
fn expect_success(server: &TlsServer, client: &TlsClient, name: &str) {
    assert_eq!(errors(server, client, name), [None, None]);
}

/// Both sides fail, and their errors contain these words.
#[track_caller]
fn expect_failure(server: &TlsServer, client: &TlsClient, name: &str, words: [&str; 2]) {
    let [of_server, of_client] = errors(server, client, name).map(Option::unwrap);
    assert!(of_server.contains(words[0]), "server: {of_server}");
    assert!(of_client.contains(words[1]), "client: {of_client}");
}

fn build(server: TlsServerBuilder, client: TlsClientBuilder) -> (TlsServer, TlsClient) {
    (server.build().unwrap(), client.build().unwrap())
}

#[test]
fn a_server_of_another_authority_or_name_is_refused_unless_all_are_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server();
    let unknown = "the authority that issued it";
    expect_failure(&server, &other.client(), "localhost", ["alert", unknown]);
    let name = "connect by a name that the certificate has";
    expect_failure(&server, &authority.client(), "example.org", ["alert", name]);
    expect_failure(&server, &authority.client(), "127.0.0.1", ["alert", name]);
    let trusting = TlsClient::builder(other.roots()).dangerous_trust_every_server();
    expect_success(&server, &trusting.build().unwrap(), "example.org");
}

#[test]
fn a_certificate_for_an_address_is_accepted_for_it() {
    let authority = Authority::new();
    let server = TlsServer::builder(authority.identity(&["127.0.0.1"])).build().unwrap();
    expect_success(&server, &authority.client(), "127.0.0.1");
}

#[test]
fn an_expired_certificate_is_loaded_and_refused_by_the_peer() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2001, 1, 1);
    params.not_before = date_time_ymd(2000, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let server = TlsServer::builder(identity).build().unwrap();
    let client = TlsClient::builder(TrustRoots::from_pem(pem.as_bytes()).unwrap());
    let renew = "renew the peer's certificate";
    expect_failure(&server, &client.build().unwrap(), "localhost", ["alert", renew]);
}

#[test]
fn the_server_shows_the_certificate_of_the_name_that_the_client_asks_for() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let names = ["localhost", "a.example.org", "*.example.org"];
        let [default, whole, wildcard] = names.map(|name| authority.issue(&[name]));
        let identity = |(certificate, key): &(String, String)| {
            Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
        };
        let server = TlsServer::builder(identity(&default))
            .identity_for("*.Example.org", identity(&wildcard))
            .identity_for("a.example.org", identity(&whole))
            .build()
            .unwrap();
        for (name, expected) in [
            ("localhost", &default),
            ("a.example.org", &whole),
            ("A.EXAMPLE.ORG", &whole),
            ("b.example.org", &wildcard),
        ] {
            let (near, far) = UnixStream::pair().unwrap();
            accept(bench, near, &server);
            let client = connect(bench, far, &authority.client(), name);
            bench.run_until_seen(Seen::Event(client, What::CONNECTED));
            let shown = bench.get(client).tls().unwrap().peer_certificates;
            let expected = CertificateDer::from_pem_slice(expected.0.as_bytes());
            assert!(shown[0] == expected.unwrap().as_ref(), "{name}");
        }
    });
}

#[test]
fn a_client_certificate_is_required_asked_for_or_not_wanted() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = || TlsServer::builder(authority.identity(&["localhost"]));
    let with = |identity| TlsClient::builder(authority.roots()).identity(identity);
    let without = || TlsClient::builder(authority.roots());
    for oldest_version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let server = || server().oldest_version(oldest_version);
        let required = server().require_client_certificate(clients.roots());
        let asked = server().ask_for_client_certificate(clients.roots());

        let (server, client) = build(required.clone(), with(clients.identity(&["me"])));
        let mut bench = bench();
        let ends = connected(&mut bench, &server, &client);
        assert_eq!(bench.get(ends[0]).tls().unwrap().peer_certificates.len(), 1);

        let (server, client) = build(required.clone(), without());
        let words = ["give the peer a certificate", "configure a client certificate"];
        expect_failure(&server, &client, "localhost", words);

        let (server, client) = build(required, with(others.identity(&["me"])));
        expect_failure(&server, &client, "localhost", ["the authority that issued it", "alert"]);

        let (server, client) = build(asked.clone(), without());
        expect_success(&server, &client, "localhost");

        let (server, client) = build(asked, with(others.identity(&["me"])));
        expect_failure(&server, &client, "localhost", ["the authority that issued it", "alert"]);
    }
}

#[test]
fn without_an_application_protocol_in_common_both_sides_fail_and_without_an_offer_none_does() {
    let authority = Authority::new();
    let server = || TlsServer::builder(authority.identity(&["localhost"])).alpn(["a"]);
    let client = || TlsClient::builder(authority.roots());
    let (with, other) = build(server(), client().alpn(["b"]));
    let words = ["offer an ALPN protocol", "offer an ALPN protocol"];
    expect_failure(&with, &other, "localhost", words);
    let (with, no_offer) = build(server(), client());
    expect_success(&with, &no_offer, "localhost");
}

#[test]
fn key_and_certificate_that_do_not_belong_together_are_refused_with_their_files() {
    let authority = Authority::new();
    let folder = test_needs::folder();
    let path = |name: &str| folder.path().join(name);
    let (certificate, key) = authority.issue(&["localhost"]);
    let (_, other_key) = authority.issue(&["localhost"]);
    for (name, text) in [("a.pem", &certificate), ("a.key", &key), ("b.key", &other_key)] {
        fs::write(path(name), text).unwrap();
    }
    fs::write(path("both.pem"), format!("{key}{certificate}")).unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("broken"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    Identity::from_files(path("a.pem"), path("a.key")).unwrap();
    Identity::from_files(path("both.pem"), path("both.pem")).unwrap();
    for (certificate, key, words) in [
        ("a.pem", "b.key", "do not belong together"),
        ("empty", "a.key", "needs a PEM section CERTIFICATE"),
        ("a.key", "a.key", "needs a PEM section CERTIFICATE"),
        ("a.pem", "empty", "needs a PEM section PRIVATE KEY"),
        ("a.pem", "a.pem", "needs a PEM section PRIVATE KEY"),
        ("broken", "a.key", "convert the file to PEM"),
        ("absent", "a.key", "check the path"),
        ("a.pem", "absent", "check the path"),
    ] {
        let error = Identity::from_files(path(certificate), path(key)).unwrap_err().to_string();
        assert!(error.contains(words), "{certificate} {key}: {error}");
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
    assert!(matches!(TrustRoots::from_file(path("empty")), Err(TlsError::NoCertificate { .. })));
    assert!(matches!(TrustRoots::from_pem(b"x"), Err(TlsError::NoCertificate { .. })));
}

#[test]
fn all_kinds_of_keys_can_be_used() {
    let authority = Authority::new();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let server = TlsServer::builder(identity).build().unwrap();
    let client = TlsClient::builder(TrustRoots::from_pem(pem.as_bytes()).unwrap());
    expect_success(&server, &client.build().unwrap(), "localhost");
    expect_success(&authority.server(), &authority.client(), "localhost");
}

#[test]
fn settings_that_cannot_work_are_refused_when_they_are_made() {
    let authority = Authority::new();
    let server = || TlsServer::builder(authority.identity(&["localhost"]));
    let identity = || authority.identity(&["localhost"]);
    let mismatch = server().identity_for("example.org", identity()).build();
    assert!(matches!(mismatch, Err(TlsError::NameMismatch { .. })), "{mismatch:?}");
    for name in ["", "*", "a b", "*.*.org"] {
        let bad = server().identity_for(name, identity()).build();
        assert!(matches!(bad, Err(TlsError::BadName { .. })), "{name:?}: {bad:?}");
    }
    for name in [String::new(), "x".repeat(256)] {
        let bad = server().alpn([name]).build();
        assert!(matches!(bad, Err(TlsError::BadAlpn { .. })), "{bad:?}");
    }
}
