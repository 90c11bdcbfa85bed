//! The other great implementation of TLS, as a server.

use std::fs;

use test_needs::Need;

use super::authority::Authority;
use crate::program::*;

/// `openssl s_server` that reverses lines, at the target of the loader.
fn server(authority: &Authority, flags: &str) -> String {
    let (certificate, key) = authority.server_files();
    format!("openssl s_server -accept {{addr}} -cert {certificate} -key {key} -rev -quiet {flags}")
}

/// A short run against a server that the loader starts.
#[track_caller]
fn load_started(command: &str, flags: &str) -> Finished {
    let address = unused_address();
    // A line that is reversed has the same length.
    let short = "--protocol line --verify length -c 1 --duration 200ms --warmup 0s --json -";
    let words = ["run", &address, "--server-cmd", command];
    let words = words.into_iter().chain(short.split(' ')).chain(flags.split_whitespace());
    loadgen(&words.collect::<Vec<_>>())
}

#[test]
fn a_server_of_openssl_is_started_and_loaded_in_either_version() {
    if test_needs::missing(Need::Program("openssl")) {
        return;
    }
    let authority = Authority::new();
    for (flag, version) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let flags = format!("--churn 5 {}", authority.trust());
        let finished = load_started(&server(&authority, flag), &flags);
        expect_no_errors(&finished);
        let record = finished.json();
        expect_conserved(&record);
        assert_eq!(record["tls"]["negotiated"][0]["version"], version, "{record}");
        assert_eq!(record["tls"]["full_handshakes"], 1, "{record}");
        assert!(record["tls"]["resumed_handshakes"].as_u64() > Some(1), "{record}");
    }
}

#[test]
fn a_certificate_of_the_client_is_what_openssl_wants() {
    if test_needs::missing(Need::Program("openssl")) {
        return;
    }
    let authority = Authority::new();
    let command = server(&authority, &format!("-Verify 1 -CAfile {}", authority.path("ca.pem")));
    let flags = format!("{} {}", authority.trust(), authority.client());
    let finished = load_started(&command, &flags);
    expect_no_errors(&finished);
    let finished = load_started(&command, &authority.trust());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("CertificateRequired"), "{finished:?}");
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_is_measured() {
    let authority = Authority::new();
    let (certificate, key) = authority.server_files();
    let other = Authority::new().server_files();
    let text = authority.folder().join("text");
    fs::write(&text, "no certificate\n").unwrap();
    let text = text.to_str().unwrap();
    for (flags, said) in [
        ("--tls-ca /no/such.pem", "read /no/such.pem (--tls-ca): No such file".to_owned()),
        (&format!("--tls-ca {text}"), format!("read {text} (--tls-ca): it has no certificate")),
        (
            &format!("--tls-cert {text} --tls-key {key}"),
            format!("read {text} (--tls-cert): it has no certificate"),
        ),
        (
            &format!("--tls-cert {certificate} --tls-key {certificate}"),
            format!("read {certificate} (--tls-key): it has no private key"),
        ),
        (
            &format!("--tls-cert {certificate} --tls-key {}", other.1),
            format!("read {} (--tls-key): ", other.1),
        ),
    ] {
        let address = unused_address();
        let words = ["run", &address, "--tls"].into_iter().chain(flags.split(' '));
        expect_one_line(&loadgen(&words.collect::<Vec<_>>()), 1, &said);
    }
}
