//! What all connections of a run exchange.

use super::framing::Framing;
use super::http::{self, Reference};
use super::payload::Payload;
use super::protocol::Verify;
use super::sizes::Sizes;
use crate::options::TrafficOptions;
use crate::schedule::random;

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
    pub(crate) fn new(options: &TrafficOptions, seed: u64) -> Self {
        let request = http::request(&options.http_path, &options.http_host, &options.http_headers);
        let framing = Framing::new(options.protocol, request);
        Self {
            payload: Payload::new(seed, framing.alphabet()),
            framing,
            sizes: options.sizes.clone(),
            verify: options.verify,
            reference: Reference::default(),
            seed,
        }
    }

    /// What the sizes of a connection are made of.
    pub(super) fn sizes_key(&self, connection: u32) -> u64 {
        random::key(self.seed, SIZES + u64::from(connection))
    }
}
