//! A certificate chain and its private key, from PEM.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use webpki::EndEntityCert;

use super::error::TlsError;
use super::provider::provider;

/// Who a side is: its certificate, those that lead to a trusted authority, and its private key.
#[derive(Clone)]
pub struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// Where its certificates are from, for messages.
    pub(super) place: String,
}

impl Identity {
    /// Reads the certificate chain and the private key from two PEM files, which may be the same.
    ///
    /// The first certificate is the one of the key. Those that issued it follow. The key is in
    /// PKCS#8, PKCS#1 or SEC 1, without a passphrase. What else is in the files is skipped.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, lacks what it must have, or if the key does not belong to the
    /// certificate. Whether the certificate has expired is for the peer to judge.
    pub fn from_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        let chain = Pem::read(certificates)?;
        // One file is read once: it may be a pipe, or be replaced meanwhile.
        if key == certificates {
            Self::new(&chain, &chain)
        } else {
            Self::new(&chain, &Pem::read(key)?)
        }
    }

    /// As [`from_files`](Self::from_files), with the contents of the files.
    ///
    /// # Errors
    ///
    /// As `from_files`.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let pem = |bytes: &[u8], what: &str| Pem { place: what.into(), bytes: bytes.into() };
        Self::new(&pem(certificates, "the certificates"), &pem(key, "the key"))
    }

    /// The host names of its certificate, perhaps with a wildcard in place of the first label.
    pub(super) fn host_names(&self) -> Result<Vec<String>, TlsError> {
        let bad = |reason: String| TlsError::BadCertificate { place: self.place.clone(), reason };
        let der = self.key.end_entity_cert().map_err(|error| bad(error.to_string()))?;
        let certificate = EndEntityCert::try_from(der).map_err(|error| bad(error.to_string()))?;
        Ok(certificate.valid_dns_names().map(str::to_owned).collect())
    }

    fn new(certificates: &Pem, key: &Pem) -> Result<Self, TlsError> {
        let chain = certificates.certificates()?;
        let private_key = key.private_key()?;
        let place = || key.place.clone();
        let provider = provider();
        let signing_key = provider
            .key_provider
            .load_private_key(private_key)
            .map_err(|error| TlsError::BadKey { place: place(), reason: error.to_string() })?;
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            // Not all keys of ring can be compared, but all that it loads can be used.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { key: Arc::new(certified), place: certificates.place.clone() })
            }
            Err(Error::InconsistentKeys(_)) => {
                let certificate = certificates.place.clone();
                Err(TlsError::KeyMismatch { certificate, key: place() })
            }
            Err(error) => {
                let place = certificates.place.clone();
                Err(TlsError::BadCertificate { place, reason: error.to_string() })
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.place).finish()
    }
}

/// The largest file that is read. The authorities that a system trusts need some 250 KiB.
const FILE_BYTES_MAX: usize = 16 << 20;

/// What a private key with a passphrase has: by PKCS#8, and by the older form of OpenSSL.
const LOCKED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// PEM text, and where it is from.
pub(super) struct Pem {
    pub(super) place: String,
    pub(super) bytes: Vec<u8>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let bytes =
            read_bytes(path).map_err(|source| TlsError::Read { path: path.into(), source })?;
        Ok(Self { place: path.display().to_string(), bytes })
    }

    /// All its certificates, of which there is at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let all = all.map_err(|error| self.bad(&error))?;
        if all.is_empty() {
            return Err(TlsError::NoCertificate { place: self.place.clone() });
        }
        Ok(all)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            _ if LOCKED.iter().any(|mark| self.contains(mark)) => {
                TlsError::LockedKey { place: self.place.clone() }
            }
            pem::Error::NoItemsFound => TlsError::NoKey { place: self.place.clone() },
            error => self.bad(&error),
        })
    }

    fn contains(&self, mark: &[u8]) -> bool {
        self.bytes.windows(mark.len()).any(|part| part == mark)
    }

    fn bad(&self, error: &pem::Error) -> TlsError {
        let reason = match error {
            pem::Error::MissingSectionEnd { end_marker } => {
                let section = String::from_utf8_lossy(end_marker);
                format!("its section {} has no end", section.escape_debug())
            }
            pem::Error::IllegalSectionStart { line } => {
                let line = String::from_utf8_lossy(line);
                format!("its line {:?} is no start of a section", line.trim_end())
            }
            other => other.to_string(),
        };
        TlsError::BadPem { place: self.place.clone(), reason }
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    // To open it would wait for a writer. A pipe without a name, as of a shell's <(…), has one.
    let is_pipe = fs::metadata(path)?.file_type().is_fifo();
    if is_pipe && fs::canonicalize(path).is_ok() {
        return Err(io::Error::other("it is a named pipe"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}
