//! Addresses to listen on, in text form.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;

use rustix::net::netdevice::name_to_index;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

/// An address to listen on, written `127.0.0.1:5555`, `[::1]:5555`, `[fe80::1%eth0]:5555`,
/// `localhost:5555` or `unix:/run/evshard.sock`. Parsing resolves host names, and takes the first
/// address; [`resolve`](Self::resolve) returns all.
///
/// ```
/// use evshard::server::ListenAddress;
///
/// let address: ListenAddress = "unix:/run/evshard.sock".parse()?;
/// assert_eq!(address, ListenAddress::Unix("/run/evshard.sock".into()));
/// let error = "127.0.0.1".parse::<ListenAddress>().unwrap_err();
/// assert!(error.to_string().contains("a port is missing"));
/// # Ok::<(), evshard::server::listener::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenAddress {
    /// TCP over IPv4 or IPv6. Port 0 takes a free port. An IPv6 address is IPv6 only, whatever
    /// `net.ipv6.bindv6only` is: `[::]:80` and `0.0.0.0:80` can be opened together, and an IPv4
    /// peer never looks like an IPv6 one.
    Tcp(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address to listen on, and whether its connections begin with TLS. Written as the address,
/// with `tls:` before it for TLS: `tls:0.0.0.0:443`, `tls:unix:/run/evshard.sock`.
///
/// ```
/// use evshard::server::Listen;
///
/// let listen: Listen = "tls:127.0.0.1:443".parse()?;
/// assert!(listen.tls);
/// assert_eq!(listen.address, "127.0.0.1:443".parse()?);
/// # Ok::<(), evshard::server::listener::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: ListenAddress,
    /// Whether connections begin with a TLS handshake, by
    /// [`ServerConfig::tls`](crate::server::ServerConfig::tls). A PROXY header comes before it.
    pub tls: bool,
}

impl Listen {
    /// As [`ListenAddress::resolve`].
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn resolve(text: &str) -> Result<Vec<Self>, AddressError> {
        let (address, tls) = match text.strip_prefix("tls:") {
            Some(address) => (address, true),
            None => (text, false),
        };
        let addresses = ListenAddress::resolve(address)?.into_iter();
        Ok(addresses.map(|address| Self { address, tls }).collect())
    }
}

impl From<ListenAddress> for Listen {
    /// Without TLS.
    fn from(address: ListenAddress) -> Self {
        Self { address, tls: false }
    }
}

impl FromStr for Listen {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::resolve(text)?.into_iter().next().ok_or(AddressError::NoAddress)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.tls { "tls:" } else { "" }, self.address)
    }
}

/// What is wrong with the text of a [`ListenAddress`], and what to write instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text has only a host.
    #[error("a port is missing, write ADDR:PORT such as 127.0.0.1:5555, or unix:PATH")]
    PortMissing,
    /// The port is not a number of a port.
    #[error("\"{0}\" is no port, write a number from 0 to 65535")]
    Port(String),
    /// The host name cannot be resolved.
    #[error("the host \"{host}\" is not known ({source})")]
    Host {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// No host stands before the port.
    #[error(
        "a host is missing, write 0.0.0.0:{port} for every IPv4 address of this machine, \
             or [::]:{port} for every IPv6 address"
    )]
    HostMissing {
        /// The port.
        port: String,
    },
    /// The interface of a link-local IPv6 address does not exist.
    #[error("there is no network interface \"{0}\"; 'ip link' lists them")]
    Interface(String),
    /// The host name has no address.
    #[error("the host has no address")]
    NoAddress,
    /// `unix:` without a path.
    #[error("a path is missing, write unix:PATH such as unix:/run/evshard.sock")]
    PathMissing,
    /// `unix:@name`: every process on the machine could connect.
    #[error("abstract unix sockets have no permissions, write a path such as unix:/run/{0}.sock")]
    Abstract(String),
    /// No path contains a zero byte.
    #[error("a path has no zero byte in it")]
    PathWithNul,
    /// The path does not fit the address of a unix socket (unix(7)).
    #[error("the path has {0} bytes, and that of a unix socket at most {UNIX_PATH_BYTES_MAX}")]
    PathTooLong(usize),
}

/// The longest path of a unix socket: the array of unix(7) without the zero at its end.
const UNIX_PATH_BYTES_MAX: usize = 107;

impl ListenAddress {
    /// Every address that the text means: those of a host name that this machine has, in the
    /// resolver's order, without repetition; otherwise one.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn resolve(text: &str) -> Result<Vec<Self>, AddressError> {
        match parse(text)? {
            Parsed::Address(address) => Ok(vec![address]),
            Parsed::Host { host, port } => look_up(host, port),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::resolve(text)?.into_iter().next().ok_or(AddressError::NoAddress)
    }
}

/// What a text means before a host name is looked up.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    Address(ListenAddress),
    Host { host: &'a str, port: u16 },
}

pub(super) fn parse(text: &str) -> Result<Parsed<'_>, AddressError> {
    let Some(path) = text.strip_prefix("unix:") else { return parse_tcp(text) };
    match path.strip_prefix('@') {
        Some(name) => Err(AddressError::Abstract(name.to_owned())),
        None if path.is_empty() => Err(AddressError::PathMissing),
        None if path.contains('\0') => Err(AddressError::PathWithNul),
        None if path.len() > UNIX_PATH_BYTES_MAX => Err(AddressError::PathTooLong(path.len())),
        None => Ok(Parsed::Address(ListenAddress::Unix(path.into()))),
    }
}

