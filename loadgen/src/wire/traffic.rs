//! What all connections of a run exchange.

use super::framing::Framing;
use super::http::{self, Reference};
use super::payload::Payload;
use super::protocol::{Protocol, Verify};
use super::sizes::Sizes;
use crate::schedule::random;

/// What is sent and compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrafficSpec {
    pub(crate) protocol: Protocol,
    pub(crate) sizes: Sizes,
    pub(crate) verify: Verify,
    /// What http requests name as the host they are for.
    pub(crate) http_host: String,
    pub(crate) http_path: String,
    pub(crate) http_headers: Vec<String>,
}

/// Part of a seed that the sizes are made of.
const SIZES: u64 = 2 << 40;

/// The traffic of a run: the same for all threads, which only read it. What they learn together
/// (how the body of an HTTP reply must look) is written once.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(super) framing: Framing,
    pub(super) sizes: Sizes,
    pub(super) verify: Verify,
    pub(super) payload: Payload,
    pub(super) reference: Reference,
    seed: u64,
}

impl Traffic {
    /// The traffic of a run.
    pub(crate) fn new(spec: &TrafficSpec, seed: u64) -> Self {
        let request = http::request(&spec.http_path, &spec.http_host, &spec.http_headers);
        let framing = Framing::new(spec.protocol, request);
        Self {
            payload: Payload::new(seed, framing.alphabet()),
            framing,
            sizes: spec.sizes.clone(),
            verify: spec.verify,
            reference: Reference::default(),
            seed,
        }
    }

    /// What the sizes of a connection are made of.
    pub(super) fn sizes_key(&self, connection: u32) -> u64 {
        random::key(self.seed, SIZES + u64::from(connection))
    }
}
