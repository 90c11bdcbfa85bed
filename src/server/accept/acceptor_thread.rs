//! The acceptor: a thread whose base has a gate and nothing else.

use super::super::stats::GateStats;
use super::acceptor::{Accepts, Gate};
use crate::base::{EventBase, Registry};
use crate::error::Result;

/// The context of its base.
#[derive(Debug)]
pub(in crate::server) struct Acceptor {
    pub(in crate::server) gate: Gate,
}

impl Acceptor {
    /// Its thread.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut acceptor: Self,
    ) -> Result<GateStats> {
        base.run_until_exit(&mut acceptor)?;
        Ok(acceptor.gate.stats())
    }
}

impl Accepts for Acceptor {
    fn gate(&mut self) -> Option<&mut Gate> {
        Some(&mut self.gate)
    }

    fn gate_is_done(registry: &mut Registry<Self>, _acceptor: &mut Self) {
        registry.loop_exit();
    }
}
