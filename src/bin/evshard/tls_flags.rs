//! The flags about TLS, and the certificates that they name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use evshard::tls::{Identity, TlsError, TlsServer, TlsVersion, TrustRoots};

use super::flag_values::{OrOff, deadline, or_off, tls_version};

/// For listeners with TLS.
#[derive(Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsFlags {
    /// Certificate for `--listen tls:ADDR`, a PEM file, with those that issued it behind it. Repeat
    /// it for several: a client gets the one for the host name that it asks for (SNI), else the
    /// first. SIGHUP and `evshard ctl reload` read the files again.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Vec<PathBuf>,

    /// Private key of the certificate, a PEM file without a passphrase. Repeat it in the order of
    /// --tls-cert [default: the keys are in the files of the certificates].
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Vec<PathBuf>,

    /// Let in only clients with a certificate of one of the authorities in this PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Oldest protocol version, 1.2 or 1.3.
    #[arg(long, value_name = "VERSION", default_value = "1.2", value_parser = tls_version())]
    tls_min_version: TlsVersion,

    /// Deadline for a TLS handshake, which begins after a PROXY header. No other deadline runs
    /// meanwhile: those of the first byte and of idleness begin when it is done.
    #[arg(long, value_name = "DURATION", default_value = "10s",
          value_parser = or_off(deadline))]
    tls_handshake_timeout: OrOff<Duration>,
}

impl TlsFlags {
    /// Why the flags do not fit together.
    pub(crate) fn conflict(&self) -> Option<String> {
        let (certificates, keys) = (self.tls_cert.len(), self.tls_key.len());
        (keys > 0 && keys != certificates).then(|| {
            format!(
                "--tls-key names {keys} and --tls-cert {certificates} of the files; give a key for \
                 each certificate, or none if the certificates' files have them"
            )
        })
    }

    /// Reads the certificates; `None` if the flags name none. An error names the flag.
    pub(crate) fn load(&self) -> Result<Option<TlsServer>, String> {
        let identities = self.tls_cert.iter().enumerate().map(|(index, certificate)| {
            let key = self.tls_key.get(index);
            Identity::from_files(certificate, key.unwrap_or(certificate)).map_err(|error| {
                match error {
                    error if is_about(&error, key) => format!("--tls-key: {error}"),
                    // Of a configuration file with a wrong `tls-key`, this is no second error.
                    TlsError::NoKey { .. } => {
                        format!("--tls-cert: {error}; or name the file of the key by --tls-key")
                    }
                    error => format!("--tls-cert: {error}"),
                }
            })
        });
        let identities = identities.collect::<Result<Vec<_>, _>>()?;
        let Some((first, others)) = identities.split_first() else { return Ok(None) };
        let mut builder = TlsServer::builder(first.clone());
        for identity in others {
            builder = builder.identity(identity.clone());
        }
        if let Some(path) = &self.tls_client_ca {
            let roots = TrustRoots::from_file(path);
            let roots = roots.map_err(|error| format!("--tls-client-ca: {error}"))?;
            builder = builder.require_client_certificate(roots);
        }
        let builder = builder
            .oldest_version(self.tls_min_version)
            .handshake_timeout(self.tls_handshake_timeout.0);
        builder.build().map(Some).map_err(|error| format!("--tls-cert: {error}"))
    }
}

/// Whether an error is about the file of a key.
fn is_about(error: &TlsError, key: Option<&PathBuf>) -> bool {
    let Some(key) = key else { return false };
    match error {
        TlsError::NoKey { .. }
        | TlsError::LockedKey { .. }
        | TlsError::BadKey { .. }
        | TlsError::KeyMismatch { .. } => true,
        TlsError::Read { path, .. } => path == key,
        TlsError::BadPem { place, .. } => Path::new(place) == key,
        _ => false,
    }
}
