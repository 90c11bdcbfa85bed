//! A base in a forked child (libevent: `event_reinit`).

use crate::base::EventBase;
use crate::error::Result;

impl<C> EventBase<C> {
    /// Makes a base usable in a child after `fork(2)`, and no longer entangled with its parent's.
    ///
    /// The kernel objects of a base are shared with the parent until then: what the child changes,
    /// the parent feels. This opens new ones, under the same numbers where other threads could
    /// have them, and registers every pending event there. Call it first thing in the child; the
    /// parent's base is not affected, neither by this nor by dropping the base instead.
    ///
    /// A child has only the thread that forked. If another thread was posting to this base at that
    /// moment, the base's [`Remote`](crate::base::Remote) stays locked for ever: fork while no
    /// thread posts. What was posted or active before the fork runs in both processes.
    ///
    /// # Errors
    ///
    /// [`Error::Os`](crate::Error::Os) if the kernel gives no new descriptor. Descriptors that
    /// cannot be registered again are told to their events as
    /// [`Ready::REFUSED`](crate::Ready::REFUSED).
    pub fn reinit(&mut self) -> Result<()> {
        let registry = &mut self.registry;
        registry.backend = registry.kind.open(registry.flush)?;
        registry.notifier.renew()?;
        registry.signals.renew()?;
        registry.changelist.clear();
        let changes = registry.fds.register_all();
        registry.backend.apply(&changes, &mut registry.refused);
        registry.report_refusals();
        Ok(())
    }
}
