//! The head and tail that each protocol adds to a payload, in requests and replies.

use super::frame::Frame;
use super::payload::Alphabet;
use super::spec::Protocol;

/// Longest generated head: exactly `set lg:4294967295 0 0 67108864\r\n`.
const HEAD_BYTES_MAX: usize = 32;

/// Redis `PING` and `ECHO`, from the specification of RESP.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";
const ECHO: &[u8] = b"*2\r\n$4\r\nECHO\r\n";

/// memcached's answer to `set`, from its doc/protocol.txt.
const STORED: &[u8] = b"STORED\r\n";

/// How error lines begin: Redis, from the specification of RESP; memcached, from doc/protocol.txt.
const RESP_ERRORS: &[&[u8]] = &[b"-"];
const MEMCACHED_ERRORS: &[&[u8]] = &[b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"NOT_STORED"];

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the server.
    Request,
    /// From the server.
    Reply,
}

/// The framing of a run's messages.
#[derive(Debug)]
pub(super) struct Framing {
    protocol: Protocol,
    /// Whether messages of WebSocket are text.
    is_text: bool,
}

/// What the framing of a message depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline {
    /// Number of the connection.
    pub(super) connection: u32,
    /// Size of the payload.
    pub(super) size: u64,
    /// The key that masks the payload of a request; zeros except over WebSocket.
    pub(super) key: [u8; 4],
}

impl Framing {
    /// The framing of `protocol`; `is_text` says whether messages of WebSocket are text.
    pub(super) fn new(protocol: Protocol, is_text: bool) -> Self {
        Self { protocol, is_text }
    }

    /// The bytes that payloads may contain.
    pub(super) fn alphabet(&self) -> Alphabet {
        match self.protocol {
            Protocol::Line => Alphabet::Printable,
            Protocol::WebSocket if self.is_text => Alphabet::Printable,
            _ => Alphabet::Bytes,
        }
    }

    /// Whether messages are those of WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        self.protocol == Protocol::WebSocket
    }

    /// Whether messages of WebSocket are text.
    pub(super) fn is_text(&self) -> bool {
        self.is_text
    }

    /// Whether messages are payload and nothing else.
    pub(super) fn is_raw(&self) -> bool {
        self.protocol == Protocol::Raw
    }

    /// How a line begins that the server sends instead of a reply, to report an error.
    fn error_words(&self) -> &'static [&'static [u8]] {
        match self.protocol {
            Protocol::RespPing | Protocol::RespEcho => RESP_ERRORS,
            Protocol::Memcached => MEMCACHED_ERRORS,
            _ => &[],
        }
    }

    /// Whether the server reports errors as lines of text.
    pub(super) fn has_error_lines(&self) -> bool {
        !self.error_words().is_empty()
    }

    /// Whether `received` can be the beginning of an error line.
    pub(super) fn begins_error_line(&self, received: &[u8]) -> bool {
        let agrees = |word: &&[u8]| {
            if received.len() < word.len() {
                word.starts_with(received)
            } else {
                received.starts_with(word)
            }
        };
        self.error_words().iter().any(agrees)
    }

    /// The message with this outline. A reply of WebSocket is its payload: the server may divide
    /// it into frames as it likes.
    pub(super) fn frame<'a>(
        &'a self,
        direction: Direction,
        outline: Outline,
        buffer: &'a mut HeadBuffer,
    ) -> Frame<'a> {
        let Outline { connection, size, key } = outline;
        let crlf: &[u8] = b"\r\n";
        let (head, payload_bytes, tail): (&[u8], u64, &[u8]) = match (self.protocol, direction) {
            (Protocol::Raw, _) => (&[], size, &[]),
            (Protocol::Len32, _) => (buffer.big_endian(size), size, &[]),
            (Protocol::Line, _) => (&[], size - 1, b"\n"),
            (Protocol::RespPing, Direction::Request) => (PING, 0, &[]),
            (Protocol::RespPing, Direction::Reply) => (PONG, 0, &[]),
            (Protocol::RespEcho, Direction::Request) => (buffer.bulk(ECHO, size), size, crlf),
            (Protocol::RespEcho, Direction::Reply) => (buffer.bulk(&[], size), size, crlf),
            (Protocol::Memcached, Direction::Request) => (buffer.set(connection, size), size, crlf),
            (Protocol::Memcached, Direction::Reply) => (STORED, 0, &[]),
            (Protocol::WebSocket, Direction::Request) => {
                (buffer.masked_frame(self.is_text, size, key), size, &[])
            }
            (Protocol::WebSocket, Direction::Reply) => (&[], size, &[]),
            // Commands with keys and HTTP requests have templates instead.
            (
                Protocol::Http
                | Protocol::Resp2
                | Protocol::Resp3
                | Protocol::MemcachedText
                | Protocol::MemcachedMeta,
                _,
            ) => (&[], 0, &[]),
        };
        let is_masked = self.is_websocket() && direction == Direction::Request;
        Frame { head, payload_bytes, is_masked, tail }
    }
}

