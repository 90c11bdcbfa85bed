//! How a base is set up (libevent: `event_config`).

use super::changelist::ChangelistPolicy;
use crate::backend::BackendKind;

/// Options of an [`EventBase`](super::EventBase); the default is the best backend with
/// [`ChangelistPolicy::Immediate`], as in libevent.
///
/// ```
/// use evshard::{BackendKind, ChangelistPolicy, Config};
/// let config = Config::default()
///     .backend(BackendKind::Epoll)
///     .changelist(ChangelistPolicy::Deferred);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a config does nothing until a base is made with it"]
pub struct Config {
    pub(super) backend: BackendKind,
    pub(super) changelist: ChangelistPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self { backend: BackendKind::ALL[0], changelist: ChangelistPolicy::default() }
    }
}

impl Config {
    /// The mechanism to wait with.
    pub fn backend(mut self, kind: BackendKind) -> Self {
        self.backend = kind;
        self
    }

    /// When the kernel learns of changes (libevent: `EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST`).
    pub fn changelist(mut self, policy: ChangelistPolicy) -> Self {
        self.changelist = policy;
        self
    }
}
