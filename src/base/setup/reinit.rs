//! A base in a forked child (libevent: `event_reinit`).

use crate::base::EventBase;
use crate::error::Result;

impl<C> EventBase<C> {
    /// Makes a base usable in a child after `fork(2)`, independent of its parent's.
    ///
    /// Until then the child and the parent share the base's kernel objects, and a change in one
    /// affects the other. This call opens new objects, under the same numbers where other threads
    /// could hold them, and registers every pending event there. Call it first in the child. The
    /// parent's base is not affected, neither by this call nor by dropping the base instead.
    ///
    /// A child has only the thread that forked. If another thread was posting to this base at that
    /// moment, the base's [`Remote`](crate::base::Remote) stays locked for ever: fork while no
    /// thread posts. What was posted or active before the fork runs in both processes.
    ///
    /// # Errors
    ///
    /// [`Error::Os`](crate::Error::Os) if a new descriptor cannot be created. The events of
    /// descriptors that cannot be registered again get [`Ready::REFUSED`](crate::Ready::REFUSED).
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
