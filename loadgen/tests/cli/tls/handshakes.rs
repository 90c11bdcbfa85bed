//! Handshakes that succeed: versions, names, certificates of clients, ALPN, resumption.

use std::sync::atomic::Ordering;

use rustls::version::{TLS12, TLS13};
use serde_json::Value;

use super::authority::Authority;
use super::peer::{echo, echo_some, serve};
use crate::program::*;

/// What all handshakes of a run agreed on.
#[track_caller]
fn negotiated(record: &Value) -> &Value {
    let all = record["tls"]["negotiated"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    &all[0]
}

#[test]
fn either_version_is_spoken_and_the_record_says_which_and_how_long_the_handshakes_took() {
    let authority = Authority::new();
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let server = echo(authority.server_of(version));
        let finished = load(&server, &format!("-c 3 {}", authority.trust()));
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        assert_eq!(negotiated(&record)["version"], name);
        assert_eq!(
            (&negotiated(&record)["handshakes"], &record["tls"]["full_handshakes"]),
            (&3.into(), &3.into())
        );
        let suite = negotiated(&record)["cipher_suite"].as_str().unwrap();
        assert!(suite.starts_with("TLS_") && suite.contains("AES_256_GCM"), "{suite}");
        for distribution in ["connect", "handshake"] {
            assert_eq!(record["latency_ns"][distribution]["count"], 3, "{distribution}");
        }
        assert!(record["latency_ns"]["handshake"]["min"].as_u64() > Some(50_000), "{record}");
        assert_eq!(record["args"]["tls"]["verified"], true);
        assert!(finished.stderr.contains("its certificate was verified"), "{}", finished.stderr);
    }
}

#[test]
fn a_server_without_the_lowest_version_is_refused() {
    let authority = Authority::new();
    let server = echo(authority.server_of(&TLS12));
    let finished = load(&server, &format!("--tls-min-version 1.3 {}", authority.trust()));
    expect_one_line(&finished, 1, "TLS handshake with 127.0.0.1:");
    assert!(finished.stderr.contains("see --tls-min-version"), "{finished:?}");
}

#[test]
fn the_server_has_the_name_of_the_flag() {
    let authority = Authority::new();
    let config = authority.server_with(authority.params(&["a.example"]), rustls::ALL_VERSIONS);
    let (server, _) = serve(config, |mut client, _| {
        assert_eq!(client.conn.server_name(), Some("a.example"));
        while echo_some(&mut client) > 0 {}
    });
    let trust = authority.trust();
    expect_no_errors(&load(&server, &format!("-c 2 --tls-sni a.example {trust}")));
    let finished = load(&server, &format!("-c 2 {trust}"));
    expect_one_line(&finished, 1, "certificate not valid for name");
    assert!(finished.stderr.contains("with --tls-sni NAME"), "{finished:?}");
}

#[test]
fn a_client_with_a_certificate_is_accepted_where_one_is_required() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let server = echo(authority.strict_server(version));
        let flags = format!("-c 2 {} {}", authority.trust(), authority.client());
        let finished = load(&server, &flags);
        expect_no_errors(&finished);
        let certificate = finished.json()["args"]["tls"]["client_certificate"].clone();
        assert!(certificate.as_str().unwrap().ends_with("client.pem"), "{certificate}");
    }
}

#[test]
fn without_verification_any_certificate_does_and_the_report_says_so() {
    let authority = Authority::new();
    let config = authority.server_with(authority.expired(), rustls::ALL_VERSIONS);
    let finished = load(&echo(config), "-c 2 --tls --tls-insecure");
    expect_no_errors(&finished);
    assert_eq!(finished.json()["args"]["tls"]["verified"], false);
    assert!(finished.stderr.contains("NOT verified (--tls-insecure)"), "{}", finished.stderr);
}

#[test]
fn the_protocol_that_the_server_chooses_is_in_the_record() {
    let authority = Authority::new();
    let mut config = authority.server();
    config.alpn_protocols = vec![b"echo/2".to_vec(), b"echo/1".to_vec()];
    let server = echo(config);
    let finished = load(&server, &format!("-c 2 --tls-alpn echo/3,echo/1 {}", authority.trust()));
    expect_no_errors(&finished);
    assert_eq!(negotiated(&finished.json())["alpn"], "echo/1");
    let finished = load(&server, &format!("-c 2 {}", authority.trust()));
    assert_eq!(negotiated(&finished.json())["alpn"], Value::Null);
}

/// Full and resumed handshakes of a run, as the record and as the server counted them.
#[track_caller]
fn resumption(version: &'static rustls::SupportedProtocolVersion, share: &str) -> (u64, u64) {
    let authority = Authority::new();
    let (server, counts) =
        serve(authority.server_of(version), |mut client, _| while echo_some(&mut client) > 0 {});
    let flags =
        format!("-c 4 --churn 2 --duration 1s --tls-resumption {share} {}", authority.trust());
    let finished = load(&server, &flags);
    expect_no_errors(&finished);
    let tls = &finished.json()["tls"];
    let counted = |name: &str| tls[name].as_u64().unwrap();
    let (full, resumed) = (counted("full_handshakes"), counted("resumed_handshakes"));
    let of_server = || (counts.full.load(Ordering::SeqCst), counts.resumed.load(Ordering::SeqCst));
    // The server's threads may count the last ones after the client has, or alone.
    until(|| of_server().0 >= full && of_server().1 >= resumed);
    let more = of_server().0 + of_server().1 - full - resumed;
    assert!(more <= 4, "{:?} by the server, {full} and {resumed} by the client", of_server());
    (full, resumed)
}

#[test]
fn a_connection_resumes_its_session_unless_it_must_not() {
    for version in [&TLS12, &TLS13] {
        let (full, resumed) = resumption(version, "on");
        assert_eq!(full, 4, "the first of each connection");
        assert!(resumed > 20, "{resumed}");
        let (full, resumed) = resumption(version, "off");
        assert!(full > 20 && resumed == 0, "{full} {resumed}");
        let (full, resumed) = resumption(version, "0.5");
        let share = resumed as f64 / (full + resumed) as f64;
        assert!((0.3..0.7).contains(&share), "{full} {resumed}");
    }
}
