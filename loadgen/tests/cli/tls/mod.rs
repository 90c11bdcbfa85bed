//! TLS: what a user sees of it, with servers that do it right and servers that do not.

mod authority;
mod failures;
mod handshakes;
mod openssl;
mod peer;
mod traffic;
