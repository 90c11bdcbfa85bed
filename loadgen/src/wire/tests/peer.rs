//! A server in memory, written from the definitions of the protocols and from nothing else here.

use crate::wire::Protocol;

/// What a reply consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SentReply {
    pub(super) bytes: Vec<u8>,
    /// Of each byte, whether it is payload (or, over HTTP, body) and not framing.
    pub(super) is_payload: Vec<bool>,
}

impl SentReply {
    /// Appends bytes of the framing.
    pub(super) fn framing(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self.is_payload.resize(self.bytes.len(), false);
        self
    }

    /// Appends bytes of the payload.
    pub(super) fn payload(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self.is_payload.resize(self.bytes.len(), true);
        self
    }
}

/// A request as the server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParsedRequest {
    pub(super) payload: Vec<u8>,
    /// Its length in the stream; raw requests differ in nothing else.
    pub(super) bytes: usize,
}

/// The first whole request in `stream` on connection number `connection`; `size` is that of a raw
/// request, which does not say so itself.
pub(super) fn first_request(
    protocol: Protocol,
    connection: u32,
    size: usize,
    stream: &[u8],
) -> Option<ParsedRequest> {
    let (head_bytes, payload_bytes, tail) = match protocol {
        Protocol::Raw => (0, size, ""),
        Protocol::Len32 => {
            let length = u32::from_be_bytes(*stream.first_chunk()?);
            (4, length as usize, "")
        }
        Protocol::Line => (0, line(stream)?.len() - 1, "\n"),
        Protocol::Http => {
            let end = stream.windows(4).position(|four| four == b"\r\n\r\n")?;
            assert!(stream.starts_with(b"GET /path HTTP/1.1\r\nHost: example:80\r\n"));
            (end + 4, 0, "")
        }
        Protocol::RespPing => {
            assert!(b"*1\r\n$4\r\nPING\r\n".starts_with(&stream[..stream.len().min(14)]));
            (14, 0, "")
        }
        Protocol::RespEcho => {
            let command = stream.strip_prefix(b"*2\r\n$4\r\nECHO\r\n$")?;
            let head = line(command)?;
            (stream.len() - command.len() + head.len(), number(head), "\r\n")
        }
        Protocol::Memcached => {
            let head = line(stream)?;
            let words: Vec<&[u8]> = head.split(|&byte| byte == b' ').collect();
            let key = format!("lg:{connection}");
            assert_eq!(words[..4], [b"set", key.as_bytes(), b"0", b"0"]);
            (head.len(), number(words[4]), "\r\n")
        }
        Protocol::WebSocket => return websocket_request(stream),
        _ => panic!("{protocol} has a peer of its own"),
    };
    let payload = stream.get(head_bytes..head_bytes + payload_bytes)?;
    let rest = &stream[head_bytes + payload_bytes..];
    assert!(tail.as_bytes().starts_with(&rest[..rest.len().min(tail.len())]), "{protocol}");
    let bytes = head_bytes + payload_bytes + tail.len();
    (stream.len() >= bytes).then(|| ParsedRequest { payload: payload.to_vec(), bytes })
}

fn line(stream: &[u8]) -> Option<&[u8]> {
    let end = stream.iter().position(|&byte| byte == b'\n')?;
    Some(&stream[..=end])
}

fn number(text: &[u8]) -> usize {
    let digits = text.strip_suffix(b"\r\n").unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// The reply to a request; `turn` makes replies over HTTP differ in all but their bodies.
pub(super) fn reply_to(protocol: Protocol, request: &ParsedRequest, turn: usize) -> SentReply {
    let payload = &request.payload;
    let length = payload.len();
    match protocol {
        Protocol::Raw => SentReply::default().payload(payload),
        Protocol::Len32 => {
            SentReply::default().framing((length as u32).to_be_bytes()).payload(payload)
        }
        Protocol::Line => SentReply::default().payload(payload).framing("\n"),
        Protocol::Http => http(turn, &body()),
        Protocol::RespPing => SentReply::default().framing("+PONG\r\n"),
        Protocol::RespEcho => {
            SentReply::default().framing(format!("${length}\r\n")).payload(payload).framing("\r\n")
        }
        Protocol::Memcached => SentReply::default().framing("STORED\r\n"),
        Protocol::WebSocket => websocket(turn, payload),
        _ => panic!("{protocol} has a peer of its own"),
    }
}

/// A masked binary message in one frame, with its length in as few bytes as possible.
fn websocket_request(stream: &[u8]) -> Option<ParsedRequest> {
    let &[first, second] = stream.first_chunk()?;
    assert_eq!((first, second & 0x80), (0x82, 0x80));
    let (key_at, length) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(*stream[2..].first_chunk()?).into()),
        127 => (10, u64::from_be_bytes(*stream[2..].first_chunk()?)),
        short => (2, short.into()),
    };
    assert!(match length {
        0..=125 => key_at == 2,
        126..=0xffff => key_at == 4,
        _ => key_at == 10,
    });
    let key: [u8; 4] = *stream[key_at..].first_chunk()?;
    assert_ne!(key, [0; 4]);
    let bytes = key_at + 4 + length as usize;
    let masked = stream.get(key_at + 4..bytes)?;
    let payload = masked.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    Some(ParsedRequest { payload, bytes })
}

/// The head of a frame of WebSocket.
pub(in crate::wire) fn websocket_head(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, length as u8],
        126..=0xffff => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// The same message: in one frame; in several, some of them empty; or in several with pongs that no
/// ping has asked for.
fn websocket(turn: usize, payload: &[u8]) -> SentReply {
    let head = |first, length| websocket_head(first, length);
    let whole = SentReply::default();
    if turn.is_multiple_of(3) {
        return whole.framing(head(0x82, payload.len())).payload(payload);
    }
    let mut reply = whole.framing(head(0x02, 0));
    for piece in payload.chunks(turn % 90 + 40) {
        reply = reply.framing(head(0x00, piece.len())).payload(piece);
        if turn % 3 == 2 {
            reply = reply.framing(head(0x8a, 3)).framing("you");
        }
    }
    reply.framing(head(0x80, 0))
}

/// The body of all HTTP replies: no two neighbours are the same.
pub(super) fn body() -> Vec<u8> {
    (0..300_u32).map(|index| (index * 7 % 251) as u8).collect()
}

/// An HTTP reply with this body in one of the ways there are.
pub(super) fn http(turn: usize, body: &[u8]) -> SentReply {
    let with_length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
    match turn % 4 {
        0 => SentReply::default().framing(with_length).framing("\r\n").payload(body),
        1 => chunked(turn, body),
        2 => SentReply::default()
            .framing("HTTP/1.1 100 Continue\r\n\r\n")
            .framing(with_length)
            .framing("Date: now\r\n\r\n")
            .payload(body),
        _ => SentReply::default()
            .framing(with_length)
            .framing(format!("Turn: {turn}\r\n\r\n"))
            .payload(body),
    }
}

fn chunked(turn: usize, body: &[u8]) -> SentReply {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |reply: SentReply, chunk: &[u8]| {
        let line = format!("{:X};note=\"x\"\r\n", chunk.len());
        reply.framing(line).payload(chunk).framing("\r\n")
    };
    let reply = body.chunks(turn % 90 + 40).fold(SentReply::default().framing(head), chunk);
    let trailer = if turn.is_multiple_of(3) { "" } else { "Sum: 1\r\nTime: 2\r\n" };
    reply.framing(format!("0\r\n{trailer}\r\n"))
}
