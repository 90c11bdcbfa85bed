//! The server to load, as the command line names it: an address, a path, or a URL.

use crate::options::Target;
use crate::wire::{Protocol, http};

/// A target, and what a URL states about the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedTarget {
    /// The text as given.
    pub(super) text: String,
    pub(super) target: Target,
    /// The scheme, if it names a protocol.
    pub(super) scheme: Option<Scheme>,
    /// Whether the scheme names TLS.
    pub(super) is_tls: bool,
    /// Value of the `Host` header: the host and port as given.
    pub(super) http_host: String,
    /// Path and query, if the URL has them.
    pub(super) http_path: Option<String>,
}

/// A scheme that names a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Redis,
    Memcached,
    WebSocket,
}

impl Scheme {
    /// The protocols that it can stand for, the default first.
    pub(super) fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Http => &[Protocol::Http],
            Self::WebSocket => &[Protocol::WebSocket],
            Self::Redis => {
                &[Protocol::RespPing, Protocol::RespEcho, Protocol::Resp2, Protocol::Resp3]
            }
            Self::Memcached => {
                &[Protocol::Memcached, Protocol::MemcachedText, Protocol::MemcachedMeta]
            }
        }
    }

    /// Whether a URL with it can have a path, and headers go with it.
    fn has_path(self) -> bool {
        matches!(self, Self::Http | Self::WebSocket)
    }

    fn default_port(self, is_tls: bool) -> u16 {
        match self {
            Self::Http | Self::WebSocket if is_tls => 443,
            Self::Http | Self::WebSocket => 80,
            Self::Redis => 6379,
            Self::Memcached => 11211,
        }
    }
}

/// Reads a target.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<NamedTarget, String> {
    let named = |target: Target, http_host: &str| NamedTarget {
        text: text.to_owned(),
        target,
        scheme: None,
        is_tls: false,
        http_host: http_host.to_owned(),
        http_path: None,
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err("target 'unix:' has no path; write it as unix:/path".to_owned()),
            path => Ok(named(Target::Unix(path.into()), "localhost")),
        };
    }
    match text.split_once("://") {
        Some((scheme, rest)) => url(text, scheme, rest),
        None => address(text, text).map(|target| named(target, text)),
    }
}

/// Reads a URL (RFC 3986). Path and query stay as they are: nothing is decoded or encoded. The
/// fragment is dropped, because it is never sent to a server.
fn url(text: &str, scheme: &str, rest: &str) -> Result<NamedTarget, String> {
    let (scheme, is_tls) = known_scheme(text, scheme)?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(match scheme {
            Some(scheme) if scheme.has_path() => format!(
                "target '{text}': leave out what stands before the '@', and use \
                 --http-header 'Authorization: ...'"
            ),
            _ => format!(
                "target '{text}': leave out what stands before the '@', and use \
                 --authenticate USER:PASSWORD"
            ),
        });
    }
    let http_path = match (scheme, path) {
        (_, "") => None,
        (Some(scheme), query) if scheme.has_path() && query.starts_with('?') => {
            Some(format!("/{query}"))
        }
        (Some(scheme), path) if scheme.has_path() => Some(path.to_owned()),
        (_, "/") => None,
        (_, path) => {
            return Err(format!(
                "target '{text}': only http://, https://, ws:// and wss:// have a path; leave out \
                 '{path}'"
            ));
        }
    };
    let http_path = http_path.as_deref().map(http::path).transpose();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let target = match scheme.map(|scheme| scheme.default_port(is_tls)) {
        Some(port) if !has_port => address(text, &format!("{authority}:{port}")),
        _ => address(text, authority),
    };
    Ok(NamedTarget {
        text: text.to_owned(),
        target: target?,
        scheme,
        is_tls,
        http_host: authority.to_owned(),
        http_path: http_path.map_err(|why| format!("target '{text}': {why}"))?,
    })
}

/// The protocol of a scheme, and whether it is over TLS. `tcp` and `tls` leave the protocol open.
fn known_scheme(text: &str, scheme: &str) -> Result<(Option<Scheme>, bool), String> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Some(Scheme::Http), false)),
        "https" => Ok((Some(Scheme::Http), true)),
        "ws" => Ok((Some(Scheme::WebSocket), false)),
        "wss" => Ok((Some(Scheme::WebSocket), true)),
        "redis" => Ok((Some(Scheme::Redis), false)),
        "rediss" => Ok((Some(Scheme::Redis), true)),
        "memcached" => Ok((Some(Scheme::Memcached), false)),
        "tcp" => Ok((None, false)),
        "tls" => Ok((None, true)),
        _ => Err(format!(
            "target '{text}': the scheme '{scheme}' is not supported; write http://, https://, \
             ws://, wss://, redis://, rediss://, memcached://, tcp://, tls://, unix:/path or \
             HOST:PORT"
        )),
    }
}

