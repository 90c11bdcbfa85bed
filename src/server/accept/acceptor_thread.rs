//! The acceptor thread: an event base that runs an acceptor and nothing else.

use super::acceptor::{Acceptor, HasAcceptor};
use crate::base::{EventBase, Registry};
use crate::error::Result;
use crate::server::stats::AcceptorStats;

/// The context of the thread's base.
#[derive(Debug)]
pub(in crate::server) struct AcceptorThread {
    pub(in crate::server) acceptor: Acceptor,
}

impl AcceptorThread {
    /// Runs on the acceptor thread until the acceptor is done.
    pub(in crate::server) fn run(
        mut base: EventBase<Self>,
        mut context: Self,
    ) -> Result<AcceptorStats> {
        base.run_until_exit(&mut context)?;
        Ok(context.acceptor.stats())
    }
}

impl HasAcceptor for AcceptorThread {
    fn acceptor(&mut self) -> Option<&mut Acceptor> {
        Some(&mut self.acceptor)
    }

    fn acceptor_is_done(registry: &mut Registry<Self>, _context: &mut Self) {
        registry.loop_exit();
    }
}
