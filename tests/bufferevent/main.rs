//! Bufferevents, through the public interface.

mod app;
#[path = "../common/mod.rs"]
mod common;
mod connect;
mod defects;
mod filter;
mod listener;
mod model;
mod pair;
mod rate_limit;
mod ratelim;
mod socket;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_faults;
#[cfg(feature = "tls")]
mod tls_identity;
#[cfg(feature = "tls")]
mod tls_model;
#[cfg(feature = "tls")]
mod tls_peers;
#[cfg(feature = "tls")]
mod tls_relay;
#[cfg(feature = "tls")]
mod tls_start;
