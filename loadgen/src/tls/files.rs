//! The files of TLS, all PEM: trusted certificates, the client's certificate and its key.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::plan_files;

/// The certificates that may have issued the server's: those of the file, or of the system.
pub(super) fn trusted(ca: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(Error::NoTrust { why });
        }
        return Ok(roots);
    };
    let failed = |complaint| failed("--tls-ca", path, complaint);
    for (position, certificate) in certificates("--tls-ca", path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            failed(format!("its certificate number {} cannot be used: {error}", position + 1))
        })?;
    }
    Ok(roots)
}

/// The certificates of a file; at least one.
pub(super) fn certificates(
    flag: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = plan_files::read(path).map_err(pem::Error::Io);
    let read = read.and_then(|bytes| CertificateDer::pem_slice_iter(&bytes).collect());
    let certificates: Vec<_> = read.map_err(|error| unreadable(flag, path, error))?;
    if certificates.is_empty() {
        let complaint = "it has no certificate; name a PEM file with -----BEGIN CERTIFICATE-----";
        return Err(failed(flag, path, complaint.to_owned()));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(super) fn key(flag: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let read = plan_files::read(path).map_err(pem::Error::Io);
    read.and_then(|bytes| PrivateKeyDer::from_pem_slice(&bytes)).map_err(|error| match error {
        pem::Error::NoItemsFound => failed(
            flag,
            path,
            "it has no private key that can be read; name a PEM file with a key that no password \
             protects (openssl pkey -in KEY -out PLAIN)"
                .to_owned(),
        ),
        error => unreadable(flag, path, error),
    })
}

fn unreadable(flag: &'static str, path: &Path, error: pem::Error) -> Error {
    let complaint = match error {
        pem::Error::Io(error) => format!("{error}; is the path right?"),
        error => format!("it is no PEM file: {error}; convert it with openssl"),
    };
    failed(flag, path, complaint)
}

/// The error of a file.
pub(super) fn failed(flag: &'static str, path: &Path, complaint: String) -> Error {
    Error::TlsFile { flag, path: path.to_owned(), complaint }
}
