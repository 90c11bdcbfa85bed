//! Where the server listens.

use std::fmt;
use std::path::PathBuf;

/// Where the server listens, not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `HOST:PORT` with brackets around an IPv6 address.
    Tcp(String),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl Target {
    /// The host name in a request; a unix socket has none, so it is `localhost`.
    pub(crate) fn http_host(&self) -> String {
        match self {
            Self::Tcp(text) => text.clone(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(text) => formatter.write_str(text),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}
