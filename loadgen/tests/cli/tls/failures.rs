//! Handshakes that fail, and streams that end badly.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use super::authority::Authority;
use super::peer::{close, echo, echo_some, handshake, serve};
use crate::program::*;
use crate::servers::Server;

#[test]
fn a_server_that_is_not_verified_ends_the_run_before_it_begins_with_the_reason_and_a_remedy() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = |params| echo(authority.server_with(params, rustls::ALL_VERSIONS));
    for (server, trust, said, remedy) in [
        (echo(authority.server()), other.trust(), "UnknownIssuer", "with --tls-ca FILE"),
        (server(authority.expired()), authority.trust(), "expired", "renew it"),
        (
            server(authority.params(&["10.9.9.9"])),
            authority.trust(),
            "certificate not valid for name",
            "with --tls-sni NAME",
        ),
    ] {
        let finished = load(&server, &trust);
        expect_one_line(&finished, 1, said);
        assert!(finished.stderr.contains("TLS handshake with 127.0.0.1:"), "{finished:?}");
        assert!(finished.stderr.contains(remedy), "{finished:?}");
    }
}

#[test]
fn a_missing_certificate_of_the_client_is_named_whenever_the_server_says_so() {
    let authority = Authority::new();
    let remedy = "the server wants a certificate of the client: --tls-cert FILE --tls-key FILE";
    // With TLS 1.2 the server says so in the handshake, ...
    let server = echo(authority.strict_server(&TLS12));
    let finished = load(&server, &authority.trust());
    expect_one_line(&finished, 1, "CertificateRequired");
    assert!(finished.stderr.contains(remedy), "{finished:?}");
    // ... and with TLS 1.3 after the client's end of it.
    let server = echo(authority.strict_server(&TLS13));
    // One connection is lost while the load goes on. Of several, each may be lost before all are
    // open.
    let finished = load(&server, &format!("-c 20 --timeout 500ms {}", authority.trust()));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    if finished.stdout.is_empty() {
        expect_one_line(&finished, 1, "open 20 connections to 127.0.0.1:");
        assert!(finished.stderr.contains("CertificateRequired"), "{finished:?}");
    }
    let finished = load(&server, &format!("-c 1 {}", authority.trust()));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert!(count(&record, "tls_errors") > 0, "{record}");
    let words = record["runs"][0]["first_other_error"].as_str().unwrap();
    assert!(words.contains("CertificateRequired") && words.ends_with(remedy), "{words}");
}

#[test]
fn a_protocol_that_the_server_lacks_is_an_alert_with_a_remedy() {
    let authority = Authority::new();
    let mut config = authority.server();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let finished = load(&echo(config), &format!("--tls-alpn http/1.1 {}", authority.trust()));
    expect_one_line(&finished, 1, "received fatal alert: NoApplicationProtocol");
    assert!(finished.stderr.contains("--tls-alpn NAME"), "{finished:?}");
}

#[test]
fn a_server_that_speaks_no_tls_is_found_out() {
    let closing = Server::start(|mut client| {
        client.read_some(4096);
    });
    let silent = Server::start(|mut client| client.swallow());
    let other = Server::start(|mut client| {
        client.read_some(1);
        client.write(b"-ERR unknown command\r\n");
        client.swallow();
    });
    for (server, said) in [
        (&closing, "the server closed the connection; does the server speak TLS there?"),
        (&silent, "no answer within the timeout; does the server speak TLS there?"),
        (&other, "does the server speak TLS there? Without --tls it is loaded in plain text"),
    ] {
        let finished = load(server, "-c 2 --tls --tls-insecure --timeout 300ms");
        expect_one_line(&finished, 1, said);
    }
}

