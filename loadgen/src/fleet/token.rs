//! How an agent that dials in and its coordinator prove to each other that they know the token. The
//! token itself is never sent.
//!
//! ```text
//! agent ── hello ─────────────────────────────────────────────────────────────▶ coordinator
//!       ◀─ challenge: nonce of the coordinator ────────────────────────────────
//!       ── proof: nonce of the agent, HMAC(token, "agent", nonces, binding) ──▶
//!       ◀─ accepted: HMAC(token, "coordinator", nonces, binding) ──────────────
//! ```
//!
//! The nonces make each proof new, and the names of the sides keep one from being sent back. The
//! binding is a value that only the two ends of this very stream share (RFC 9266): who stands
//! between two streams of TLS has two of them, and so cannot pass on a proof.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Length of a nonce. Two are the same by chance never.
const NONCE_BYTES: usize = 32;

/// Who proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Agent,
    Coordinator,
}

impl Side {
    /// What its proof begins with: a number of this protocol, and of what it is.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Agent => b"loadgen agents 1, agent\0",
            Self::Coordinator => b"loadgen agents 1, coordinator\0",
        }
    }
}

/// A random number that is used once, in base64.
pub(super) fn nonce() -> Result<String, String> {
    let mut nonce = [0; NONCE_BYTES];
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| "the system has no random numbers (getrandom)".to_owned())?;
    Ok(BASE64.encode(nonce))
}

/// What both proofs of one stream are about.
pub(super) struct Proofs {
    key: hmac::Key,
    /// The nonces of coordinator and agent, and the binding.
    subject: Vec<u8>,
}

impl Proofs {
    /// Nothing if one of the nonces is none.
    pub(super) fn new(
        token: &str,
        of_coordinator: &str,
        of_agent: &str,
        binding: &[u8],
    ) -> Option<Self> {
        let mut subject = Vec::new();
        for nonce in [of_coordinator, of_agent] {
            let nonce = BASE64.decode(nonce).ok().filter(|nonce| nonce.len() == NONCE_BYTES)?;
            subject.extend(nonce);
        }
        subject.extend(binding);
        Some(Self { key: hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()), subject })
    }

    /// The proof of a side, in base64.
    pub(super) fn of(&self, side: Side) -> String {
        BASE64.encode(hmac::sign(&self.key, &[side.label(), &self.subject].concat()))
    }

    /// Whether this is the proof of a side. The time that it takes does not depend on where it
    /// differs.
    pub(super) fn is_of(&self, side: Side, proof: &str) -> bool {
        let subject = [side.label(), &self.subject].concat();
        let proof = BASE64.decode(proof).unwrap_or_default();
        hmac::verify(&self.key, &subject, &proof).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_token_one_side_and_one_stream() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, other);
        let of = |token, of_coordinator: &str, of_agent: &str, binding: &[u8]| {
            Proofs::new(token, of_coordinator, of_agent, binding).unwrap()
        };
        let proofs = of("secret", &one, &other, b"b");
        let proof = proofs.of(Side::Agent);
        assert!(proofs.is_of(Side::Agent, &proof));
        assert!(!proofs.is_of(Side::Coordinator, &proof), "sent back");
        for (changed, what) in [
            (of("secre", &one, &other, b"b"), "token"),
            (of("secret", &other, &other, b"b"), "nonce of the coordinator"),
            (of("secret", &one, &one, b"b"), "nonce of the agent"),
            (of("secret", &other, &one, b"b"), "nonces the other way round"),
            (of("secret", &one, &other, b"c"), "binding"),
        ] {
            assert!(!changed.is_of(Side::Agent, &proof), "{what}");
        }
        for wrong in ["", "!", &proof[..4], &proof.to_lowercase()] {
            assert!(!proofs.is_of(Side::Agent, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_nonce_of_another_length_is_none() {
        let good = nonce().unwrap();
        for wrong in ["", "AAAA", "no base64", &format!("{good}AAAA")] {
            assert!(Proofs::new("secret", &good, wrong, b"").is_none(), "{wrong}");
            assert!(Proofs::new("secret", wrong, &good, b"").is_none(), "{wrong}");
        }
    }
}
