//! Certificates, names, and what a service learns of a handshake.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use evshard::server::{Connection, ServerConfig, Service};
use evshard::tls::{TlsFacts, TlsVersion};
use rcgen::KeyPair;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ProtocolVersion, SignatureScheme, SupportedProtocolVersion};

use crate::clients::{
    Authority, Client, Site, VERSIONS, all_configs, any_config, client_on, der, echo, handshake,
    identity, socket_to, tcp_address,
};
use crate::common::{TEST_TIMEOUT, eventually, read};

/// Echoes, and reports the listener and the TLS of each connection.
#[derive(Clone)]
struct Reports(Sender<(usize, Option<TlsFacts>)>);

impl Reports {
    fn new() -> (Self, Receiver<(usize, Option<TlsFacts>)>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }
}

impl Service for Reports {
    type Session = ();
    type Message = ();

    fn open(&mut self, connection: &mut Connection<'_, Self>) {
        self.0.send((connection.listener().unwrap(), connection.tls())).unwrap();
    }

    fn receive(
        &mut self,
        (): &mut (),
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        connection.send(input);
        input.len()
    }
}

#[test]
fn a_service_learns_all_facts_of_a_handshake_and_none_on_a_plain_listener() {
    for config in all_configs() {
        let (authority, clients) = (Authority::new(), Authority::new());
        let server = authority.server().alpn(["echo/2", "echo/1"]);
        let server = server.ask_for_client_certificate(clients.roots());
        let listen = ["127.0.0.1:0", "tls:127.0.0.1:0"].map(|listen| listen.parse().unwrap());
        let tls = Some(server.build().unwrap());
        let config = ServerConfig { listen: listen.into(), tls, ..config };
        let (service, reports) = Reports::new();
        let site = Site::of(authority, config, service);
        let own = clients.issue(&["me"]);
        for version in VERSIONS {
            let mut tls = with_certificate(&site.authority, version, &own);
            tls.alpn_protocols = vec![b"other".to_vec(), b"echo/1".to_vec()];
            let socket = socket_to(tcp_address(&site.server, 1), None);
            let mut client = client_on(socket, &tls.into(), "localhost");
            echo(&mut client, b"x");
            let (listener, facts) = reports.recv_timeout(TEST_TIMEOUT).unwrap();
            let facts = facts.unwrap();
            let suite = client.conn.negotiated_cipher_suite().unwrap();
            let expected = match suite.version().version {
                ProtocolVersion::TLSv1_2 => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            };
            assert_eq!((listener, facts.version), (1, expected));
            let rustls_name = suite.suite().as_str().unwrap();
            assert_eq!(facts.cipher_suite, rustls_name.replace("TLS13_", "TLS_"));
            assert_eq!(facts.server_name.as_deref(), Some("localhost"));
            assert_eq!(facts.alpn.as_deref(), Some(&b"echo/1"[..]));
            assert_eq!(facts.peer_certificates, [der(&own.0).to_vec()]);
            assert!(!facts.is_resumed);
        }
        // One without anything.
        let mut bare = site.authority.client(&VERSIONS);
        bare.enable_sni = false;
        let socket = socket_to(tcp_address(&site.server, 1), None);
        echo(&mut client_on(socket, &bare.into(), "localhost"), b"x");
        let (_, facts) = reports.recv_timeout(TEST_TIMEOUT).unwrap();
        let facts = facts.unwrap();
        assert_eq!((facts.server_name, facts.alpn, facts.peer_certificates), (None, None, vec![]));
        let _plain = site.socket();
        assert_eq!(reports.recv_timeout(TEST_TIMEOUT).unwrap(), (0, None));
    }
}

/// A client of one version with a certificate.
fn with_certificate(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    (certificate, key): &(String, String),
) -> ClientConfig {
    let (builder, roots) = authority.client_builder(&[version]);
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let builder = builder.with_root_certificates(roots);
    builder.with_client_auth_cert(vec![der(certificate)], key).unwrap()
}

fn leaf(client: &Client) -> &[u8] {
    client.conn.peer_certificates().unwrap()[0].as_ref()
}

#[test]
fn a_name_has_its_certificate_also_by_a_wildcard_and_others_have_the_default() {
    let authority = Authority::new();
    let names = [&["localhost", "other.test"][..], &["a.example.org"], &["*.example.org"]];
    let [default, whole, wildcard] = names.map(|names| authority.issue(names));
    let server = evshard::tls::TlsServer::builder(identity(&default))
        .identity(identity(&wildcard))
        .identity(identity(&whole));
    let config = ServerConfig { tls: Some(server.build().unwrap()), ..any_config() };
    let site = Site::of(authority, config, evshard::server::Echo);
    for version in VERSIONS {
        let mut tls = site.authority.client(&[version]);
        for (name, sni, expected) in [
            ("localhost", true, &default),
            ("a.example.org", true, &whole),
            ("A.Example.ORG", true, &whole),
            ("b.example.org", true, &wildcard),
            ("other.test", true, &default),
            ("localhost", false, &default),
        ] {
            tls.enable_sni = sni;
            let mut client = client_on(site.socket(), &tls.clone().into(), name);
            handshake(&mut client);
            assert!(leaf(&client) == der(&expected.0).as_ref(), "{name}, SNI {sni}");
            echo(&mut client, b"x");
        }
        // No wildcard has this one. The client refuses what it gets instead.
        let mut client = client_on(site.socket(), &tls.clone().into(), "a.b.example.org");
        let refused = client.conn.complete_io(&mut client.sock).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");
    }
    eventually("the two alerts have come", || {
        site.server.stats().total().handshakes.errors.alert == 2
    });
}

