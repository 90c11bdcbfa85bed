//! Records that no correct client sends, with the keys of one.

use std::io::Write;
use std::net::TcpStream;

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use crate::clients::{Access, handshake};

/// A connection whose handshake is done, on which anything can be sent encrypted.
pub(crate) struct Forger {
    pub(crate) socket: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Forger {
    pub(crate) fn connect(site: &Access, version: &'static SupportedProtocolVersion) -> Self {
        let mut config = site.authority.client(&[version]);
        config.enable_secret_extraction = true;
        let mut client = site.connect_with(&config.into());
        handshake(&mut client);
        let suite = client.conn.negotiated_cipher_suite().unwrap();
        let (connection, socket) = client.into_parts();
        let (next, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("ring has no other cipher")
        };
        Self { socket, encrypter: encrypter(suite, key, iv), next }
    }

    /// A record with this content.
    pub(crate) fn record(&mut self, content: ContentType, payload: &[u8]) -> Vec<u8> {
        let version = ProtocolVersion::TLSv1_2;
        let payload = OutboundChunks::Single(payload);
        let plain = OutboundPlainMessage { typ: content, version, payload };
        let record = self.encrypter.encrypt(plain, self.next).unwrap();
        self.next += 1;
        record.encode()
    }

    /// Sends records, until all are sent or the server has closed the connection.
    pub(crate) fn flood(&mut self, content: ContentType, payload: &[u8], count: usize) {
        for _ in 0..count {
            let record = self.record(content, payload);
            if self.socket.write_all(&record).is_err() {
                return;
            }
        }
    }
}

fn encrypter(suite: SupportedCipherSuite, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let shape = suite.aead_alg.key_block_shape();
            let (fixed, explicit) = iv.as_ref().split_at(shape.fixed_iv_len);
            suite.aead_alg.encrypter(key, fixed, &explicit[..shape.explicit_nonce_len])
        }
    }
}