/// Checks an address. `text` is what the user wrote.
fn address(text: &str, address: &str) -> Result<Target, String> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(format!("target '{text}' has no port; write it as HOST:PORT"));
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if (host.contains(':') || host.starts_with('[')) && !bracketed {
        return Err(format!(
            "target '{text}': put an IPv6 address in brackets, for example [::1]:5555"
        ));
    }
    if host.is_empty() || host == "[]" {
        return Err(format!("target '{text}' has no host; write it as HOST:PORT"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(Target::Tcp(address.to_owned())),
        _ if port.contains('/') => {
            Err(format!("target '{text}': a path needs a scheme; write http://HOST:PORT/path"))
        }
        _ => Err(format!("target '{text}': the port must be a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn address_of(text: &str) -> (String, String, Option<String>) {
        let named = parse(text).unwrap();
        (named.target.to_string(), named.http_host, named.http_path)
    }

    #[track_caller]
    fn refusal(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn an_address_or_a_path_is_a_target_of_any_protocol() {
        for good in ["localhost:80", "10.0.0.1:65535", "[::1]:5555", "unix:/run/a.sock"] {
            let named = parse(good).unwrap();
            assert_eq!((named.target.to_string(), named.scheme), (good.to_owned(), None));
            assert_eq!(named.http_path, None);
        }
        assert_eq!(parse("h:80").unwrap().http_host, "h:80");
        assert_eq!(parse("unix:/s").unwrap().http_host, "localhost");
        assert!(refusal("localhost").contains("no port"));
        assert!(refusal("::1:5555").contains("brackets"));
        assert!(refusal("[::1").contains("brackets"));
        assert!(refusal(":5555").contains("no host"));
        assert!(refusal("unix:").contains("no path"));
        assert!(refusal("localhost:80/a").contains("write http://HOST:PORT/path"));
        for port in ["0", "65536", "http", ""] {
            assert!(refusal(&format!("localhost:{port}")).contains("1 to 65535"));
        }
    }

    #[test]
    fn a_url_has_a_default_port_by_its_scheme_and_the_host_header_as_given() {
        let plain = |address: &str, host: &str| (address.to_owned(), host.to_owned(), None);
        assert_eq!(address_of("http://a.example"), plain("a.example:80", "a.example"));
        assert_eq!(address_of("HTTP://a:8080"), plain("a:8080", "a:8080"));
        assert_eq!(address_of("http://[::1]"), plain("[::1]:80", "[::1]"));
        assert_eq!(address_of("http://[::1]:81"), plain("[::1]:81", "[::1]:81"));
        assert_eq!(address_of("redis://r"), plain("r:6379", "r"));
        assert_eq!(address_of("redis://r:1/"), plain("r:1", "r:1"));
        assert_eq!(address_of("memcached://m"), plain("m:11211", "m"));
        assert_eq!(address_of("tcp://t:5"), plain("t:5", "t:5"));
        assert_eq!(address_of("https://a.example"), plain("a.example:443", "a.example"));
        assert_eq!(address_of("rediss://r"), plain("r:6379", "r"));
        assert_eq!(address_of("tls://t:5"), plain("t:5", "t:5"));
        assert_eq!(address_of("ws://w"), plain("w:80", "w"));
        assert_eq!(address_of("wss://w"), plain("w:443", "w"));
        let is_tls = |text| parse(text).unwrap().is_tls;
        assert!(is_tls("https://a") && is_tls("rediss://a") && is_tls("tls://a:1"));
        assert!(is_tls("wss://a") && !is_tls("ws://a"));
        assert!(!is_tls("http://a") && !is_tls("tcp://a:1") && !is_tls("a:1"));
        let scheme = |text| parse(text).unwrap().scheme;
        assert_eq!(scheme("http://a"), Some(Scheme::Http));
        assert_eq!((scheme("redis://a"), scheme("tcp://a:1")), (Some(Scheme::Redis), None));
        assert_eq!(scheme("memcached://a"), Some(Scheme::Memcached));
    }

    #[test]
    fn path_and_query_stay_as_given_and_the_fragment_is_dropped() {
        let path = |text: &str| parse(text).unwrap().http_path;
        assert_eq!(path("http://a/").as_deref(), Some("/"));
        assert_eq!(
            path("http://a/b%20c/%2F?d=e%26f&g=@:").as_deref(),
            Some("/b%20c/%2F?d=e%26f&g=@:")
        );
        assert_eq!(path("http://a?q=1").as_deref(), Some("/?q=1"));
        assert_eq!(path("http://a/b#c").as_deref(), Some("/b"));
        assert_eq!(path("http://a:1/b://c").as_deref(), Some("/b://c"));
        assert_eq!(path("http://a#c"), None);
        assert_eq!(path("ws://a/chat?room=1").as_deref(), Some("/chat?room=1"));
        assert_eq!(path("wss://a?room=1").as_deref(), Some("/?room=1"));
    }

    #[test]
    fn a_url_that_cannot_be_loaded_is_refused_with_the_remedy() {
        for (text, said) in [
            ("ssl://a:1", "the scheme 'ssl' is not supported; write http://"),
            ("ftp://a", "the scheme 'ftp' is not supported; write http://"),
            ("://a", "the scheme '' is not supported"),
            ("http://u:p@a/", "use --http-header 'Authorization: ...'"),
            ("redis://:p@a", "use --authenticate USER:PASSWORD"),
            ("redis://a/1", "only http://, https://, ws:// and wss:// have a path; leave out '/1'"),
            ("ws://u:p@a/", "use --http-header 'Authorization: ...'"),
            ("memcached://a?x", "leave out '?x'"),
            ("tcp://a", "has no port"),
            ("http://", "has no host"),
            ("http:///a", "has no host"),
            ("http://a:/", "1 to 65535"),
            ("http://a:b", "1 to 65535"),
            ("http://::1/", "brackets"),
            ("http://a/b c", "write blanks and the like as %20"),
        ] {
            assert!(refusal(text).contains(said), "{text}: {}", refusal(text));
        }
    }
}
