//! What the flags ask for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// TLS as requested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TlsSettings {
    /// The name that the server's certificate must have. It is also sent to the server (SNI),
    /// unless it is an IP address.
    pub(crate) server_name: ServerName<'static>,
    /// The file of the certificates that are trusted; without one, those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// The client's own certificate.
    pub(crate) identity: Option<IdentityFiles>,
    /// The protocols to offer (ALPN), the preferred one first.
    pub(crate) alpn: Vec<String>,
    /// Whether the server's certificate is verified.
    pub(crate) is_verified: bool,
    pub(crate) resumption: Resumption,
    pub(crate) min_version: MinVersion,
}

/// The files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Reads the name of a server: a DNS name or an IP address.
pub(crate) fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| format!("'{text}' is no DNS name and no IP address"))
}

/// The share of the connects that may resume an earlier session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Resumption(f64);

impl Resumption {
    /// The share, from 0 to 1.
    pub(crate) fn share(self) -> f64 {
        self.0
    }
}

impl Default for Resumption {
    fn default() -> Self {
        Self(1.0)
    }
}

impl FromStr for Resumption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = match text {
            "on" => Some(1.0),
            "off" => Some(0.0),
            _ => text.parse().ok().filter(|share| (0.0..=1.0).contains(share)),
        };
        share.map(Self).ok_or_else(|| {
            format!("'{text}' is no share; write on, off, or a number from 0 to 1 such as 0.5")
        })
    }
}

impl fmt::Display for Resumption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1.0 => formatter.pad("on"),
            0.0 => formatter.pad("off"),
            share => share.fmt(formatter),
        }
    }
}

/// The lowest version of TLS that is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MinVersion {
    #[default]
    Tls12,
    Tls13,
}

impl FromStr for MinVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(format!("'{text}' is no version of TLS that is supported; write 1.2 or 1.3")),
        }
    }
}

impl fmt::Display for MinVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumption_is_on_off_or_a_share() {
        let shown = |text: &str| text.parse::<Resumption>().unwrap().to_string();
        assert_eq!(
            (shown("on"), shown("1"), shown("off")),
            ("on".into(), "on".into(), "off".into())
        );
        assert_eq!((shown("0"), shown("0.25")), ("off".into(), "0.25".into()));
        for wrong in ["", "yes", "-0.1", "1.01", "NaN", "50%"] {
            assert!(wrong.parse::<Resumption>().is_err(), "{wrong}");
        }
        assert_eq!(Resumption::default().share(), 1.0);
    }

    #[test]
    fn a_server_has_a_dns_name_or_an_ip_address() {
        for good in ["a.example", "localhost", "127.0.0.1", "::1"] {
            assert_eq!(server_name(good).unwrap().to_str(), good);
        }
        for wrong in ["", "a b", "a:80", "[::1]", "-"] {
            assert!(server_name(wrong).is_err(), "{wrong}");
        }
    }
}
