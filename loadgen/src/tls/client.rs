//! TLS as all connections use it: the settings, and what their files contain.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, version};

use super::accept_any::AcceptAny;
use super::connector::Connector;
use super::files;
use super::settings::{MinVersion, TlsSettings};
use crate::error::Error;

/// TLS, ready for use. A copy shares the certificates.
#[derive(Debug, Clone)]
pub(crate) struct TlsClient {
    settings: TlsSettings,
    config: Arc<ClientConfig>,
}

/// The same settings are the same client.
impl PartialEq for TlsClient {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl TlsClient {
    /// Reads the files that the settings name.
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match settings.min_version {
            MinVersion::Tls12 => &[&version::TLS12, &version::TLS13],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("ring has cipher suites for both versions");
        let builder = if settings.is_verified {
            builder.with_root_certificates(files::trusted(settings.ca.as_deref())?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny::new(provider)))
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = files::certificates("--tls-cert", &identity.certificate)?;
                let key = files::key("--tls-key", &identity.key)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let complaint = format!(
                        "{error}; it must be the key of the first certificate in {} (--tls-cert)",
                        identity.certificate.display()
                    );
                    files::failed("--tls-key", &identity.key, complaint)
                })?
            }
        };
        config.alpn_protocols = settings.alpn.iter().map(|name| name.clone().into()).collect();
        Ok(Self { settings, config: Arc::new(config) })
    }

    /// What was requested.
    pub(crate) fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// Begins the handshakes of connection number `connection`.
    pub(crate) fn connector(&self, connection: u32, seed: u64) -> Connector {
        let share = self.settings.resumption.share();
        let name = self.settings.server_name.clone();
        Connector::new(&self.config, name, share, connection, seed)
    }
}
