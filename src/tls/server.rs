//! The server's side: its identities, and whom it lets in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::ring::Ticketer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Connection, ServerConfig, ServerConnection, SignatureScheme};
use rustls_pki_types::{DnsName, ServerName};

use super::client::HANDSHAKE_TIMEOUT;
use super::client::alpn_protocols;
use super::error::TlsError;
use super::facts::TlsVersion;
use super::identity::Identity;
use super::provider::{provider, versions_from};
use super::trust::TrustRoots;

/// Sessions that a server remembers for clients that do not take tickets.
const SESSIONS_MAX: usize = 1024;

/// What a server needs for TLS; cheap to clone. Connections keep the one they began with.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    handshake_timeout: Option<Duration>,
}

impl TlsServer {
    /// Begins one that has this identity for clients that ask for no name, and for names that no
    /// other identity has.
    #[must_use = "a builder makes nothing before build"]
    pub fn builder(identity: Identity) -> TlsServerBuilder {
        TlsServerBuilder {
            default: identity,
            others: Vec::new(),
            clients: None,
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

    /// A connection with a client.
    pub(crate) fn connection(&self) -> Result<Connection, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.config));
        connection.map(Connection::from).map_err(TlsError::settings)
    }
}

/// Settings of a [`TlsServer`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing before build"]
pub struct TlsServerBuilder {
    default: Identity,
    others: Vec<(Names, Identity)>,
    clients: Option<Clients>,
    alpn: Vec<Vec<u8>>,
    oldest: TlsVersion,
    resumes: bool,
    handshake_timeout: Option<Duration>,
}

/// The host names for which an identity is.
#[derive(Clone, Debug)]
enum Names {
    OfCertificate,
    Only(String),
}

/// The clients' certificates.
#[derive(Clone, Debug)]
struct Clients {
    roots: TrustRoots,
    must_have_one: bool,
}

impl TlsServerBuilder {
    /// Has this identity, too, for clients that ask for a host name of its certificate (SNI). A
    /// name without a wildcard comes before one with. If several identities have a name, a client
    /// gets the first whose key it can verify, so a server can have an ECDSA and an RSA key.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.others.push((Names::OfCertificate, identity));
        self
    }

    /// The same, for one host name alone, as `example.org` or `*.example.org`.
    pub fn identity_for(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.others.push((Names::Only(name.into()), identity));
        self
    }

    /// Lets in only clients with a certificate of one of these authorities.
    pub fn require_client_certificate(mut self, roots: TrustRoots) -> Self {
        self.clients = Some(Clients { roots, must_have_one: true });
        self
    }

    /// Asks clients for a certificate of one of these authorities, and lets in those without any,
    /// too. [`TlsFacts::peer_certificates`](super::TlsFacts::peer_certificates) is empty for them.
    pub fn ask_for_client_certificate(mut self, roots: TrustRoots) -> Self {
        self.clients = Some(Clients { roots, must_have_one: false });
        self
    }

    /// The application protocols (ALPN) that it has, the preferred one first. A client that offers
    /// only others is refused, and one that offers none is let in.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The oldest protocol version that it accepts; TLS 1.2 by default.
    pub fn oldest_version(mut self, oldest: TlsVersion) -> Self {
        self.oldest = oldest;
        self
    }

    /// Makes each client do a whole handshake. By default a client can resume its session: by a
    /// ticket, whose key changes every six hours, or by its session id.
    pub fn without_resumption(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// How long a handshake may take; ten seconds by default, `None` is forever.
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Makes the server.
    ///
    /// # Errors
    ///
    /// [`TlsError::NameMismatch`] and [`TlsError::BadName`] about a name of
    /// [`identity_for`](Self::identity_for), [`TlsError::BadAlpn`] and [`TlsError::Settings`].
    pub fn build(self) -> Result<TlsServer, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions_from(self.oldest))
            .map_err(TlsError::settings)?;
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(Clients { roots, must_have_one }) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.store, provider);
                let verifier =
                    if must_have_one { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(TlsError::settings)?)
            }
        };
        let identities = Identities::new(&self.default, &self.others)?;
        let mut config = builder.with_cert_resolver(Arc::new(identities));
        config.alpn_protocols = alpn_protocols(self.alpn)?;
        if self.resumes {
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
            config.ticketer = Ticketer::new().map_err(TlsError::settings)?;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(TlsServer { config: Arc::new(config), handshake_timeout: self.handshake_timeout })
    }
}

/// The identities by name, in lower case. That of a wildcard is by its part behind the `*`.
struct Identities {
    default: Arc<CertifiedKey>,
    whole: HashMap<String, Vec<Arc<CertifiedKey>>>,
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Identities {
    fn new(default: &Identity, others: &[(Names, Identity)]) -> Result<Self, TlsError> {
        let key = default.key.clone();
        let mut all = Self { default: key, whole: HashMap::new(), wildcard: HashMap::new() };
        // A wildcard of another identity must not take its names.
        for name in default.host_names()? {
            all.add(&name, default);
        }
        for (names, identity) in others {
            match names {
                Names::Only(name) => {
                    expect_for(name, identity)?;
                    all.add(name, identity);
                }
                Names::OfCertificate => all.add_all_names(identity)?,
            }
        }
        Ok(all)
    }

    fn add_all_names(&mut self, identity: &Identity) -> Result<(), TlsError> {
        let names = identity.host_names()?;
        if names.is_empty() {
            let reason = "it has no host name, so no client would get it".to_owned();
            return Err(TlsError::BadCertificate { place: identity.place.clone(), reason });
        }
        names.iter().for_each(|name| self.add(name, identity));
        Ok(())
    }

    fn add(&mut self, name: &str, identity: &Identity) {
        let lower = name.to_ascii_lowercase();
        let (names, key) = match lower.strip_prefix('*') {
            Some(rest) => (&mut self.wildcard, rest.to_owned()),
            None => (&mut self.whole, lower),
        };
        names.entry(key).or_default().push(identity.key.clone());
    }

    /// The identity for a host name, of which a client can verify signatures of these schemes.
    fn of(&self, name: &str, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let behind_first_label = name.find('.').map_or("", |dot| &name[dot..]);
        let named = self.whole.get(&name).or_else(|| self.wildcard.get(behind_first_label));
        let named = named.map_or(&[][..], |named| named);
        let verified = named.iter().find(|one| one.key.choose_scheme(schemes).is_some());
        verified.or(named.first()).unwrap_or(&self.default)
    }
}

/// Checks that an identity is for a host name, perhaps one with a wildcard.
fn expect_for(name: &str, identity: &Identity) -> Result<(), TlsError> {
    let lower = name.to_ascii_lowercase();
    let example = lower.strip_prefix("*.").map_or(lower.clone(), |rest| format!("any.{rest}"));
    let Ok(example) = DnsName::try_from(example) else {
        return Err(TlsError::BadName { name: name.to_owned() });
    };
    if is_for(&identity.key, &ServerName::DnsName(example)) {
        return Ok(());
    }
    Err(TlsError::NameMismatch { name: name.to_owned(), place: identity.place.clone() })
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.and_then(|certificate| verify_server_name(&certificate, name)).is_ok()
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of = |name| self.of(name, hello.signature_schemes());
        Some(Arc::clone(hello.server_name().map_or(&self.default, of)))
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.whole.keys().chain(self.wildcard.keys());
        f.debug_tuple("Identities").field(&names.collect::<Vec<_>>()).finish()
    }
}