#[test]
fn handshakes_that_fail_during_the_load_are_counted_by_cause_and_connections_go_on() {
    let authority = Authority::new();
    let config = Arc::new(authority.server());
    // Of eight connections the server fails three, each in another way.
    let server = Server::start(move |mut client| match client.number % 8 {
        3 => drop(client.read_some(1)),
        5 => {
            client.read_some(1);
            client.write(&[b'?'; 64]);
        }
        7 => client.swallow(),
        _ => {
            let Some(mut client) = handshake(&config, client.into_stream()) else { return };
            while echo_some(&mut client) > 0 {}
        }
    });
    let flags = format!("-c 1 --churn 3 --timeout 40ms --duration 1s {}", authority.trust());
    let finished = load(&server, &flags);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    let failures = record["tls"]["failures"].as_array().unwrap();
    for cause in ["closed", "not_tls", "timeout"] {
        let of_cause = failures.iter().find(|failed| failed["cause"] == cause);
        let of_cause = of_cause.unwrap_or_else(|| panic!("{cause} in {failures:?}"));
        assert!(of_cause["handshakes"].as_u64() > Some(0), "{of_cause}");
    }
    let all: u64 = failures.iter().map(|failed| failed["handshakes"].as_u64().unwrap()).sum();
    assert_eq!(
        (all, all),
        (count(&record, "handshake_failures"), count(&record, "connect_failures"))
    );
    assert!(count(&record, "measured") > 0, "{record}");
    let said = "TLS handshakes failed (the server did not answer in time), first: ";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
}

#[test]
fn an_end_without_an_announcement_is_no_end_in_order() {
    let authority = Authority::new();
    for is_announced in [true, false] {
        let (server, _) = serve(authority.server(), move |mut client, number| {
            for request in 0.. {
                if number == 0 && request == 5 {
                    if is_announced {
                        return close(client);
                    }
                    // Nothing is left unread that would make this a reset.
                    let _ = client.read(&mut [0; 64]);
                    let _ = client.sock.shutdown(Shutdown::Write);
                    return drop(client.sock.read(&mut [0; 64]));
                }
                if echo_some(&mut client) == 0 {
                    return;
                }
            }
        });
        let finished = load(&server, &format!("-c 2 {}", authority.trust()));
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let record = finished.json();
        expect_conserved(&record);
        let counts = (count(&record, "closed_by_server"), count(&record, "truncated"));
        assert_eq!(counts, if is_announced { (1, 0) } else { (0, 1) });
        assert_eq!(count(&record, "connects"), 3, "it was replaced");
        let said = "ended without an announcement (TLS close_notify)";
        assert_eq!(finished.stderr.contains(said), !is_announced, "{}", finished.stderr);
    }
}

#[test]
fn a_damaged_record_costs_its_connection_and_is_an_error_of_tls() {
    let authority = Authority::new();
    let (server, _) = serve(authority.server(), |mut client, number| {
        if number == 0 {
            // A record that no key has encrypted.
            let _ = client.read(&mut [0; 64]);
            let _ = client.sock.write_all(&[23, 3, 3, 0, 32]);
            let _ = client.sock.write_all(&[0; 32]);
        }
        while echo_some(&mut client) > 0 {}
    });
    let finished = load(&server, &format!("-c 2 {}", authority.trust()));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "tls_errors"), count(&record, "failed")), (1, 1));
    let words = record["runs"][0]["first_other_error"].as_str().unwrap();
    assert!(words.contains("cannot decrypt"), "{words}");
}

#[test]
fn a_slow_handshake_makes_requests_late_and_loses_none() {
    let authority = Authority::new();
    let config = Arc::new(authority.server());
    let server = Server::start(move |client| {
        let stream = client.into_stream();
        // The duration of the handshake is what is measured here, not what is waited for. It begins
        // before the client's first byte.
        stream.peek(&mut [0]).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let Some(mut client) = handshake(&config, stream) else { return };
        while echo_some(&mut client) > 0 {}
    });
    let flags = format!(
        "-c 1 --rate 1k --arrival constant --churn 50 --warmup 0s --duration 500ms {}",
        authority.trust()
    );
    let finished = load(&server, &flags);
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "scheduled"), count(&record, "completed")), (500, 500));
    let latency = |name: &str, value: &str| record["latency_ns"][name][value].as_u64().unwrap();
    assert!(latency("handshake", "min") >= 30_000_000, "{record}");
    // On a busy machine some of the ten take longer, so the shortest one is compared.
    assert!(latency("connect", "min") < 30_000_000, "{record}");
    assert!(latency("blocked", "max") >= 25_000_000, "{record}");
}
