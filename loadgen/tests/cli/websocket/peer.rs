//! The server's side of a connection of WebSocket, waiting for each byte. It shares no code with
//! the loader.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

use crate::servers::Server;

/// A client whose upgrade has ended.
pub(crate) struct WebSocket<S = TcpStream> {
    stream: S,
    /// The head of its request.
    pub(crate) head: String,
}

/// A frame of a client, unmasked: its first byte and its payload.
pub(crate) type Frame = (u8, Vec<u8>);

impl<S: Read + Write> WebSocket<S> {
    /// Answers the upgrade of a client; nothing if it leaves before.
    pub(crate) fn accept(mut stream: S) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let reply = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            BASE64_STANDARD.encode(hash)
        );
        stream.write_all(reply.as_bytes()).ok()?;
        stream.flush().ok()?;
        Some(Self { stream, head })
    }

    /// The next frame; nothing if the client leaves before.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let [first, second] = self.array()?;
        assert!(second >= 0x80, "a client must mask");
        let length = match second & 0x7f {
            126 => u16::from_be_bytes(self.array()?).into(),
            127 => u64::from_be_bytes(self.array()?),
            short => short.into(),
        };
        let key: [u8; 4] = self.array()?;
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Some((first, payload))
    }

    /// Sends a frame; a client that has left is no concern of a server.
    pub(crate) fn write(&mut self, first: u8, payload: &[u8]) {
        let head = match payload.len() {
            0..=125 => vec![first, payload.len() as u8],
            126..=0xffff => [&[first, 126][..], &(payload.len() as u16).to_be_bytes()].concat(),
            length => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        let _ = self.stream.write_all(&[&head[..], payload].concat());
        let _ = self.stream.flush();
    }

    /// Echoes messages, and ends when the client does.
    pub(crate) fn echo(&mut self) {
        while let Some((first, payload)) = self.read() {
            self.write(first, &payload);
            if first == 0x88 {
                return;
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A server that runs `behave` for each client whose upgrade has ended; with its number.
pub(crate) fn serve(behave: impl Fn(WebSocket, u64) + Send + Sync + 'static) -> Server {
    Server::start(move |client| {
        let number = client.number;
        if let Some(client) = WebSocket::accept(client.into_stream()) {
            behave(client, number);
        }
    })
}
