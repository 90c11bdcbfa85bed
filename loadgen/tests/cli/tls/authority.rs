//! Certificates and keys, made for each test.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use test_certificates::Issued;

/// An authority, and a folder for the files of those who need some.
pub(crate) struct Authority {
    authority: test_certificates::Authority,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = test_certificates::Authority::new();
        let folder = test_needs::folder();
        fs::write(folder.path().join("ca.pem"), authority.certificate.pem()).unwrap();
        Self { authority, folder }
    }

    /// The flags of a client that trusts it.
    pub(crate) fn trust(&self) -> String {
        format!("--tls --tls-ca {}", self.path("ca.pem"))
    }

    /// The flags of a client with a certificate of its own.
    pub(crate) fn client(&self) -> String {
        let (certificate, key) = self.files("client", self.params(&["client"]));
        format!("--tls-cert {certificate} --tls-key {key}")
    }

    /// The files of a server's certificate for 127.0.0.1, and of its key.
    pub(crate) fn server_files(&self) -> (String, String) {
        self.files("server", self.params(&["127.0.0.1"]))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self, name: &str, params: CertificateParams) -> (String, String) {
        let (certificate, key) = self.authority.issue_with(&params).pem();
        let paths = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        fs::write(&paths.0, certificate).unwrap();
        fs::write(&paths.1, key).unwrap();
        paths
    }

    pub(crate) fn params(&self, names: &[&str]) -> CertificateParams {
        let mut params = test_certificates::params(names);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    /// A certificate that was valid in 2020.
    pub(crate) fn expired(&self) -> CertificateParams {
        let mut params = self.params(&["127.0.0.1"]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 12, 31);
        params
    }

    /// A server for 127.0.0.1.
    pub(crate) fn server(&self) -> ServerConfig {
        self.server_with(self.params(&["127.0.0.1"]), rustls::ALL_VERSIONS)
    }

    /// A server for 127.0.0.1 that speaks one version only.
    pub(crate) fn server_of(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        self.server_with(self.params(&["127.0.0.1"]), &[version])
    }

    /// A server with this certificate.
    pub(crate) fn server_with(
        &self,
        params: CertificateParams,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let (certificate, key) = self.issue(params);
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let mut config =
            builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        config.ticketer = ring::Ticketer::new().unwrap();
        config
    }

    /// A server that accepts only clients with a certificate of this authority.
    pub(crate) fn strict_server(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .unwrap();
        let (certificate, key) = self.issue(self.params(&["127.0.0.1"]));
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap()
    }

    fn issue(
        &self,
        params: CertificateParams,
    ) -> (rustls::pki_types::CertificateDer<'static>, PrivateKeyDer<'static>) {
        let Issued { certificate, key } = self.authority.issue_with(&params);
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}
