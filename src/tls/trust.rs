//! The authorities whose certificates a side trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::error::TlsError;
use super::identity::Pem;

/// The certificates of trusted authorities.
#[derive(Clone, Debug)]
pub struct TrustRoots {
    pub(super) store: Arc<RootCertStore>,
}

impl TrustRoots {
    /// Those that the system trusts: its bundle, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    /// Certificates among them that cannot be used are skipped.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoSystemRoots`] if there are none.
    pub fn system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let first = found.errors.first();
            let reason = first.map_or("there are none".to_owned(), ToString::to_string);
            return Err(TlsError::NoSystemRoots { reason });
        }
        Ok(Self { store: Arc::new(store) })
    }

    /// All certificates of a PEM file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has no certificate, or has one that cannot be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::new(&Pem::read(path.as_ref())?)
    }

    /// As [`from_file`](Self::from_file), with the contents of the file.
    ///
    /// # Errors
    ///
    /// As `from_file`.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, TlsError> {
        let place = "the trusted certificates".to_owned();
        Self::new(&Pem { place, bytes: certificates.to_vec() })
    }

    fn new(pem: &Pem) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in pem.certificates()? {
            let certificate: CertificateDer<'static> = certificate;
            store.add(certificate).map_err(|error| TlsError::BadCertificate {
                place: pem.place.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(Self { store: Arc::new(store) })
    }
}
