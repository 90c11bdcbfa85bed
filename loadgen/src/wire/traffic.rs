//! The traffic that all connections of a run share: framing, comparison, sizes, payload.

use super::framing::Framing;
use super::http::HttpTraffic;
use super::key_value::KeyValueTraffic;
use super::payload::Payload;
use super::sizes::Sizes;
use super::spec::{TrafficSpec, Verify};
use crate::schedule::random;

/// Part of a seed from which the sizes are drawn.
const SIZES: u64 = 2 << 40;

/// The traffic of a run. All threads read it. Only the first HTTP reply of each request
/// and status is written, once, and the versions of keys.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(super) framing: Framing,
    pub(super) sizes: Sizes,
    pub(super) verify: Verify,
    pub(super) payload: Payload,
    /// HTTP requests; nothing for other protocols.
    pub(super) http: Option<HttpTraffic>,
    /// Requests with keys; nothing for other protocols.
    pub(super) key_value: Option<KeyValueTraffic>,
    seed: u64,
}

impl Traffic {
    /// The traffic of a run.
    pub(crate) fn new(spec: &TrafficSpec, seed: u64) -> Self {
        let framing = Framing::new(spec.protocol, spec.is_text);
        let payload = Payload::new(seed, framing.alphabet());
        Self {
            payload: if framing.is_websocket() { payload.with_mask(seed) } else { payload },
            framing,
            sizes: spec.sizes.clone(),
            verify: spec.verify,
            http: spec.http.as_ref().map(|http| HttpTraffic::new(http, seed)),
            key_value: spec.key_value.as_ref().map(|key_value| {
                KeyValueTraffic::new(key_value, spec.protocol, &spec.sizes, spec.verify, seed)
            }),
            seed,
        }
    }

    /// The key from which the sizes of a connection are drawn.
    pub(super) fn sizes_key(&self, connection: u32) -> u64 {
        random::key(self.seed, SIZES + u64::from(connection))
    }
}
