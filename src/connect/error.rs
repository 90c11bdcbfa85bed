//! Why no connection came about.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a connection to a host could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no addresses, or the name servers did not answer.
    #[error("look up {host}: {source}; check the name, and the name servers in /etc/resolv.conf")]
    Lookup {
        /// The host name.
        host: String,
        /// What `getaddrinfo(3)` reported.
        source: io::Error,
    },

    /// Too many names wait to be looked up.
    #[error(
        "look up {host}: {waiting} names wait to be looked up already; connect to fewer hosts at \
         a time, or check whether the name servers answer"
    )]
    TooManyLookups {
        /// The host name.
        host: String,
        /// How many wait.
        waiting: usize,
    },

    /// The system started no thread that looks names up.
    #[error(
        "start a thread that looks up {host}: {source}; check the limits of threads and memory"
    )]
    Thread {
        /// The host name.
        host: String,
        /// The system's reason.
        source: io::Error,
    },

    /// There is no address to connect to.
    #[error("connect to {host}: it has no addresses; check the name, or pass an address")]
    NoAddress {
        /// The host, as it was given.
        host: String,
    },

    /// Connecting failed for each address.
    #[error(
        "connect to {host}: {}; {}",
        outcome(*.tried, .address, .source),
        remedy(.source)
    )]
    Failed {
        /// The host, as it was given.
        host: String,
        /// How many addresses were tried: all.
        tried: usize,
        /// The address that failed first.
        address: SocketAddr,
        /// Its error.
        source: io::Error,
    },

    /// No address answered in time.
    #[error(
        "connect to {host}: no connection within {timeout:?}, with {tried} of {addresses} \
         addresses tried{}; check the address, routes and firewalls, or allow more time",
        first_failure(.first)
    )]
    TimedOut {
        /// The host, as it was given.
        host: String,
        /// The time that was allowed.
        timeout: Duration,
        /// How many addresses were tried.
        tried: usize,
        /// How many addresses there are.
        addresses: usize,
        /// The address that failed first, and its error, if one did.
        first: Option<(SocketAddr, io::Error)>,
    },
}

fn outcome(tried: usize, address: &SocketAddr, error: &io::Error) -> String {
    match tried {
        1 => format!("{address}: {error}"),
        _ => format!("all {tried} addresses failed, first {address}: {error}"),
    }
}

fn first_failure(first: &Option<(SocketAddr, io::Error)>) -> String {
    first.as_ref().map_or(String::new(), |(address, error)| format!(", first {address}: {error}"))
}

/// What to do about an error of `connect(2)`.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "check that a server listens on this port",
        io::ErrorKind::PermissionDenied => "check the firewall of this machine",
        io::ErrorKind::AddrNotAvailable => "check the address, and whether local ports are used up",
        _ => "check the address, routes and firewalls",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionRefused, "refused")
    }

    #[test]
    fn an_error_names_the_host_the_first_address_and_a_remedy() {
        let host = || "a.example:80".to_owned();
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let failed =
            |tried| ConnectError::Failed { host: host(), tried, address, source: refused() };
        assert_eq!(
            failed(1).to_string(),
            "connect to a.example:80: 192.0.2.1:80: refused; \
             check that a server listens on this port"
        );
        assert_eq!(
            failed(3).to_string(),
            "connect to a.example:80: all 3 addresses failed, first 192.0.2.1:80: refused; \
             check that a server listens on this port"
        );
        let timeout = Duration::from_secs(2);
        let timed_out =
            |first| ConnectError::TimedOut { host: host(), timeout, tried: 2, addresses: 3, first };
        let end = "; check the address, routes and firewalls, or allow more time";
        assert_eq!(
            timed_out(None).to_string(),
            format!(
                "connect to a.example:80: no connection within 2s, with 2 of 3 addresses tried{end}"
            )
        );
        let first = Some((address, refused()));
        assert!(
            timed_out(first).to_string().ends_with(&format!(", first {address}: refused{end}"))
        );
    }
}