fn parse_tcp(text: &str) -> Result<Parsed<'_>, AddressError> {
    // The colons of an IPv6 address must not be taken for the one before a port.
    if text.ends_with(']') || text.parse::<IpAddr>().is_ok() {
        return Err(AddressError::PortMissing);
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::PortMissing)?;
    let number = port.parse::<u16>().map_err(|_| AddressError::Port(port.to_owned()))?;
    if matches!(host, "" | "*") {
        return Err(AddressError::HostMissing { port: port.to_owned() });
    }
    let address = format!("{}:{number}", with_numbered_zone(host)?).parse();
    Ok(match address {
        Ok(address) => Parsed::Address(ListenAddress::Tcp(without_mapping(address))),
        Err(_) => Parsed::Host { host, port: number },
    })
}

fn look_up(host: &str, port: u16) -> Result<Vec<ListenAddress>, AddressError> {
    let found = (host, port).to_socket_addrs();
    let found = found.map_err(|source| AddressError::Host { host: host.to_owned(), source })?;
    let mut addresses: Vec<ListenAddress> = Vec::new();
    for address in found.map(without_mapping).map(ListenAddress::Tcp) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    // A name may have an IPv6 address where the kernel has no IPv6.
    if addresses.iter().any(is_of_this_machine) {
        addresses.retain(is_of_this_machine);
    }
    if addresses.is_empty() { Err(AddressError::NoAddress) } else { Ok(addresses) }
}

/// Whether a socket can be bound to the host of an address.
fn is_of_this_machine(address: &ListenAddress) -> bool {
    let ListenAddress::Tcp(address) = address else { return true };
    let unavailable = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT].map(Some);
    let bound = UdpSocket::bind(SocketAddr::new(address.ip(), 0));
    bound.err().is_none_or(|error| !unavailable.contains(&error.raw_os_error()))
}

/// The host with the index of its interface, where it has the name of one: `[fe80::1%eth0]`.
fn with_numbered_zone(host: &str) -> Result<String, AddressError> {
    let zone = host.strip_suffix(']').and_then(|host| host.split_once('%'));
    let Some((address, zone)) = zone.filter(|(_, zone)| zone.parse::<u32>().is_err()) else {
        return Ok(host.to_owned());
    };
    let index = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .and_then(|socket| Ok(name_to_index(socket, zone)?))
        .map_err(|_| AddressError::Interface(zone.to_owned()))?;
    Ok(format!("{address}%{index}]"))
}

/// IPv4 in place of IPv4 in the form of IPv6 (`::ffff:127.0.0.1`), which an IPv6 socket of a server
/// does not take.
fn without_mapping(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<ListenAddress>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in ["127.0.0.1:5555", "[::1]:0", "[fe80::1%2]:80", "unix:/run/a b.sock", "unix:x"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
            for listen in [text.to_owned(), format!("tls:{text}")] {
                assert_eq!(listen.parse::<Listen>().unwrap().to_string(), listen);
            }
        }
        assert!("tls:tls:127.0.0.1:1".parse::<Listen>().is_err());
    }

    #[test]
    fn a_name_is_looked_up() {
        let ListenAddress::Tcp(address) = "localhost:5555".parse().unwrap() else {
            panic!("a host's name is no path")
        };
        assert!(address.ip().is_loopback() && address.port() == 5555, "{address}");
    }

    #[test]
    fn a_name_means_all_its_addresses_once() {
        let found = ListenAddress::resolve("localhost:5555").unwrap();
        assert!(found.contains(&"127.0.0.1:5555".parse().unwrap()), "{found:?}");
        let different: std::collections::HashSet<_> = found.iter().collect();
        assert_eq!(different.len(), found.len());
    }

    #[test]
    fn an_interface_may_be_named_and_ipv4_may_be_written_as_ipv6() {
        assert_eq!(
            "[fe80::1%lo]:80".parse::<ListenAddress>().unwrap().to_string(),
            "[fe80::1%1]:80"
        );
        assert!(complaint("[fe80::1%nosuch]:80").contains("no network interface \"nosuch\""));
        let mapped = "[::ffff:127.0.0.1]:80".parse::<ListenAddress>().unwrap();
        assert_eq!(mapped.to_string(), "127.0.0.1:80");
    }

    #[test]
    fn a_wrong_address_says_what_to_write_instead() {
        for text in ["127.0.0.1", "localhost", "::1", "[::1]", ""] {
            assert!(complaint(text).contains("ADDR:PORT"), "{text}: {}", complaint(text));
        }
        for text in ["127.0.0.1:http", "[::1]:70000", "127.0.0.1:", "127.0.0.1:-1"] {
            assert!(complaint(text).contains("0 to 65535"), "{text}: {}", complaint(text));
        }
        for text in [":80", "*:80"] {
            assert!(complaint(text).contains("0.0.0.0:80"), "{text}: {}", complaint(text));
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(complaint(&long).contains("108 bytes"), "{}", complaint(&long));
        assert!(complaint("no.such.host.invalid:80").contains("not known"));
        assert!(complaint("unix:").contains("a path is missing"));
        assert!(complaint("unix:@web").contains("unix:/run/web.sock"));
    }
}
