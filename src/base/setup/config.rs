//! The options of a base (libevent: `event_config`).

use crate::backend::{BackendKind, ChangelistFlush, Features};
use crate::base::changelist::ChangelistPolicy;
use crate::base::events::signal::SignalMethod;
use crate::base::leniency::Leniency;
use crate::base::limit::DispatchLimit;
use crate::base::timers::clock::ClockKind;

/// Options of an [`EventBase`](crate::EventBase).
///
/// The default is the best backend there is, with [`ChangelistPolicy::Immediate`] as in libevent,
/// and one priority.
///
/// ```
/// use evshard::{BackendKind, ChangelistPolicy, Config, EventBase, Features};
///
/// let config = Config::default()
///     .require_features(Features::EARLY_CLOSE)
///     .avoid(BackendKind::IoUring)
///     .changelist(ChangelistPolicy::Deferred)
///     .priorities(3);
/// let mut base = EventBase::<()>::new(config)?;
/// println!("waiting with {}", base.registry().backend_name());
/// # Ok::<(), evshard::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a config does nothing until a base is made with it"]
pub struct Config {
    pub(in crate::base) choice: Choice,
    pub(in crate::base) flush: ChangelistFlush,
    pub(in crate::base) changelist: ChangelistPolicy,
    pub(in crate::base) clock: ClockKind,
    pub(in crate::base) caches_time: bool,
    pub(in crate::base) signals: SignalMethod,
    pub(in crate::base) priorities: u8,
    pub(in crate::base) limit: DispatchLimit,
    pub(in crate::base) reads_environment: bool,
    pub(in crate::base) leniency: Leniency,
}

/// Which backends a base may use.
#[derive(Clone, Copy, Debug)]
pub(in crate::base) struct Choice {
    /// Only this one.
    pub(in crate::base) only: Option<BackendKind>,
    /// This one first.
    pub(in crate::base) preferred: Option<BackendKind>,
    /// By position in `BackendKind::ALL`.
    pub(in crate::base) avoided: [bool; BackendKind::ALL.len()],
    pub(in crate::base) required: Features,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            choice: Choice {
                only: None,
                preferred: None,
                avoided: [false; BackendKind::ALL.len()],
                required: Features::empty(),
            },
            flush: ChangelistFlush::default(),
            changelist: ChangelistPolicy::default(),
            clock: ClockKind::default(),
            caches_time: true,
            signals: SignalMethod::default(),
            priorities: 1,
            limit: DispatchLimit::default(),
            reads_environment: true,
            leniency: Leniency::empty(),
        }
    }
}

impl Config {
    /// The reason why large flushes of an epoll backend cannot use a ring, if the options would
    /// have them use it.
    #[cfg(feature = "server")]
    pub(crate) fn ring_refusal(&self) -> Option<String> {
        let should =
            self.changelist == ChangelistPolicy::Deferred && self.flush == ChangelistFlush::Auto;
        let refusal = should.then(|| BackendKind::IoUring.open(self.flush).err())?;
        refusal.map(|error| error.to_string())
    }

    /// Uses this backend and no other.
    pub fn backend(mut self, kind: BackendKind) -> Self {
        self.choice.only = Some(kind);
        self
    }

    /// Tries this backend first. If it is not available, the base tries the others in the order of
    /// [`BackendKind::ALL`]; `Registry::passed_over` has the reason.
    pub fn prefer(mut self, kind: BackendKind) -> Self {
        self.choice.preferred = Some(kind);
        self
    }

    /// Excludes a backend (libevent: `event_config_avoid_method`). To exclude one by name, parse
    /// the name: `"poll".parse::<BackendKind>()`.
    pub fn avoid(mut self, kind: BackendKind) -> Self {
        let index = BackendKind::ALL.iter().position(|other| *other == kind);
        if let Some(index) = index {
            self.choice.avoided[index] = true;
        }
        self
    }

    /// Requires features of the backend (libevent: `event_config_require_features`). A second call
    /// replaces the first.
    pub fn require_features(mut self, features: Features) -> Self {
        self.choice.required = features;
        self
    }

    /// Sets when changes reach the kernel (libevent: `EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST`).
    pub fn changelist(mut self, policy: ChangelistPolicy) -> Self {
        self.changelist = policy;
        self
    }

    /// Sets how deferred changes reach epoll.
    pub fn flush(mut self, flush: ChangelistFlush) -> Self {
        self.flush = flush;
        self
    }

    /// Sets the clock of the base (libevent: `EVENT_BASE_FLAG_PRECISE_TIMER`).
    pub fn clock(mut self, kind: ClockKind) -> Self {
        self.clock = kind;
        self
    }

    /// Sets whether all handlers of a turn get the same time. That is the default (libevent:
    /// `EVENT_BASE_FLAG_NO_CACHE_TIME` turns it off).
    pub fn cached_time(mut self, cached: bool) -> Self {
        self.caches_time = cached;
        self
    }

    /// Sets how the base receives signals (libevent: `EVENT_BASE_FLAG_USE_SIGNALFD`).
    pub fn signals(mut self, method: SignalMethod) -> Self {
        self.signals = method;
        self
    }

    /// Sets the number of priorities, 1 to 255 (libevent: `event_base_priority_init`). 0 counts
    /// as 1. Unlike in libevent, it cannot change while the base exists.
    pub fn priorities(mut self, priorities: u8) -> Self {
        self.priorities = priorities.max(1);
        self
    }

    /// Bounds each pass over active events (libevent: `event_config_set_max_dispatch_interval`).
    pub fn dispatch_limit(mut self, limit: DispatchLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Accepts what libevent accepts, for programs that were written for it.
    pub fn lenient(mut self, leniency: Leniency) -> Self {
        self.leniency = leniency;
        self
    }

    /// Ignores the environment (libevent: `EVENT_BASE_FLAG_IGNORE_ENV`).
    ///
    /// Otherwise the base reads these variables of libevent. Each has an effect if it is set, to
    /// any value:
    ///
    /// - `EVENT_NOEPOLL`, `EVENT_NOIO_URING`, `EVENT_NOPOLL`, `EVENT_NOSELECT`: excludes the
    ///   backend.
    /// - `EVENT_EPOLL_USE_CHANGELIST`: defers changes.
    /// - `EVENT_PRECISE_TIMER`: makes the clock precise.
    /// - `EVENT_USE_SIGNALFD`: receives signals by signalfd.
    /// - `EVENT_SHOW_METHOD`: prints the backend's name to standard error.
    ///
    /// As in libevent, they override the program's options, and a set-uid program ignores them.
    pub fn ignore_environment(mut self) -> Self {
        self.reads_environment = false;
        self
    }
}
