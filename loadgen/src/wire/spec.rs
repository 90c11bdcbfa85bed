//! The options of the traffic: protocol, sizes, and what is compared of a reply.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::http::HttpSpec;
use super::key_value::KeyValueSpec;
use super::setup::Setup;
use super::sizes::Sizes;

/// The options of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrafficSpec {
    pub(crate) protocol: Protocol,
    pub(crate) sizes: Sizes,
    pub(crate) verify: Verify,
    /// Whether messages of WebSocket are text.
    pub(crate) is_text: bool,
    /// HTTP requests; nothing for other protocols.
    pub(crate) http: Option<Arc<HttpSpec>>,
    /// What each connection says before its first request.
    pub(crate) setup: Setup,
    /// Requests with keys: exactly for the protocols that [`Protocol::has_keys`].
    pub(crate) key_value: Option<KeyValueSpec>,
}

impl TrafficSpec {
    /// Path and query of HTTP requests, or of the upgrade to WebSocket; nothing for other
    /// protocols, and for requests of a file.
    pub(crate) fn path(&self) -> Option<&str> {
        match (&self.setup, &self.http) {
            (Setup::Upgrade(upgrade), _) => Some(upgrade.path()),
            (_, Some(http)) => http.path(),
            _ => None,
        }
    }
}

/// How requests and replies look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The payload and nothing else; the reply is the same bytes.
    #[default]
    Raw,
    /// A big-endian u32 length, then as many bytes; the reply is the same.
    Len32,
    /// Printable characters and a line feed; the reply is the same.
    Line,
    /// HTTP/1.1 with keep-alive; by default, every reply must be like the first one with its
    /// request and status.
    Http,
    /// Redis `PING`.
    RespPing,
    /// Redis `ECHO`.
    RespEcho,
    /// memcached `set`.
    Memcached,
    /// Redis: commands with keys, in RESP version 2.
    Resp2,
    /// Redis: commands with keys, in RESP version 3.
    Resp3,
    /// memcached: commands with keys, in its text protocol.
    MemcachedText,
    /// memcached: meta commands with keys.
    MemcachedMeta,
    /// A message of WebSocket; the reply is the same message.
    WebSocket,
}

impl Protocol {
    /// Whether requests are commands with keys that all connections share.
    pub(crate) fn has_keys(self) -> bool {
        matches!(self, Self::Resp2 | Self::Resp3 | Self::MemcachedText | Self::MemcachedMeta)
    }

    /// Whether the server speaks memcached's protocol.
    pub(crate) fn is_memcached(self) -> bool {
        matches!(self, Self::Memcached | Self::MemcachedText | Self::MemcachedMeta)
    }

    /// Whether the server speaks RESP, the protocol of Redis.
    pub(crate) fn is_resp(self) -> bool {
        matches!(self, Self::RespPing | Self::RespEcho | Self::Resp2 | Self::Resp3)
    }

    /// Whether requests have a payload, so that they have a size.
    pub(crate) fn has_request_payload(self) -> bool {
        !matches!(self, Self::Http | Self::RespPing)
    }

    /// Whether replies have a payload or a body, so that there is a choice of what to compare.
    pub(crate) fn has_reply_payload(self) -> bool {
        !matches!(self, Self::RespPing | Self::Memcached)
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "len32" => Ok(Self::Len32),
            "line" => Ok(Self::Line),
            "http" => Ok(Self::Http),
            "resp-ping" => Ok(Self::RespPing),
            "resp-echo" => Ok(Self::RespEcho),
            "memcached" => Ok(Self::Memcached),
            "resp2" => Ok(Self::Resp2),
            "resp3" => Ok(Self::Resp3),
            "memcached-text" => Ok(Self::MemcachedText),
            "memcached-meta" => Ok(Self::MemcachedMeta),
            "websocket" => Ok(Self::WebSocket),
            _ => Err(format!(
                "'{text}' is no protocol; write raw, len32, line, http, websocket, resp-ping, \
                 resp-echo, memcached, resp2, resp3, memcached-text or memcached-meta"
            )),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Raw => "raw",
            Self::Len32 => "len32",
            Self::Line => "line",
            Self::Http => "http",
            Self::RespPing => "resp-ping",
            Self::RespEcho => "resp-echo",
            Self::Memcached => "memcached",
            Self::Resp2 => "resp2",
            Self::Resp3 => "resp3",
            Self::MemcachedText => "memcached-text",
            Self::MemcachedMeta => "memcached-meta",
            Self::WebSocket => "websocket",
        })
    }
}

/// The part of a reply that is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Every byte. Over HTTP: the length and the first MiB of the body, which must be those of the
    /// run's first reply with the same request and status. Headers are not compared. A body that a
    /// connection was receiving while there was no first reply yet may be compared only in part.
    #[default]
    Full,
    /// The length; over HTTP that of the body.
    Length,
    /// Only what finding the end of a reply needs. Except over HTTP, this is the same as the
    /// length.
    None,
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "length" => Ok(Self::Length),
            "none" => Ok(Self::None),
            _ => Err(format!("'{text}' is no check; write full, length or none")),
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Full => "full",
            Self::Length => "length",
            Self::None => "none",
        })
    }
}
