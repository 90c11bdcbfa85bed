//! TLS 1.2 and 1.3: who a server or a client is, whom it trusts, what a handshake agreed on, and
//! what goes wrong.
//!
//! [`TlsServer`] and [`TlsClient`] are made once, and are cheap to clone.
//! [`Bufferevents::accept_tls`](crate::Bufferevents::accept_tls) and
//! [`BuffereventMut::start_tls_client`](crate::BuffereventMut::start_tls_client) use them, and so
//! do the TLS listeners of a server.
//!
//! ```no_run
//! use evshard::tls::{Identity, TlsClient, TlsServer, TrustRoots};
//!
//! let identity = Identity::from_files("server.pem", "server.key")?;
//! let server = TlsServer::builder(identity).alpn(["http/1.1"]).build()?;
//! let client = TlsClient::builder(TrustRoots::system()?).build()?;
//! # Ok::<(), evshard::tls::TlsError>(())
//! ```
//!
//! rustls speaks the protocol, with the cryptography of ring.

mod client;
mod error;
mod facts;
mod identity;
mod provider;
mod server;
mod trust;

pub use client::{TlsClient, TlsClientBuilder};
pub use error::{TlsError, TlsFailure};
pub use facts::{TlsFacts, TlsVersion};
pub use identity::Identity;
pub use server::{TlsServer, TlsServerBuilder};
pub use trust::TrustRoots;
