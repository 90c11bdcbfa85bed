//! TLS to the server.
//!
//! ```text
//! settings      what the flags ask for
//! files         the files that they name: trusted certificates, the client's certificate and key
//! accept_any    a verifier that accepts every certificate
//! client        both together, ready for use; one for all connections
//! connector     begins the handshakes of one connection, and has its sessions
//!   sessions      what its handshakes may resume
//! stream        one stream, from the beginning of its handshake
//! transport     a stream that is plain or TLS
//! negotiated    what a handshake agreed on
//! failure       why a handshake failed
//! ```
//!
//! The protocol and its cryptography are those of rustls and ring. Nothing here knows schedules.

mod accept_any;
mod client;
mod connector;
mod failure;
mod files;
mod negotiated;
mod sessions;
mod settings;
mod stream;
mod transport;

pub(crate) use self::accept_any::AcceptAny;
pub(crate) use self::client::TlsClient;
pub(crate) use self::connector::Connector;
pub(crate) use self::failure::{FailureCause, HandshakeFailure};
pub(crate) use self::negotiated::Negotiated;
pub(crate) use self::settings::{IdentityFiles, MinVersion, Resumption, TlsSettings, server_name};
pub(crate) use self::stream::TlsStream;
pub(crate) use self::transport::{Transport, is_transient};
