//! Programs in the place of a coordinator, or between it and its agents.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use serde_json::{Value, json};

use super::dial_in::{Site, agent_of};
use super::file;
use crate::program::*;
use crate::servers::Server;

/// A nonce, as any coordinator may choose it.
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The end of a TLS stream that an agent has opened. The certificate is the imposter's own.
fn accept_tls(socket: TcpStream) -> impl Read + Write {
    let made = rcgen::generate_simple_self_signed(["loadgen-coordinator".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket)
}

/// A TLS stream to a coordinator, whose certificate is not verified.
fn connect_tls(address: &str) -> impl Read + Write {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let name = ServerName::try_from("loadgen-coordinator").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// The next line of a stream; empty at its end.
fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    let _ = stream.read_line(&mut line);
    line
}

/// Passes on the lines of agent and coordinator in turn, each in a TLS stream of its own. `last`
/// changes what the coordinator says at last.
fn relay(site: &Site, last: fn(proof: &Value, said: String) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, coordinator) = (listener.local_addr().unwrap(), site.address.clone());
    thread::spawn(move || {
        let mut agent = BufReader::new(accept_tls(listener.accept().unwrap().0));
        let mut coordinator = BufReader::new(connect_tls(&coordinator));
        let hello = line(&mut agent);
        coordinator.get_mut().write_all(hello.as_bytes()).unwrap();
        let challenge = line(&mut coordinator);
        agent.get_mut().write_all(challenge.as_bytes()).unwrap();
        let proof = line(&mut agent);
        coordinator.get_mut().write_all(proof.as_bytes()).unwrap();
        let proof: Value = serde_json::from_str(&proof).unwrap();
        let said = last(&proof["proof"]["proof"], line(&mut coordinator));
        agent.get_mut().write_all(said.as_bytes()).unwrap();
        line(&mut agent);
    });
    format!("tls://{address}")
}

#[test]
fn a_relay_with_a_certificate_of_its_own_passes_on_no_proof() {
    let site = Site::new("tls");
    let coordinator = site.coordinator(1, "--agents-timeout=15s");
    // The relay needs a coordinator that listens.
    until(|| TcpStream::connect(&site.address).is_ok());
    let refused = wait(agent_of(&relay(&site, |_, said| said), &site.token, ""));
    let said = "the token is wrong, or another program stands between it and the coordinator";
    expect_one_line(&refused, 1, &format!("the coordinator refuses this agent: {said}"));
    let right = site.agent(&site.token, "");
    let finished = wait(coordinator);
    expect_no_errors(&finished);
    assert!(finished.stderr.contains(&format!("is refused: {said}")), "{finished:?}");
    assert_eq!(wait(right).code, Some(0));
}

#[test]
fn a_relay_that_claims_to_be_the_coordinator_is_refused_by_the_agent() {
    let site = Site::new("tls");
    let mut coordinator = site.coordinator(1, "");
    until(|| TcpStream::connect(&site.address).is_ok());
    let accepted = |proof: &Value, _| format!("{}\n", json!({"accepted": {"proof": proof}}));
    let refused = wait(agent_of(&relay(&site, accepted), &site.token, ""));
    expect_one_line(&refused, 1, "it does not know the token of --token-file, so it is not");
    coordinator.kill().unwrap();
    coordinator.wait().unwrap();
}

#[test]
fn a_coordinator_that_does_not_know_the_token_is_refused_and_never_reads_it() {
    let folder = test_needs::folder();
    let token = file(folder.path(), "token", "a secret");
    for (sends_plan, said) in [
        (false, "it does not know the token of --token-file, so it is not the coordinator"),
        (true, "it said nothing about the proof of the token"),
    ] {
        let read = Arc::<Mutex<String>>::default();
        let everything = Arc::clone(&read);
        let imposter = Server::start(move |client| {
            let mut client = BufReader::new(client.into_stream());
            let mut say = |message: Value, after: &str| {
                *everything.lock().unwrap() += after;
                client.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
                line(&mut client)
            };
            let proof = say(json!({"challenge": {"nonce": NONCE}}), "");
            let answer = match sends_plan {
                true => json!({"plan": {"words": ["run"], "files": [], "rank": 0, "agents": 1}}),
                false => json!({"accepted": {"proof": NONCE}}),
            };
            say(answer, &proof);
        });
        let refused = wait(agent_of(&imposter.address(), &token, ""));
        expect_one_line(&refused, 1, said);
        let read = read.lock().unwrap();
        assert!(read.contains("hello") && !read.contains("secret"), "{read}");
    }
}

#[test]
fn an_agent_that_dials_an_echo_server_says_nothing_secret_and_says_that_it_is_no_coordinator() {
    let folder = test_needs::folder();
    let token = file(folder.path(), "token", "a secret");
    let echo = Server::echo();
    let finished = wait(agent_of(&echo.address(), &token, ""));
    expect_one_line(&finished, 1, "is no message of loadgen");
    assert!(finished.stderr.contains("does a coordinator listen there?"), "{finished:?}");
    assert!(!finished.stderr.contains("secret"), "{finished:?}");
}
