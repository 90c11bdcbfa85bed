//! The names by which clients may call the admin.
//!
//! A page from any web server can make a browser on this machine ask the admin, if the name of that
//! server begins to resolve to 127.0.0.1 (DNS rebinding). The browser then sends that name. A
//! client that an operator runs sends an address or a name of this machine.

use std::net::IpAddr;

use super::AdminConfig;
use crate::server::listen_address::ListenAddress;

/// The accepted values of `Host`.
#[derive(Debug)]
pub(super) enum Hosts {
    /// No browser can connect to a unix socket.
    Any,
    /// Any IP address, `localhost`, and these names.
    Named(Vec<String>),
}

impl Hosts {
    pub(super) fn of(config: &AdminConfig) -> Self {
        match config.address {
            ListenAddress::Unix(_) => Self::Any,
            ListenAddress::Tcp(_) => Self::Named(config.hosts.clone()),
        }
    }

    /// Whether a request with this value of `Host` is answered. One without comes from no browser.
    pub(super) fn accept(&self, host: Option<&str>) -> bool {
        let (Self::Named(names), Some(host)) = (self, host) else { return true };
        let name = without_port(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address
            || name.eq_ignore_ascii_case("localhost")
            || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host of `HOST:PORT` or `HOST`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of a bare IPv6 address separate no port.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_this_machines_is_no_host() {
        let hosts = Hosts::Named(vec!["db7.example".to_owned()]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "[::1]:9000",
            "[::1]",
            "::1",
            "192.0.2.7:80",
            "LocalHost:9000",
            "DB7.example",
            "db7.example:9000",
        ] {
            assert!(hosts.accept(Some(host)), "{host}");
        }
        for host in ["evil.example", "evil.example:9000", "localhost.evil.example", "", ":9000"] {
            assert!(!hosts.accept(Some(host)), "{host}");
        }
        assert!(hosts.accept(None), "no browser leaves it out");
        assert!(Hosts::Any.accept(Some("evil.example")));
    }
}
