//! TLS: what a user sees of it, with servers that do it right and servers that do not.

pub(crate) mod authority;
mod failures;
mod handshakes;
mod openssl;
pub(crate) mod peer;
mod traffic;