/// Memory for the head of a message, so that none is allocated per message.
#[derive(Debug, Default)]
pub(super) struct HeadBuffer {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl HeadBuffer {
    /// The four bytes before a payload of `size` bytes.
    fn big_endian(&mut self, size: u64) -> &[u8] {
        let size = u32::try_from(size).expect("sizes are at most 64 MiB");
        self.push(&size.to_be_bytes()).written()
    }

    /// The head of a bulk string of Redis, behind `before`.
    fn bulk(&mut self, before: &[u8], size: u64) -> &[u8] {
        self.push(before).push(b"$").push_decimal(size).push(b"\r\n").written()
    }

    /// The head of memcached's `set` under a key of the connection's own.
    fn set(&mut self, connection: u32, size: u64) -> &[u8] {
        self.push(b"set lg:").push_decimal(connection.into()).push(b" 0 0 ");
        self.push_decimal(size).push(b"\r\n").written()
    }

    /// The head of a frame that is a whole message of WebSocket (RFC 6455, section 5.2): its kind,
    /// the announcement of a mask with the length in as few bytes as possible, and the key.
    fn masked_frame(&mut self, is_text: bool, size: u64, key: [u8; 4]) -> &[u8] {
        self.push(if is_text { &[0x81] } else { &[0x82] });
        match size {
            0..=125 => self.push(&[0x80 | size as u8]),
            126..=0xffff => self.push(&[0x80 | 126]).push(&(size as u16).to_be_bytes()),
            _ => self.push(&[0x80 | 127]).push(&size.to_be_bytes()),
        };
        self.push(&key).written()
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self
    }

    /// Appends the number in decimal digits. It runs for every message. The formatter of the
    /// standard library would cost more than the rest of the message.
    pub(super) fn push_decimal(&mut self, number: u64) -> &mut Self {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut left = number;
        for place in self.bytes[self.length..self.length + digits].iter_mut().rev() {
            *place = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.length += digits;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Head and tail of a message, with the length of the payload between them.
    fn shown(protocol: Protocol, direction: Direction, connection: u32, size: u64) -> String {
        let framing = Framing::new(protocol, false);
        let mut buffer = HeadBuffer::default();
        let outline = Outline { connection, size, key: *b"key!" };
        let frame = framing.frame(direction, outline, &mut buffer);
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        format!("{}<{}>{}", text(frame.head), frame.payload_bytes, text(frame.tail))
    }

    #[test]
    fn messages_look_as_the_protocols_define_them() {
        let both = |protocol, size| {
            (
                shown(protocol, Direction::Request, 7, size),
                shown(protocol, Direction::Reply, 7, size),
            )
        };
        let same = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(both(Protocol::Raw, 5), same("<5>"));
        assert_eq!(both(Protocol::Len32, 0x0102_0304), same(r"\x01\x02\x03\x04<16909060>"));
        assert_eq!(both(Protocol::Line, 5), same(r"<4>\n"));
        let (request, reply) = both(Protocol::RespPing, 5);
        assert_eq!((&*request, &*reply), (r"*1\r\n$4\r\nPING\r\n<0>", r"+PONG\r\n<0>"));
        let (request, reply) = both(Protocol::RespEcho, 10);
        assert_eq!(request, r"*2\r\n$4\r\nECHO\r\n$10\r\n<10>\r\n");
        assert_eq!(reply, r"$10\r\n<10>\r\n");
        let (request, reply) = both(Protocol::Memcached, 109);
        assert_eq!((&*request, &*reply), (r"set lg:7 0 0 109\r\n<109>\r\n", r"STORED\r\n<0>"));
    }

    #[test]
    fn a_frame_of_websocket_states_its_length_in_as_few_bytes_as_possible() {
        let request = |size| shown(Protocol::WebSocket, Direction::Request, 7, size);
        for (size, length) in [
            (1, r"\x81"),
            (125, r"\xfd"),
            (126, r"\xfe\x00~"),
            (65_535, r"\xfe\xff\xff"),
            (65_536, r"\xff\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            assert_eq!(request(size), format!(r"\x82{length}key!<{size}>"));
        }
        assert_eq!(shown(Protocol::WebSocket, Direction::Reply, 7, 300), "<300>");
    }

    #[test]
    fn the_longest_head_fits() {
        let head = shown(Protocol::Memcached, Direction::Request, u32::MAX, 64 << 20);
        assert_eq!(head, r"set lg:4294967295 0 0 67108864\r\n<67108864>\r\n");
    }

    #[test]
    fn decimals_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 99, 100, 101, 65_535, 67_108_864, 4_294_967_295] {
            let mut buffer = HeadBuffer::default();
            assert_eq!(buffer.push_decimal(number).written(), number.to_string().as_bytes());
        }
    }
}