/// A client that can verify signatures of these schemes only.
fn that_verifies(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    wanted: impl Fn(SignatureScheme) -> bool,
) -> ClientConfig {
    let mut provider = rustls::crypto::ring::default_provider();
    let WebPkiSupportedAlgorithms { all, mapping } = provider.signature_verification_algorithms;
    let mapping: Vec<_> = mapping.iter().filter(|(scheme, _)| wanted(*scheme)).copied().collect();
    // For the life of this process, because the provider has them as static.
    let mapping = Vec::leak(mapping);
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms { all, mapping };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(&authority.pem)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[test]
fn of_two_keys_for_one_name_a_client_gets_one_that_it_can_verify() {
    let authority = Authority::new();
    let rsa_key = KeyPair::from_pem(include_str!("rsa.key")).unwrap();
    let rsa = (authority.issue_for(&["localhost"], &rsa_key), rsa_key.serialize_pem());
    let ecdsa = authority.issue(&["localhost"]);
    let is_rsa =
        |scheme: SignatureScheme| scheme.as_str().is_some_and(|name| name.starts_with("RSA_"));
    for [first, second] in [[&rsa, &ecdsa], [&ecdsa, &rsa]] {
        let server = evshard::tls::TlsServer::builder(identity(first)).identity(identity(second));
        let config = ServerConfig { tls: Some(server.build().unwrap()), ..any_config() };
        let (service, _reports) = Reports::new();
        let server = evshard::server::Server::start(&config, service).unwrap();
        let address = tcp_address(&server, 0);
        for version in VERSIONS {
            for (tls, expected) in [
                (that_verifies(&authority, version, is_rsa), &rsa),
                (that_verifies(&authority, version, |scheme| !is_rsa(scheme)), &ecdsa),
                (that_verifies(&authority, version, |_| true), first),
            ] {
                let socket = socket_to(address, None);
                let mut client = client_on(socket, &tls.into(), "localhost");
                handshake(&mut client);
                assert!(leaf(&client) == der(&expected.0).as_ref());
                echo(&mut client, b"x");
            }
        }
    }
}

#[test]
fn a_required_client_certificate_lets_in_who_has_one_of_its_authority_and_no_one_else() {
    for config in all_configs() {
        let clients = Authority::new();
        let (service, reports) = Reports::new();
        let set = |server: evshard::tls::TlsServerBuilder| {
            server.require_client_certificate(clients.roots())
        };
        let site = Site::start_with(config, service, set);
        for version in VERSIONS {
            let own = clients.issue(&["me"]);
            let tls = with_certificate(&site.authority, version, &own).into();
            echo(&mut site.connect_with(&tls), b"let in");
            let (_, facts) = reports.recv_timeout(TEST_TIMEOUT).unwrap();
            assert_eq!(facts.unwrap().peer_certificates, [der(&own.0).to_vec()]);

            let strange = Authority::new().issue(&["me"]);
            let before = site.server.stats().total();
            for (refused, tls) in (1..).zip([
                site.authority.client(&[version]),
                with_certificate(&site.authority, version, &strange),
            ]) {
                let mut client = client_on(site.socket(), &tls.into(), "localhost");
                // With TLS 1.3 the client learns it after its handshake.
                let error = read(&mut client, &mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "it gets an alert: {error}");
                let total = site.server.stats().total();
                let errors = total.handshakes.errors;
                assert_eq!(errors.certificate, before.handshakes.errors.certificate + refused);
                assert_eq!(total.errors.handshake, before.errors.handshake + refused);
            }
        }
        // The service has not seen them.
        assert!(reports.try_recv().is_err());
        assert_eq!(site.server.stats().total().handshakes.done, 2);
    }
}

#[test]
fn a_client_gets_the_first_protocol_of_the_server_that_it_offers_or_is_refused() {
    let (service, reports) = Reports::new();
    let set = |server: evshard::tls::TlsServerBuilder| server.alpn(["b", "a"]);
    let site = Site::start_with(any_config(), service, set);
    for version in VERSIONS {
        let mut tls = site.authority.client(&[version]);
        for (offered, expected) in
            [(&["a", "b"][..], Some("b")), (&["c", "a"], Some("a")), (&[], None)]
        {
            tls.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let mut client = site.connect_with(&tls.clone().into());
            echo(&mut client, b"x");
            assert_eq!(client.conn.alpn_protocol(), expected.map(str::as_bytes));
            let (_, facts) = reports.recv_timeout(TEST_TIMEOUT).unwrap();
            assert_eq!(facts.unwrap().alpn.as_deref(), expected.map(str::as_bytes));
        }
        tls.alpn_protocols = vec![b"c".to_vec()];
        let before = site.server.stats().total().handshakes.errors.alpn;
        let mut client = client_on(site.socket(), &tls.into(), "localhost");
        assert_eq!(read(&mut client, &mut [0]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(site.server.stats().total().handshakes.errors.alpn, before + 1);
    }
}
