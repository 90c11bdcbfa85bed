//! TLS in the record: what was requested, and what the handshakes did.

use serde::{Deserialize, Serialize};

use crate::tls::{FailureCause, HandshakeFailure, Negotiated, TlsSettings};

/// TLS as requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TlsArgsRecord {
    /// The name that the server's certificate must have, and that is sent to the server (SNI).
    pub(crate) server_name: String,
    /// The file of the trusted certificates; nothing where those of the system are trusted.
    pub(crate) ca: Option<String>,
    /// The file of the client's certificate.
    pub(crate) client_certificate: Option<String>,
    /// The protocols that were offered (ALPN), the preferred one first.
    pub(crate) alpn: Vec<String>,
    /// Whether the server's certificate was verified.
    pub(crate) verified: bool,
    /// The share of the connects that may resume an earlier session: "on", "off" or a number.
    pub(crate) resumption: String,
    /// The lowest version that was offered: "1.2" or "1.3".
    pub(crate) min_version: String,
}

impl From<&TlsSettings> for TlsArgsRecord {
    fn from(settings: &TlsSettings) -> Self {
        let shown = |path: &std::path::PathBuf| path.display().to_string();
        Self {
            server_name: settings.server_name.to_str().into_owned(),
            ca: settings.ca.as_ref().map(shown),
            client_certificate: settings.identity.as_ref().map(|files| shown(&files.certificate)),
            alpn: settings.alpn.clone(),
            verified: settings.is_verified,
            resumption: settings.resumption.to_string(),
            min_version: settings.min_version.to_string(),
        }
    }
}

/// The TLS handshakes of a run, or of several, those before the load included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TlsRecord {
    /// Handshakes that agreed on new keys and verified the server's certificate.
    pub(crate) full_handshakes: u64,
    /// Handshakes that resumed an earlier session.
    pub(crate) resumed_handshakes: u64,
    /// What they agreed on, the most frequent first.
    pub(crate) negotiated: Vec<NegotiatedRecord>,
    /// The handshakes that failed during the load, by cause.
    pub(crate) failures: Vec<FailureRecord>,
}

/// Handshakes that agreed on the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NegotiatedRecord {
    /// "1.2" or "1.3".
    pub(crate) version: String,
    /// Its name in IANA's registry.
    pub(crate) cipher_suite: String,
    /// The protocol that the server chose; nothing where it chose none.
    pub(crate) alpn: Option<String>,
    pub(crate) handshakes: u64,
}

/// Handshakes that failed for the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureRecord {
    pub(crate) cause: FailureCause,
    pub(crate) handshakes: u64,
    /// What the server, the library or the kernel said of the first of them.
    pub(crate) first: String,
}

impl TlsRecord {
    /// Adds a handshake.
    pub(crate) fn add(&mut self, negotiated: Negotiated) {
        match negotiated.is_resumed {
            true => self.resumed_handshakes += 1,
            false => self.full_handshakes += 1,
        }
        self.add_negotiated(&NegotiatedRecord {
            version: negotiated.version.to_owned(),
            cipher_suite: negotiated.cipher_suite,
            alpn: negotiated.alpn,
            handshakes: 1,
        });
    }

    /// Adds a handshake that failed.
    pub(crate) fn failed(&mut self, failure: HandshakeFailure) {
        let HandshakeFailure { cause, words: first, .. } = failure;
        self.add_failures(&FailureRecord { cause, handshakes: 1, first });
    }

    /// Adds the handshakes of another thread or another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.full_handshakes += other.full_handshakes;
        self.resumed_handshakes += other.resumed_handshakes;
        other.negotiated.iter().for_each(|negotiated| self.add_negotiated(negotiated));
        other.failures.iter().for_each(|failures| self.add_failures(failures));
    }

    /// The handshakes of several runs; nothing if none of them used TLS.
    pub(crate) fn sum<'a>(runs: impl Iterator<Item = Option<&'a Self>>) -> Option<Self> {
        runs.flatten().fold(None, |sum: Option<Self>, run| {
            let mut sum = sum.unwrap_or_default();
            sum.merge(run);
            Some(sum)
        })
    }

    fn add_negotiated(&mut self, new: &NegotiatedRecord) {
        let is_same = |known: &&mut NegotiatedRecord| {
            (&known.cipher_suite, &known.version, &known.alpn)
                == (&new.cipher_suite, &new.version, &new.alpn)
        };
        match self.negotiated.iter_mut().find(is_same) {
            Some(known) => known.handshakes += new.handshakes,
            None => self.negotiated.push(new.clone()),
        }
        self.negotiated.sort_by_key(|known| std::cmp::Reverse(known.handshakes));
    }

    fn add_failures(&mut self, new: &FailureRecord) {
        match self.failures.iter_mut().find(|known| known.cause == new.cause) {
            Some(known) => known.handshakes += new.handshakes,
            None => self.failures.push(new.clone()),
        }
        self.failures.sort_by_key(|known| std::cmp::Reverse(known.handshakes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(version: &'static str, is_resumed: bool) -> Negotiated {
        let alpn = Some("http/1.1".to_owned());
        Negotiated { version, cipher_suite: "TLS_AES".to_owned(), alpn, is_resumed }
    }

    #[test]
    fn handshakes_of_threads_and_runs_are_added_by_what_they_agreed_on_and_why_they_failed() {
        let mut one = TlsRecord::default();
        one.add(negotiated("1.2", false));
        one.failed(HandshakeFailure::timeout());
        let mut other = TlsRecord::default();
        other.add(negotiated("1.3", false));
        other.add(negotiated("1.3", true));
        other.add(negotiated("1.2", true));
        other.add(negotiated("1.3", true));
        other.failed(HandshakeFailure::timeout());
        other.failed(rustls::Error::DecryptError.into());
        let sum = TlsRecord::sum([Some(&one), None, Some(&other)].into_iter()).unwrap();
        assert_eq!((sum.full_handshakes, sum.resumed_handshakes), (2, 3));
        let agreed = sum.negotiated.iter().map(|known| (known.version.as_str(), known.handshakes));
        assert_eq!(agreed.collect::<Vec<_>>(), [("1.3", 3), ("1.2", 2)]);
        let failed = sum.failures.iter().map(|known| (known.cause, known.handshakes));
        let expected = [(FailureCause::Timeout, 2), (FailureCause::Other, 1)];
        assert_eq!(failed.collect::<Vec<_>>(), expected);
        assert_eq!(TlsRecord::sum([None, None].into_iter()), None);
    }
}
