//! Certificates for tests, made when they run. All functions panic if one cannot be made.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that issues certificates. It trusts no one, and each has a name of its own.
pub struct Authority {
    /// Its own certificate.
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key, an ECDSA key of P-256.
    pub key: KeyPair,
}

/// What a certificate for these host names and addresses has.
#[must_use]
pub fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap()
}

impl Authority {
    /// Makes one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two are different")]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut own = params(&[]);
        // A certificate names who issued it.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        own.distinguished_name.push(DnType::CommonName, name);
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { certificate: own.self_signed(&key).unwrap(), issuer: Issuer::new(own, key) }
    }

    /// Issues a certificate for these names, and makes its key.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(&params(names))
    }

    /// The same, with everything that the certificate has.
    #[must_use]
    pub fn issue_with(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        Issued { certificate: self.issue_for(params, &key), key }
    }

    /// The same, for this key.
    #[must_use]
    pub fn issue_for(&self, params: &CertificateParams, key: &KeyPair) -> Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }
}

impl Issued {
    /// The certificate and the key in PEM.
    #[must_use]
    pub fn pem(&self) -> (String, String) {
        (self.certificate.pem(), self.key.serialize_pem())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
