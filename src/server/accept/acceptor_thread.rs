//! The acceptor: a thread whose base has an acceptor and nothing else.

use super::super::stats::AcceptorStats;
use super::acceptor::{Acceptor, HasAcceptor};
use crate::base::{EventBase, Registry};
use crate::error::Result;

/// The context of its base.
#[derive(Debug)]
pub(in crate::server) struct AcceptorThread {
    pub(in crate::server) acceptor: Acceptor,
}

impl AcceptorThread {
    /// Its thread.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut acceptor: Self,
    ) -> Result<AcceptorStats> {
        base.run_until_exit(&mut acceptor)?;
        Ok(acceptor.acceptor.stats())
    }
}

impl HasAcceptor for AcceptorThread {
    fn acceptor(&mut self) -> Option<&mut Acceptor> {
        Some(&mut self.acceptor)
    }

    fn acceptor_is_done(registry: &mut Registry<Self>, _acceptor: &mut Self) {
        registry.loop_exit();
    }
}
