//! The upgrade of a connection from HTTP (RFC 6455, section 4).

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use httparse::{Header, Response, Status};
use sha1::{Digest as _, Sha1};

use super::super::http::{name_of, parse_head};
use super::super::mismatch::server_message;
use crate::schedule::random;

/// What is appended to a key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Longest reply: as long as the longest head of HTTP elsewhere.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Part of a seed from which the keys of connections are drawn.
const KEYS: u64 = 14 << 40;

/// Headers that an upgrade has of its own, and what a client may not ask for here.
const OWN_HEADERS: [&str; 5] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// The request that begins each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upgrade {
    path: String,
    /// The request up to the value of its last header, which is the key.
    head: String,
    /// The protocols that the user offers, of which the server may choose one.
    protocols: Vec<String>,
}

impl Upgrade {
    /// The request for `path`, with more headers. A `Host` of theirs replaces that of the target.
    ///
    /// # Errors
    ///
    /// A sentence that names the header that must not be there.
    pub(crate) fn new(host: &str, path: String, headers: &[String]) -> Result<Self, String> {
        let is = |header: &&String, name: &str| name_of(header).eq_ignore_ascii_case(name);
        let own = |header: &&String| OWN_HEADERS.iter().any(|name| is(header, name));
        if let Some(header) = headers.iter().find(own) {
            let name = name_of(header);
            return Err(match name.to_ascii_lowercase().as_str() {
                "sec-websocket-extensions" => format!(
                    "--http-header {name}: loadgen knows no extension of WebSocket; leave it out"
                ),
                _ => format!(
                    "--http-header {name}: loadgen writes this header of the upgrade by itself; \
                     leave it out"
                ),
            });
        }
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        if !headers.iter().any(|header| is(&header, "host")) {
            head += &format!("Host: {host}\r\n");
        }
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        head += "Sec-WebSocket-Key: ";
        let offers = headers.iter().filter(|header| is(header, "sec-websocket-protocol"));
        let values = offers.filter_map(|header| header.split_once(':'));
        let protocols = values.flat_map(|(_, value)| value.split(','));
        Ok(Self { path, head, protocols: protocols.map(|name| name.trim().to_owned()).collect() })
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// The upgrade of one stream.
#[derive(Debug)]
pub(crate) struct UpgradeExchange {
    upgrade: Arc<Upgrade>,
    key: String,
    request: String,
    sent: usize,
    /// The reply, as far as it has been received.
    reply: Vec<u8>,
}

impl UpgradeExchange {
    /// Before its first byte. The key is that of stream number `stream` of a connection.
    pub(in crate::wire) fn new(
        upgrade: &Arc<Upgrade>,
        seed: u64,
        connection: u32,
        stream: u32,
    ) -> Self {
        let numbers = random::key(seed, KEYS + u64::from(connection));
        let half = |which: u64| random::at(numbers, 2 * u64::from(stream) + which).to_be_bytes();
        let key = BASE64_STANDARD.encode([half(0), half(1)].concat());
        let request = format!("{}{key}\r\n\r\n", upgrade.head);
        Self { upgrade: Arc::clone(upgrade), key, request, sent: 0, reply: Vec::new() }
    }

    /// See [`crate::wire::SetupExchange::unsent`].
    pub(in crate::wire) fn unsent(&self) -> &[u8] {
        &self.request.as_bytes()[self.sent..]
    }

    /// The socket took so many of them.
    pub(in crate::wire) fn advance_sent(&mut self, sent: usize) {
        self.sent += sent;
    }

    /// See [`crate::wire::SetupExchange::receive`].
    pub(in crate::wire) fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let before = self.reply.len();
        self.reply.extend_from_slice(bytes);
        let parsed = parse_head(&self.reply, |response, _| self.check(response));
        match parsed {
            Ok(Status::Complete((length, checked))) => checked.map(|()| Some(length - before)),
            Ok(Status::Partial) if self.reply.len() < REPLY_BYTES_MAX => Ok(None),
            Ok(Status::Partial) => {
                Err(refused(&format!("no end of a head within {REPLY_BYTES_MAX} bytes")))
            }
            Err(_) => Err(refused(&format!(
                "{}; does the server speak HTTP and WebSocket?",
                server_message(&self.reply)
            ))),
        }
    }

    /// Checks the head of the reply.
    fn check(&self, response: &Response<'_, '_>) -> Result<(), String> {
        let status = response.code.unwrap_or_default();
        let values = |name: &str| {
            let named = move |header: &&Header<'_>| header.name.eq_ignore_ascii_case(name);
            let found: Vec<&[u8]> =
                response.headers.iter().filter(named).map(|header| header.value).collect();
            String::from_utf8_lossy(&found.join(&b", "[..])).into_owned()
        };
        let has = |name: &str, word: &str| {
            values(name).split(',').any(|found| found.trim().eq_ignore_ascii_case(word))
        };
        if status != 101 {
            let remedy = self.remedy(status, &values("location"));
            return Err(refused(&format!("{}; {remedy}", server_message(&self.reply))));
        }
        if !has("upgrade", "websocket") || !has("connection", "upgrade") {
            return Err(refused(&format!(
                "the reply with status 101 has 'Upgrade: {}' and 'Connection: {}', and not \
                 'websocket' and 'Upgrade'; is it a server of WebSocket?",
                values("upgrade").escape_debug(),
                values("connection").escape_debug()
            )));
        }
        let right = accept(&self.key);
        let accepted = values("sec-websocket-accept");
        if accepted != right {
            return Err(refused(&format!(
                "Sec-WebSocket-Accept is '{}', and for this key it must be '{right}'; does \
                 something between replay the reply to another client?",
                accepted.escape_debug()
            )));
        }
        let extensions = values("sec-websocket-extensions");
        if !extensions.is_empty() {
            return Err(refused(&format!(
                "the server uses the extension '{}', which was not offered",
                extensions.escape_debug()
            )));
        }
        let protocol = values("sec-websocket-protocol");
        if !protocol.is_empty() && !self.upgrade.protocols.contains(&protocol) {
            return Err(refused(&format!(
                "the server chose the protocol '{}', which was not offered; offer it with \
                 --http-header 'Sec-WebSocket-Protocol: ...'",
                protocol.escape_debug()
            )));
        }
        Ok(())
    }

    /// What to do about a status.
    fn remedy(&self, status: u16, location: &str) -> String {
        match status {
            301 | 302 | 303 | 307 | 308 => {
                format!("it is redirected to '{}'; name that one", location.escape_debug())
            }
            401 | 403 | 407 => {
                "does it want credentials, or another Origin (--http-header)?".into()
            }
            400 | 426 => "does it speak version 13 of WebSocket at this path?".into(),
            _ => format!("does it speak WebSocket at the path {}?", self.upgrade.path),
        }
    }
}

/// The value of Sec-WebSocket-Accept that answers a key.
fn accept(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64_STANDARD.encode(hash)
}

fn refused(why: &str) -> String {
    format!("upgrade to WebSocket: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(headers: &[&str]) -> Result<Arc<Upgrade>, String> {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        Upgrade::new("a:1", "/b?c".to_owned(), &headers).map(Arc::new)
    }

    fn exchange(headers: &[&str]) -> UpgradeExchange {
        UpgradeExchange::new(&upgrade(headers).unwrap(), 1, 2, 3)
    }

    /// The right reply to an exchange, with these lines in it.
    fn reply(exchange: &UpgradeExchange, lines: &str) -> Vec<u8> {
        let accept = accept(&exchange.key);
        format!(
            "HTTP/1.1 101 Switching\r\nupgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
             {lines}Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn the_key_of_the_rfc_has_the_accept_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_has_what_the_rfc_wants_and_the_headers_of_the_user() {
        let exchange = exchange(&["Origin: http://a"]);
        let (head, key) = exchange.request.rsplit_once(": ").unwrap();
        assert_eq!(
            head,
            "GET /b?c HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nOrigin: http://a\r\nSec-WebSocket-Key"
        );
        let key = key.strip_suffix("\r\n\r\n").unwrap();
        assert_eq!(BASE64_STANDARD.decode(key).unwrap().len(), 16);
        let other = upgrade(&["host: b"]).unwrap();
        assert_eq!(other.head.matches("ost: ").count(), 1);
        assert!(other.head.contains("\r\nhost: b\r\n"));
    }

    #[test]
    fn the_key_depends_on_seed_connection_and_stream_alone() {
        let upgrade = upgrade(&[]).unwrap();
        let key =
            |seed, connection, stream| UpgradeExchange::new(&upgrade, seed, connection, stream).key;
        assert_eq!(key(1, 2, 3), key(1, 2, 3));
        for other in [key(2, 2, 3), key(1, 3, 3), key(1, 2, 4)] {
            assert_ne!(key(1, 2, 3), other);
        }
    }

    #[test]
    fn headers_of_the_upgrade_itself_are_refused() {
        for name in ["Upgrade", "connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
            let said = upgrade(&[&format!("{name}: x")]).unwrap_err();
            assert!(said.contains(name) && said.contains("by itself; leave it out"), "{said}");
        }
        let said = upgrade(&["Sec-WebSocket-Extensions: permessage-deflate"]).unwrap_err();
        assert!(said.contains("knows no extension"), "{said}");
    }

    #[test]
    fn bytes_behind_the_reply_are_not_part_of_it_however_it_is_cut() {
        let right = reply(&exchange(&[]), "");
        for cut in 0..right.len() {
            let mut exchange = exchange(&[]);
            assert_eq!(exchange.receive(&right[..cut]), Ok(None), "{cut}");
            let rest = [&right[cut..], b"\x82\x01x"].concat();
            assert_eq!(exchange.receive(&rest), Ok(Some(rest.len() - 3)), "{cut}");
        }
    }

    #[test]
    fn a_reply_that_is_no_upgrade_is_quoted_with_the_remedy() {
        let of = |bytes: &[u8]| exchange(&[]).receive(bytes).unwrap_err();
        let plain = |head: &str| of(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
        for (head, said) in [
            ("404 Not Found", "'HTTP/1.1 404 Not Found'; does it speak WebSocket at the path /b?c"),
            ("403 No", "another Origin (--http-header)?"),
            ("426 Upgrade Required", "version 13"),
            ("302 Found\r\nLocation: /d", "it is redirected to '/d'; name that one"),
            ("200 OK", "'HTTP/1.1 200 OK'; does it speak"),
            ("101 X", "has 'Upgrade: ' and 'Connection: '"),
            ("101 X\r\nUpgrade: h2c\r\nConnection: Upgrade", "has 'Upgrade: h2c'"),
            ("101 X\r\nUpgrade: websocket\r\nConnection: Upgrade", "Sec-WebSocket-Accept is ''"),
        ] {
            let words = plain(head);
            assert!(words.starts_with("upgrade to WebSocket: "), "{words}");
            assert!(words.contains(said), "{head}: {words}");
        }
        assert!(of(b"-ERR unknown command\r\n\r\n").contains("said '-ERR unknown command'; does"));
        assert!(of(b"\x15\x03\x01\x00\x02\x02\x46").contains("speaks TLS"));
        assert!(of(&[b"HTTP/1.1 101 X\r\nA: ", &[b'x'; 70_000][..]].concat()).contains("65536"));
    }

    #[test]
    fn an_accept_of_another_key_is_shown_beside_the_right_one() {
        let mut other = exchange(&[]);
        other.key = "dGhlIHNhbXBsZSBub25jZQ==".to_owned();
        let words = exchange(&[]).receive(&reply(&other, "")).unwrap_err();
        assert!(words.contains("is 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', and for this key"), "{words}");
    }

    #[test]
    fn the_server_chooses_only_what_was_offered() {
        let answered = |headers: &[&str], lines: &str| {
            let mut exchange = exchange(headers);
            let reply = reply(&exchange, lines);
            exchange.receive(&reply).map(|taken| taken.is_some())
        };
        let offer = ["Sec-WebSocket-Protocol: chat.v1, chat.v2"];
        let chosen = "Sec-WebSocket-Protocol: chat.v2\r\n";
        assert_eq!(answered(&offer, chosen), Ok(true));
        assert_eq!(answered(&offer, ""), Ok(true));
        assert!(answered(&[], chosen).unwrap_err().contains("'chat.v2', which was not offered"));
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        assert!(answered(&[], deflate).unwrap_err().contains("'permessage-deflate', which was"));
    }
}
