//! The client's side: whom it trusts, and who it is.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, Connection, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::error::TlsError;
use super::facts::TlsVersion;
use super::identity::Identity;
use super::provider::{provider, versions_from};
use super::trust::TrustRoots;

/// How long a handshake may take by default: a few round trips over a bad network.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client needs for TLS; cheap to clone. Connections that share one resume each other's
/// sessions.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    handshake_timeout: Option<Duration>,
}

impl TlsClient {
    /// Begins one that trusts servers with a certificate of one of these authorities.
    #[must_use = "a builder makes nothing before build"]
    pub fn builder(roots: TrustRoots) -> TlsClientBuilder {
        TlsClientBuilder {
            trust: Trust::Roots(roots),
            identity: None,
            alpn: Vec::new(),
            oldest: TlsVersion::Tls12,
            resumes: true,
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        }
    }

    /// How long a handshake may take.
    #[must_use]
    pub fn handshake_timeout(&self) -> Option<Duration> {
        self.handshake_timeout
    }

    /// A connection with the server of this name.
    pub(crate) fn connection(&self, name: &str) -> Result<Connection, TlsError> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::BadName { name: name.to_owned() })?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        connection.map(Connection::from).map_err(TlsError::settings)
    }
}

/// Settings of a [`TlsClient`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing before build"]
pub struct TlsClientBuilder {
    trust: Trust,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    oldest: TlsVersion,
    resumes: bool,
    handshake_timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Trust {
    Roots(TrustRoots),
    Everyone,
}

impl TlsClientBuilder {
    /// Has a certificate for servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The application protocols (ALPN) that it offers, the preferred one first.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The oldest protocol version that it accepts; TLS 1.2 by default.
    pub fn oldest_version(mut self, oldest: TlsVersion) -> Self {
        self.oldest = oldest;
        self
    }

    /// Does a whole handshake on each connection. By default sessions of earlier connections to the
    /// same name are resumed.
    pub fn without_resumption(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// How long a handshake may take; ten seconds by default, `None` is forever.
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Trusts every server, whatever its certificate. So anyone between the two can read and change
    /// all bytes. This is for tests, and for peers that are verified by other means.
    pub fn dangerous_trust_every_server(mut self) -> Self {
        self.trust = Trust::Everyone;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`TlsError::BadAlpn`] and [`TlsError::Settings`].
    pub fn build(self) -> Result<TlsClient, TlsError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions_from(self.oldest))
            .map_err(TlsError::settings)?;
        let builder = match self.trust {
            Trust::Roots(roots) => builder.with_root_certificates(roots.store),
            Trust::Everyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustsEveryone { algorithms })),
        };
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Always(identity.key))),
        };
        config.alpn_protocols = alpn_protocols(self.alpn)?;
        if !self.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(TlsClient { config: Arc::new(config), handshake_timeout: self.handshake_timeout })
    }
}

/// Checks the names of application protocols.
pub(super) fn alpn_protocols(names: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, TlsError> {
    match names.iter().find(|name| !(1..=255).contains(&name.len())) {
        Some(bad) => Err(TlsError::BadAlpn { name: String::from_utf8_lossy(bad).into_owned() }),
        None => Ok(names),
    }
}

/// Has one certificate for every server that asks.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Verifies that the server has the key of its certificate, and nothing else.
#[derive(Debug)]
struct TrustsEveryone {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for TrustsEveryone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
