//! TLS as the flags and the target ask for it.

use std::path::PathBuf;

use clap::Args;
use rustls::pki_types::ServerName;

use super::target::{NamedTarget, Scheme};
use crate::error::Error;
use crate::options::Target;
use crate::tls::{IdentityFiles, MinVersion, Resumption, TlsClient, TlsSettings, server_name};

/// TLS over the connections.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArgs {
    /// Encrypt the connections with TLS 1.2 or 1.3. A target of https://, rediss:// or tls:// does
    /// so, too
    #[arg(long)]
    pub(crate) tls: bool,

    /// Trust the certificates in this PEM file, and no others [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// PEM file of the client's certificate, and of those between it and its authority
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file of the private key of --tls-cert
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Name that is sent to the server (SNI) and that its certificate must have [default: the
    /// target's host; localhost for a unix socket]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub(crate) tls_sni: Option<ServerName<'static>>,

    /// Protocols to offer (ALPN), the preferred one first, such as http/1.1 [default: none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) tls_alpn: Vec<String>,

    /// Accept any certificate of the server. The record and the report say so
    #[arg(long)]
    pub(crate) tls_insecure: bool,

    /// Which connects resume an earlier session of their connection: on, off (every handshake is a
    /// full one), or the share that may, such as 0.5 [default: on]
    #[arg(long, value_name = "SHARE")]
    pub(crate) tls_resumption: Option<Resumption>,

    /// Lowest version to offer: 1.2 or 1.3 [default: 1.2]
    #[arg(long, value_name = "V")]
    pub(crate) tls_min_version: Option<MinVersion>,
}

impl TlsArgs {
    /// The flags that were given although they need TLS.
    fn dependent(&self) -> Option<&'static str> {
        let flags = [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-cert", self.tls_cert.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--tls-sni", self.tls_sni.is_some()),
            ("--tls-alpn", !self.tls_alpn.is_empty()),
            ("--tls-insecure", self.tls_insecure),
            ("--tls-resumption", self.tls_resumption.is_some()),
            ("--tls-min-version", self.tls_min_version.is_some()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

/// TLS as requested, with its files read; nothing in plain text.
pub(super) fn tls(args: TlsArgs, named: &NamedTarget) -> Result<Option<TlsClient>, Error> {
    if !args.tls && !named.is_tls {
        return match args.dependent() {
            None => Ok(None),
            Some(flag) => {
                usage(format!("{flag} has no effect without --tls; add it, or leave {flag} out"))
            }
        };
    }
    let over_tls = match named.scheme {
        Some(Scheme::Http) => Some("https"),
        Some(Scheme::WebSocket) => Some("wss"),
        _ => None,
    };
    if let Some(scheme) = over_tls.filter(|_| !named.is_tls) {
        return usage(format!(
            "--tls: the target '{}' names plain text; write {scheme}://",
            named.text
        ));
    }
    if args.tls_insecure && args.tls_ca.is_some() {
        return usage(
            "--tls-ca has no effect with --tls-insecure; leave one of them out".to_owned(),
        );
    }
    if let Some(name) = args.tls_alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
        return usage(format!(
            "--tls-alpn: '{name}' is no name of a protocol; it has 1 to 255 bytes"
        ));
    }
    let identity = match (args.tls_cert, args.tls_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
        (Some(_), None) => {
            return usage("--tls-cert needs --tls-key, the file of its private key".to_owned());
        }
        (None, Some(_)) => {
            return usage("--tls-key needs --tls-cert, the file of its certificate".to_owned());
        }
    };
    let server_name = match args.tls_sni {
        Some(name) => name,
        None => of_target(&named.target)?,
    };
    TlsClient::new(TlsSettings {
        server_name,
        ca: args.tls_ca,
        identity,
        alpn: args.tls_alpn,
        is_verified: !args.tls_insecure,
        resumption: args.tls_resumption.unwrap_or_default(),
        min_version: args.tls_min_version.unwrap_or_default(),
    })
    .map(Some)
}

/// The name of the server that the target names.
fn of_target(target: &Target) -> Result<ServerName<'static>, Error> {
    let host = match target {
        Target::Tcp(text) => text.rsplit_once(':').map_or(&**text, |(host, _)| host),
        Target::Unix(_) => "localhost",
    };
    server_name(host.trim_matches(['[', ']'])).or_else(|why| {
        usage(format!("target '{target}': {why}; name the server with --tls-sni NAME"))
    })
}

fn usage<T>(text: String) -> Result<T, Error> {
    Err(Error::Usage(text))
}

#[cfg(test)]
mod tests {
    use super::super::options_from_flags::tests::{options, refusal};
    use super::*;

    fn settings(flags: &str) -> Option<TlsSettings> {
        options(flags).unwrap().tls.map(|tls| tls.settings().clone())
    }

    #[test]
    fn a_flag_or_a_scheme_asks_for_tls_and_the_target_names_the_server() {
        for flags in ["--tls h:1", "tls://h:1", "https://h", "https://h:8443/a", "rediss://h"] {
            let settings = settings(&format!("{flags} --tls-insecure")).unwrap();
            assert_eq!(settings.server_name.to_str(), "h", "{flags}");
        }
        for flags in ["h:1", "http://h", "tcp://h:1", "redis://h"] {
            assert_eq!(settings(flags), None, "{flags}");
        }
        let name = |flags: &str| {
            settings(&format!("--tls --tls-insecure {flags}")).unwrap().server_name.to_str().into()
        };
        let name: &dyn Fn(&str) -> String = &name;
        assert_eq!(name("[::1]:5"), "::1");
        assert_eq!(name("unix:/s"), "localhost");
        assert_eq!(name("h:1 --tls-sni a.example"), "a.example");
    }

    #[test]
    fn the_defaults_are_those_of_the_help_text() {
        let settings = settings("--tls --tls-insecure").unwrap();
        assert_eq!(settings.resumption.share(), 1.0);
        assert_eq!((settings.min_version, settings.alpn.len()), (MinVersion::Tls12, 0));
        assert_eq!((settings.ca, settings.identity, settings.is_verified), (None, None, false));
    }

    #[test]
    fn a_flag_without_effect_is_refused_with_what_to_do() {
        for flag in [
            "--tls-ca a",
            "--tls-cert a",
            "--tls-key a",
            "--tls-sni a",
            "--tls-alpn a",
            "--tls-insecure",
            "--tls-resumption off",
            "--tls-min-version 1.3",
        ] {
            let name = flag.split(' ').next().unwrap();
            let said = format!("{name} has no effect without --tls; add it, or leave {name} out");
            assert_eq!(refusal(flag), said);
        }
    }

    #[test]
    fn flags_that_do_not_fit_together_are_refused() {
        for (flags, said) in [
            ("http://h --tls", "names plain text; write https://"),
            ("--tls --tls-insecure --tls-ca a", "--tls-ca has no effect with --tls-insecure"),
            ("--tls --tls-cert a", "--tls-cert needs --tls-key"),
            ("--tls --tls-key a", "--tls-key needs --tls-cert"),
            ("--tls --tls-alpn a,,b", "'' is no name of a protocol"),
            ("--tls --tls-sni a_:b", "'a_:b' is no DNS name"),
            ("--tls --tls-resumption 2", "write on, off, or a number from 0 to 1"),
            ("--tls --tls-min-version 1.1", "write 1.2 or 1.3"),
            ("--tls h$:1", "name the server with --tls-sni NAME"),
        ] {
            assert!(refusal(flags).contains(said), "{flags}: {}", refusal(flags));
        }
    }
}
